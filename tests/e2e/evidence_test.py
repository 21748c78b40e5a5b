"""What is left when something went wrong: a volume without its pod, samples that were refused, pieces that could not be decoded."""
import http.client
import json
import socket
import sqlite3
import subprocess
import time
import urllib.parse

import pytest

from lib import cloudwatch, mapping, receiver, relay

QUICK = {"destinations": {"main": {"backoff": {"min": "20ms", "unreachable_max": "100ms", "max": "100ms"}}}}
MINUTE = 1700000040000


def command(r, *args):
    return subprocess.run([relay.BIN / "standpipe", *args, "--config", r.config], stdin=subprocess.DEVNULL, capture_output=True, text=True, env=r.env,
                          timeout=60)


def deliver(r, minute, count=20):
    points = cloudwatch.some_points(count, MINUTE + minute * 60000)
    assert r.post(cloudwatch.body([cloudwatch.record(points, "otlp10")])).status == 200
    return points


def arrived(sink):
    return {series: dict(values) for series, values in sink.samples().items()}


def test_a_volume_without_its_pod_is_drained():
    well = [False]
    sink = receiver.Receiver(behave=lambda q: (204, {}, "") if well[0] else (503, {}, "not now"))
    with relay.Relay(sink.url, QUICK) as r:
        points = deliver(r, 0) + deliver(r, 1)
        beside = command(r, "ship", "--drain")
        assert beside.returncode == 75 and "in use by another process" in beside.stderr + beside.stdout, beside
        assert r.stop() == 0
        stopped = subprocess.Popen([r.bin / "standpipe", "ship", "--drain", "--config", r.config], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=r.env)
        assert next(line for line in stopped.stdout if b"ship.ready" in line)
        stopped.terminate()
        assert b"ship.not_drained" in stopped.communicate(timeout=30)[0] and stopped.returncode == 75
        drain = command(r, "ship", "--drain", "--timeout", "500ms")
        assert drain.returncode == 75 and '"event":"ship.not_drained"' in drain.stderr + drain.stdout and arrived(sink) == {}, drain
        r.conf["destinations"]["other"] = r.conf["destinations"].pop("main")
        r.write_config()
        well[0] = True
        drain = command(r, "ship", "--drain")
        assert drain.returncode == 1 and "no such destination" in drain.stderr + drain.stdout and arrived(sink) == {}, drain
        r.conf["destinations"]["main"] = r.conf["destinations"].pop("other")
        r.write_config()
        assert command(r, "ship", "--drain").returncode == 0
        assert arrived(sink) == mapping.expected(points)
        before = len(sink.requests)
        assert command(r, "ship", "--drain").returncode == 0 and len(sink.requests) == before
        r.conf["spool"]["dir"] += "-elsewhere"
        r.write_config()
        drain = command(r, "ship", "--drain")
        assert drain.returncode == 74 and "there is no spool" in drain.stderr + drain.stdout, drain
        assert command(r, "ship", "--drain", "--timeout", "soon").returncode == 64


def test_what_lanes_left_behind_is_drained_while_the_destination_has_lanes():
    well = [False]
    sink = receiver.Receiver(behave=lambda q: (204, {}, "") if well[0] else (503, {}, "not now"))
    with relay.Relay(sink.url, {"destinations": {"main": {**QUICK["destinations"]["main"], "lanes": {"by": "account", "header": "X-Scope-OrgID"}}}}) as r:
        points = deliver(r, 0)
        assert r.stop() == 0
        well[0] = True
        lanes = r.conf["destinations"]["main"].pop("lanes")
        r.write_config()
        drain = command(r, "ship", "--drain")
        assert drain.returncode == 1 and "no such destination" in drain.stderr + drain.stdout and arrived(sink) == {}, drain
        r.conf["destinations"]["main"]["lanes"] = lanes
        r.write_config()
        assert command(r, "ship", "--drain").returncode == 0
        assert arrived(sink) == mapping.expected(points)
        assert {q.headers["X-Scope-OrgID"] for q in sink.stored()} == {p["account"] for p in points}


def test_dead_letters_are_sent_again_once_the_receiver_takes_them():
    picky = [True]
    bad = lambda labels: any("cpuutilization" in str(value) for _, value in labels)
    refuse = lambda q: picky[0] and any(bad(labels) for labels, _ in q.series())
    sink = receiver.Receiver(behave=lambda q: (400, {}, "out of bounds") if refuse(q) else (204, {}, ""))
    with relay.Relay(sink.url, QUICK) as r:
        points = deliver(r, 0) + deliver(r, 1)
        r.drained()
        dead = [json.loads(line) for line in r.cli("deadletter", "ls", "--json").splitlines()]
        assert dead and all(d["answer"] == "out of bounds" and d["destination"] == "main" for d in dead)
        picky[0] = False
        said = r.cli("deadletter", "replay", "--destination", "main", "--before", "1ms")
        assert f"replayed {len(dead)} dead letter" in said, said
        r.drained()
        assert arrived(sink) == mapping.expected(points)
        relay.wait_for(lambda: r.metric("standpipe_samples_dead_lettered") == 0)
        assert r.books()[0] == r.books()[1] and r.metric("standpipe_samples_dropped_total") == 0


