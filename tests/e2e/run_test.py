"""What an operator relies on: clear refusals, restarts, reloads that lose nothing, a clean end, and no secret where it can be read."""
import os
import pathlib
import signal
import socket
import struct
import subprocess

import pytest

from lib import cloudwatch, mapping, receiver, relay

MINUTE = 1700000040000
SECRET = "s3cret-token-of-the-receiver"


def command(*args, **kw):
    return subprocess.run([relay.BIN / "standpipe", *map(str, args)], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, **kw)


def deliver(r, minute, seed=0):
    points = cloudwatch.some_points(20, MINUTE + minute * 60000, seed=seed)
    assert r.post(cloudwatch.body([cloudwatch.record(points, "otlp10")])).status == 200
    return points


@pytest.mark.parametrize("text, line, words", [
    ("spool:\n  maxx: 1GiB\n", 2, "spool.max"), ("spool:\n  max: 1000\n", 2, "unit"), ("ingest:\n  listen: ':8080'\n  deadline: 5 hours\n", 3, "deadline"),
    ("destinations:\n  main:\n    receiver: mimir\ningest: {listen: '127.0.0.1:8080'}\n", 3, "url"), ("destinations:\n  main:\n    url: http://a/\n    naming: other\n", 4, "cloudwatch")])
def test_a_bad_configuration_is_refused_with_its_place(tmp_path, text, line, words):
    (tmp_path / "c.yaml").write_text(text)
    for verb in ("check", "run"):
        r = command(verb, "--config", tmp_path / "c.yaml")
        said = r.stdout + r.stderr
        assert r.returncode == 78 and f"c.yaml:{line}" in said and words in said, said


def test_no_configuration_at_all_is_said():
    if pathlib.Path("/etc/standpipe/standpipe.yaml").exists():
        pytest.skip("this machine has a configuration of its own")
    env = {k: v for k, v in os.environ.items() if not k.startswith("STANDPIPE_")}
    for verb in ("check", "run", "status"):
        r = command(verb, env=env)
        assert r.returncode == 78 and "/etc/standpipe/standpipe.yaml" in r.stdout + r.stderr, r


def test_unknown_words_show_what_there_is():
    r = command("explode")
    assert r.returncode == 64 and "status" in r.stderr and "explode" in r.stderr
    assert command("version").stdout.startswith("standpipe ")
    for topic, word in (("settings", "spool.max"), ("metrics", "standpipe_samples_accepted_total"), ("errors", "E_SIZE"), ("send", "URL")):
        assert word in command("help", topic).stdout


def test_the_reference_is_what_the_program_says():
    docs = pathlib.Path(__file__).parent.parent.parent / "docs/reference.md"
    assert docs.read_text().startswith(command("help", "reference").stdout), "run ./dev docs"


def test_a_reload_takes_what_is_good_and_refuses_what_is_not():
    first, second = receiver.Receiver(), receiver.Receiver()
    with relay.Relay(first.url) as r:
        points = deliver(r, 0)
        r.drained()
        pids = {role: r.pids(role) for role in ("ingest", "convert", "ship")}
        r.process.send_signal(signal.SIGHUP)  # nothing has changed: nothing restarts
        relay.wait_for(lambda: r.events("run.reloaded"))
        assert pids == {role: r.pids(role) for role in pids}
        good = r.conf["destinations"]["main"]["url"]
        r.conf["destinations"]["main"]["url"] = "no url"
        r.write_config()
        r.process.send_signal(signal.SIGHUP)
        relay.wait_for(lambda: r.events("run.reload_refused"))
        assert "destinations.main.url" in r.events("run.reload_refused")[0]["reason"]
        points += deliver(r, 1)
        r.drained()
        assert good == first.url
        r.conf["destinations"]["main"]["url"] = second.url
        r.write_config()
        r.process.send_signal(signal.SIGHUP)
        relay.wait_for(lambda: r.pids("ship") and r.pids("ship") != pids["ship"])
        assert r.pids("ingest") == pids["ingest"]
        r.wait_ready()
        more = deliver(r, 2)
        r.drained()
        assert {s: dict(v) for s, v in first.samples().items()} == mapping.expected(points)
        assert {s: dict(v) for s, v in second.samples().items()} == mapping.expected(more)
        assert r.books()[0] == r.books()[1]


def test_it_ends_cleanly_and_leaves_nothing_behind():
    sink = receiver.Receiver()
    r = relay.Relay(sink.url)
    with r:
        deliver(r, 0)
        r.drained()
        pids = [p for role in ("ingest", "convert", "ship") for p in r.pids(role)]
        assert len(pids) == 4
        assert r.stop() == 0
        assert not any(pathlib.Path(f"/proc/{p}").exists() for p in pids)


def test_a_killed_supervisor_takes_its_children_along():
    r = relay.Relay("http://127.0.0.1:9/")
    with r:
        pids = [p for role in ("ingest", "convert", "ship") for p in r.pids(role)]
        r.process.kill()
        r.process.wait(10)
        relay.wait_for(lambda: not any(pathlib.Path(f"/proc/{p}/exe").exists() for p in pids))
        r.start()  # no lock, no socket, no address is left over
        deliver(r, 0)


