"""A disk that gives back something else than was written."""
import json
import os
import shutil
import sqlite3
import subprocess

from lib import cloudwatch, mapping, receiver, relay

PAGE = 16384


def deliver(r, minute):
    """Posts until it is taken, as Firehose does."""
    points = cloudwatch.some_points(20, 1700000040000 + minute * 60000)
    body = cloudwatch.body([cloudwatch.record(points, "otlp10")])
    relay.wait_for(lambda: r.post(body, request_id=f"minute-{minute}").status == 200)
    return points


def damage(r, table):
    """Overwrites the first page of a table, which is looked at only when something is stored."""
    path = r.dir / "spool/spool.db"
    with sqlite3.connect(path) as db:
        page, = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", [table]).fetchone()
    db.close()
    with open(path, "r+b") as f:
        f.seek((page - 1) * PAGE)
        f.write(b"\xff" * PAGE)


def test_a_database_damaged_while_it_is_not_looked_at_makes_way_for_a_new_one():
    sink = receiver.Receiver()
    with relay.Relay(sink.url) as r:
        points = deliver(r, 0)
        r.drained()
        r.stop()
        damage(r, "payload")
        r.start()
        points += deliver(r, 1)
        r.drained()
        assert {s: dict(v) for s, v in sink.samples().items()} == mapping.expected(points)
        assert len(r.events("spool.failed")) == 2  # the first time it could be a fault of memory
        kept, = r.events("spool.damaged")
        assert kept["kept_as"].endswith(".db") and sqlite3.connect(f"file:{kept['kept_as']}?mode=ro", uri=True).execute("SELECT count(*) FROM meta")
        assert not (r.dir / "spool/damaged").exists()
        assert r.books()[0] == r.books()[1]


def test_a_damaged_volume_is_not_taken_for_a_drained_one_and_can_be_exported():
    sink = receiver.Receiver(behave=lambda q: (503, {}, "not now"))
    with relay.Relay(sink.url) as r:
        points = deliver(r, 0) + deliver(r, 1)
        r.stop()
        damage(r, "accepted")
        drain = subprocess.run([r.bin / "standpipe", "ship", "--drain", "--config", r.config], capture_output=True, text=True, timeout=60)
        assert drain.returncode == 74 and "nothing of it is sent" in drain.stdout + drain.stderr
        kept, = (r.dir / "spool").glob("spool.corrupt-*.db")
        os.mkdir(r.dir / "rescue")
        shutil.copy(kept, r.dir / "rescue/spool.db")
        r.env["STANDPIPE_SPOOL__DIR"] = str(r.dir / "rescue")
        rows = [json.loads(line) for line in r.cli("spool", "export", "--destination", "main").splitlines()]
        assert sum(len(row["contents"]) for row in rows) == sum(map(len, mapping.expected(points).values()))


def test_books_that_do_not_balance_are_said_everywhere():
    sink = receiver.Receiver()
    with relay.Relay(sink.url) as r:
        deliver(r, 0)
        r.drained()
        assert "IS NOT" not in r.cli("status") and "BOOKS" not in r.cli("status")
        r.stop()
        with sqlite3.connect(r.dir / "spool/spool.db") as db:
            db.execute("UPDATE counter SET value = value + 1 WHERE name = 'accepted'")
        db.close()
        r.start()
        assert [e["destination"] for e in r.events("books.unbalanced")] == ["main"] and r.metric("standpipe_books_unbalanced_total") == 1
        [main] = r.status()["destinations"]
        assert not main["balanced"] and main["accepted"] == main["delivered"] + 1
        said = r.cli("status")
        assert " IS NOT " in said and "BOOKS: 1 checks failed" in said
        points = deliver(r, 1)  # a fault of the books is none of the data
        r.drained()
        assert {s for s in mapping.expected(points)} <= set(sink.samples())
        r.log_path.write_text("")  # where no test wants to see this event
