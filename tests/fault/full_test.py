"""Full means "not now": 503 in Firehose's form, nothing lost, and it ends by itself."""
import os
import pathlib
import subprocess

import pytest

from lib import cloudwatch, mapping, receiver, relay

QUICK = {"destinations": {"main": {"backoff": {"min": "20ms", "unreachable_max": "200ms"}}}}


def fill(r, limit=3000):
    """Posts until 503; returns the points that were acknowledged and the refusal."""
    points = []
    for n in range(limit):
        new = cloudwatch.some_points(400, 1700000040000 + n * 60000, seed=n, noisy=True)
        answer = r.post(cloudwatch.body([cloudwatch.record(new, "otlp10")]))
        if answer.status != 200:
            return points, answer
        points += new
    raise AssertionError("never full")


def full_and_back(r, sink):
    sink.stop()
    points, answer = fill(r)
    assert points and answer.status == 503 and answer.error().startswith("E_STORE: "), answer.body
    assert set(answer.json) == {"requestId", "timestamp", "errorMessage"} and answer.headers["Content-Type"] == "application/json"
    relay.wait_for(lambda: r.get("/-/ready")[0] == 503)
    assert r.get("/-/healthy")[0] == 200
    sink.start()
    r.drained(120)
    relay.wait_for(r.ready, 120)  # the file shrinks when the spool has been idle for a while
    more = cloudwatch.some_points(50, 1600000020000, seed=7)
    assert r.post(cloudwatch.body([cloudwatch.record(more, "otlp10")])).status == 200
    r.drained()
    assert {s: dict(v) for s, v in sink.samples().items()} == mapping.expected(points + more)
    accepted, accounted = r.books()
    assert accepted == accounted


def test_a_full_spool_refuses_drains_and_recovers():
    sink = receiver.Receiver()
    with relay.Relay(sink.url, {**QUICK, "spool": {"max": "4MiB"}}) as r:
        full_and_back(r, sink)


@pytest.fixture
def small_disk():
    where = relay.folder("disk")
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", where], capture_output=True).returncode != 0:
        pytest.skip("mounting a small tmpfs is not permitted here")
    yield pathlib.Path(where)
    subprocess.run(["umount", where], check=True)


def test_a_full_disk_refuses_drains_and_recovers(small_disk):
    sink = receiver.Receiver()
    conf = {**QUICK, "spool": {"allow_volatile": True, "min_free": "2MiB", "max": "1GiB"}}
    with relay.Relay(sink.url, conf, spool_dir=small_disk / "spool") as r:
        full_and_back(r, sink)


def test_a_spool_on_tmpfs_is_refused_unless_asked_for(small_disk):
    r = relay.Relay("http://127.0.0.1:9/", {"spool": {"dir": str(small_disk / "spool")}})
    r.write_config()
    answer = subprocess.run([r.bin / "standpipe", "check", "--config", r.config], capture_output=True, text=True, timeout=30)
    assert answer.returncode != 0 and "tmpfs" in answer.stdout + answer.stderr
