"""What is left when something went wrong: a volume without its pod, samples that were refused, pieces that could not be decoded."""
import json
import subprocess

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
        assert r.stop() == 0
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
        assert drain.returncode == 74 and "no spool to drain" in drain.stderr + drain.stdout, drain
        assert command(r, "ship", "--drain", "--timeout", "soon").returncode == 64