@pytest.mark.parametrize("lanes", [{}, {"by": "account", "header": "X-Scope-OrgID"}], ids=["whole", "lanes"])
def test_what_is_purged_is_not_sent_any_more(lanes):
    well = [False]
    sink = receiver.Receiver(behave=lambda q: (204, {}, "") if well[0] else (503, {}, "not now"))
    with relay.Relay(sink.url, {"destinations": {"main": {**QUICK["destinations"]["main"], "lanes": lanes}}} if lanes else QUICK) as r:
        deliver(r, 0)
        waiting = r.metric("standpipe_samples_spooled")
        relay.wait_for(lambda: sink.requests)
        refused = command(r, "spool", "purge", "--destination", "main")
        assert refused.returncode == 1 and f"{int(waiting)} samples" in refused.stderr and "--yes" in refused.stderr
        assert f" {int(waiting)} samples, counted as dropped" in r.cli("spool", "purge", "--destination", "main", "--yes")
        relay.wait_for(lambda: r.metric("standpipe_samples_dropped_total") == waiting)
        assert r.metric("standpipe_samples_spooled") == 0 and r.books()[0] == r.books()[1]
        tries = len(sink.requests)
        relay.wait_for(lambda: r.status()["destinations"][0]["state"] != "ok" or len(sink.requests) > tries)
        well[0] = True
        points = deliver(r, 1)
        r.drained()
        assert arrived(sink) == mapping.expected(points)
        assert r.books()[0] == r.books()[1]


def test_a_replay_that_is_killed_loses_nothing():
    sink = receiver.Receiver()
    with relay.Relay(sink.url, {"destinations": {"main": {"label_limit": 1}}}) as r:
        points = [p for minute in range(150) for p in deliver(r, minute, 2)]
        r.stop()
        letters = len(r.cli("deadletter", "ls", "--json").splitlines())
        assert letters > 100  # more than one step
        r.env["STANDPIPE_CRASH_AT"] = "ship.deadletter_before_commit:2"
        killed = command(r, "deadletter", "replay", "--all")
        del r.env["STANDPIPE_CRASH_AT"]
        left = len(r.cli("deadletter", "ls", "--json").splitlines())
        assert killed.returncode == -9 and 0 < left < letters
        assert f"replayed {left} dead letter" in r.cli("deadletter", "replay", "--all")
        r.start()
        r.drained()
        assert arrived(sink) == mapping.expected(points)
        assert sum(map(len, sink.samples().values())) == r.metric("standpipe_samples_accepted_total") == r.metric("standpipe_samples_delivered_total")


def test_a_replay_leaves_what_became_a_dead_letter_since_it_began():
    """Or what is refused again would go round and round."""
    with relay.Relay(receiver.Receiver().url, {"destinations": {"main": {"label_limit": 1}}}) as r:
        deliver(r, 0, 2), deliver(r, 1, 2)
        r.stop()
        letters = held(r, "deadletter")
        with sqlite3.connect(r.dir / "spool/spool.db") as db:
            db.execute("UPDATE dead SET at_ms = at_ms + 3600000 WHERE id = ?", [letters[0]["id"]])
        db.close()
        assert f"replayed {len(letters) - 1} dead letter" in r.cli("deadletter", "replay", "--all")
        assert [d["id"] for d in held(r, "deadletter")] == [letters[0]["id"]]


def held(r, noun, *args):
    return [json.loads(line) for line in r.cli(noun, "ls", "--json", *args).splitlines()]