def test_secrets_are_nowhere_to_be_read():
    sink = receiver.Receiver(behave=lambda q: (401, {}, "no"))
    where = relay.folder("secret")
    (where / "token").write_text(SECRET)
    env = {"STANDPIPE_KEYS__FROM_ENV__VALUE": "key-from-the-environment"}
    with relay.Relay(sink.url, {"destinations": {"main": {"bearer_token_file": str(where / "token")}}}, env=env) as r:
        assert r.post(cloudwatch.body([cloudwatch.record(cloudwatch.some_points(5, MINUTE), "json")]), key="key-from-the-environment").status == 200
        relay.wait_for(lambda: r.events("destination.paused"))
        seen = r.log() + r.get("/metrics")[1] + r.get("/status")[1]
        for role in ("ingest", "convert", "ship"):
            for pid in r.pids(role):
                seen += pathlib.Path(f"/proc/{pid}/environ").read_bytes().decode() + pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().decode()
        spool = b"".join(p.read_bytes() for p in (r.dir / "spool").iterdir() if p.is_file())
        for secret in (SECRET, relay.KEY, "key-from-the-environment"):
            assert secret not in seen and secret.encode() not in spool
        status = r.cli("status")
        assert "paused" in status and "unauthorized" in status and status.startswith("ready")


@pytest.mark.parametrize("args", [("run", "x.yaml"), ("check", "x.yaml"), ("status", "x.yaml"), ("check", "--confg", "x"), ("status", "--fast"), ("run", "--config"), ("send",)])
def test_a_command_called_wrongly_shows_how_it_is_called(args):
    r = command(*args)  # `check FILE` must not look at another file and call it good
    assert r.returncode == 64 and f"usage: standpipe {args[0]}" in r.stderr and not r.stdout


def test_a_new_spool_may_be_a_relative_path(tmp_path):
    (tmp_path / "c.yaml").write_text("ingest: {listen: '127.0.0.1:8080'}\nspool: {dir: spool/new, allow_volatile: true}\n"
                                     "runtime: {dir: run}\ndestinations: {main: {url: 'http://127.0.0.1:9/'}}\n")
    r = command("check", "--config", "c.yaml", cwd=tmp_path)
    assert r.returncode == 0, r.stdout


def test_a_role_that_cannot_work_with_a_reload_goes_back_to_what_it_had():
    sink = receiver.Receiver()
    with relay.Relay(sink.url) as r:
        others = {role: r.pids(role) for role in ("convert", "ship")}
        r.conf["keys"]["other"] = {"file": str(r.dir / "nothing-here")}  # reads well, and fails when ingest opens it
        r.write_config()
        r.process.send_signal(signal.SIGHUP)
        relay.wait_for(lambda: r.events("run.reload_undone"))
        r.wait_ready()
        deliver(r, 0)  # the others have not even been restarted: their part only stands on other lines
        assert others == {role: r.pids(role) for role in others}
        (r.dir / "nothing-here").write_text("other-key")
        r.process.send_signal(signal.SIGHUP)  # the same again, and now it works
        relay.wait_for(lambda: len(r.events("ingest.started")) == 3)
        r.wait_ready()
        assert r.post(cloudwatch.body([cloudwatch.record(cloudwatch.some_points(5, MINUTE), "json")]), key="other-key").status == 200


def test_ctrl_c_reaches_the_supervisor_alone():
    r = relay.Relay("http://127.0.0.1:9/")
    with r:
        os.killpg(r.process.pid, signal.SIGINT)  # as a terminal does
        assert r.process.wait(30) == 0
        assert [(e["status"], e["signal"]) for e in r.events("role.exited")] == [(0, 0)] * 4


def test_a_stop_while_nobody_waits_for_a_delivery_any_more():
    sink = receiver.Receiver()
    with relay.Relay(sink.url) as r:
        workers = r.pids("convert")
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        c = r.connect(timeout=1)
        with pytest.raises(OSError):
            r.post(cloudwatch.body([cloudwatch.record(cloudwatch.some_points(5, MINUTE), "json")]), connection=c)
        c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset: ingest learns of it at once
        c.close()
        relay.wait_for(lambda: r.status()["ingest"]["connections"] == 0)
        os.kill(r.pids("ingest")[0], signal.SIGTERM)  # the delivery's body is still with a worker
        relay.wait_for(lambda: r.events("role.exited"))
        for pid in workers:
            os.kill(pid, signal.SIGCONT)
        assert r.events("role.exited")[0]["status"] == 0


def test_a_destination_of_logzio_without_a_region_waits_and_says_so():
    settings = {"destinations": {"main": {"receiver": "logzio", "naming": "cloudwatch"}}}
    with relay.Relay("", settings) as r:
        points = cloudwatch.some_points(20, MINUTE)
        assert r.post(cloudwatch.body([cloudwatch.record(points, "otlp10")]), arn="not-an-arn").status == 200
        d = r.status()["destinations"][0]
        assert (d["state"], d["reason"]) == ("waiting", "no_region_yet") and d["queued_samples"] == d["accepted"] > 0
        assert "no_region_yet" in r.cli("status", check=False)