def test_evidence_is_kept_within_its_limits_and_nobody_pushes_out_that_of_others():
    with relay.Relay(receiver.Receiver().url, {"destinations": {"main": {"label_limit": 1}}, "spool": {"evidence_max": "1MiB"},
                                               "keys": {k: {"value": k + "-key"} for k in ("quiet", "noisy")}}) as r:
        def post(key, minute):
            points = cloudwatch.some_points(300, MINUTE + minute * 60000, noisy=True)
            assert r.post(cloudwatch.body([cloudwatch.record(points, "otlp10"), b"\xff" * 40000]), key=key + "-key").status == 200

        post("quiet", 0)
        quiet = held(r, "deadletter"), held(r, "quarantine")
        assert quiet[0] and quiet[1]
        for minute in range(1, 60):
            post("noisy", minute)
        assert (held(r, "deadletter", "--key", "quiet"), held(r, "quarantine", "--key", "quiet")) == quiet
        for noun, rows in (("deadletter", held(r, "deadletter")), ("quarantine", held(r, "quarantine"))):
            expired, size = r.metric(f"standpipe_{noun}_expired_total"), r.metric(f"standpipe_{noun}_bytes")
            noisy = [row["id"] for row in rows if row["key"] == "noisy"]
            assert expired > 0 and size <= 1 << 20 and len(rows) == r.metric(f"standpipe_{noun}_items")
            assert noisy == list(range(noisy[0], noisy[0] + len(noisy))) and noisy[0] > expired, "the oldest went first"
        assert r.events("evidence.expired")
        gone = r.metric("standpipe_samples_expired_total", destination="main")
        assert gone > 0 and r.books()[0] == r.books()[1] and r.metric("standpipe_samples_dead_lettered") == sum(row["samples"] for row in held(r, "deadletter"))
        r.stop()
        with sqlite3.connect(r.dir / "spool/spool.db") as db:
            db.execute("UPDATE dead SET at_ms = at_ms - 31 * 86400000 WHERE sender = 'quiet'")
            db.execute("UPDATE quarantine SET at_ms = at_ms - 31 * 86400000 WHERE sender = 'quiet'")
        db.close()
        r.start()
        assert not held(r, "deadletter", "--key", "quiet") + held(r, "quarantine", "--key", "quiet")
        assert held(r, "deadletter") and held(r, "quarantine")
        assert r.metric("standpipe_samples_expired_total", destination="main") == gone + sum(row["samples"] for row in quiet[0])
        assert r.books()[0] == r.books()[1]


def quarantined(r):
    return [json.loads(line) for line in r.cli("quarantine", "ls", "--json").splitlines()]


def replay_by_hand(r, body, **params):
    """As the command does it; returns what ingest says became of it."""
    c = http.client.HTTPConnection("ingest")
    c.sock = socket.socket(socket.AF_UNIX)
    c.sock.connect(str(r.dir / "run/ingest.sock"))
    c.request("POST", "/replay?" + urllib.parse.urlencode(params), body)
    return json.loads(c.getresponse().read())["result"]


def test_quarantined_pieces_are_converted_again():
    sink = receiver.Receiver()
    with relay.Relay(sink.url, {"destinations": {"main": {"common_attributes": ["team"]}}}) as r:
        ahead = int(time.time() * 1000) + 602000  # two seconds beyond what is let through
        points = cloudwatch.some_points(5, ahead - 60000)
        records = [cloudwatch.record(points, "otlp10"), b"\x05no", b"\x03\x0a\x05\x01"]
        body = json.loads(cloudwatch.body(records))
        body["records"].append({"data": "no base64"})
        attributes = {"X-Amz-Firehose-Common-Attributes": json.dumps({"commonAttributes": {"team": "payments"}})}
        assert r.post(json.dumps(body).encode(), headers=attributes).status == 200
        first = {row["reason"]: row["id"] for row in quarantined(r)}
        message, = first.keys() - {"bad_base64", "bad_frame", "future"}

        def replayed():  # before its time it comes back as a new row, and nothing else is lost
            return json.loads(r.cli("quarantine", "replay", "--reason", "future", "--json"))["samples"]
        relay.wait_for(replayed, every=0.3)
        r.drained()
        want = {(*series, ("team", "payments")): values for series, values in mapping.expected(points).items()}
        assert {tuple(sorted(s)): v for s, v in arrived(sink).items()} == {tuple(sorted(s)): v for s, v in want.items()}
        assert {row["reason"] for row in quarantined(r)} == {"bad_base64", "bad_frame", message}

        again = command(r, "quarantine", "replay", "--all")
        assert again.returncode == 1 and "replayed 2 pieces: 0 samples, and 2 pieces are in the quarantine anew" in again.stdout
        assert f"1 stay where they are; {first['bad_base64']}: " in again.stderr
        rows = {row["reason"]: row["id"] for row in quarantined(r)}
        assert rows["bad_base64"] == first["bad_base64"] and rows["bad_frame"] > first["bad_frame"] and rows[message] > first[message]
        assert r.cli("quarantine", "show", str(rows["bad_frame"]), "--raw") == "\x05no"

        what = {"id": "quarantine-7-1", "key": "test", "request_id": "a", "arn": "arn:x"}
        piece = cloudwatch.body([cloudwatch.record(cloudwatch.some_points(2000, MINUTE), "json")])
        assert len(piece) > 500000
        assert [replay_by_hand(r, piece, **what), replay_by_hand(r, piece, **what)] == ["accepted", "duplicate"]
        assert replay_by_hand(r, piece, **{**what, "key": "gone"}) == "refused"
        assert not [m for m in r.metrics() if m.startswith("standpipe_source_last_received") and "arn:x" in m]  # no sign of life of its stream
        r.drained()
        assert r.books()[0] == r.books()[1]
