"""Receivers that are away, refuse, or come back: nothing is lost, nothing storms, and a person can see it."""
import signal
import threading
import time
import zlib

from lib import cloudwatch, mapping, receiver, relay

QUICK = {"destinations": {"main": {"backoff": {"min": "20ms", "unreachable_max": "200ms", "max": "300ms"}, "probe": {"min": "300ms", "max": "600ms"}}}}


def minutes(r, count, first=0, seed=0):
    """Posts `count` minutes of one stream, one after the other; returns their points."""
    out = []
    for m in range(first, first + count):
        points = cloudwatch.some_points(50, 1700000040000 + m * 60000, seed=seed)
        assert r.post(cloudwatch.body([cloudwatch.record(points, "otlp07")])).status == 200
        out += points
    return out


def in_order(samples):
    """Per series ascending in time, when equal repeats are left out."""
    for series, values in samples.items():
        distinct = list(dict.fromkeys(values))
        assert distinct == sorted(distinct), series


def complete(sink, points):
    got = sink.samples()
    want = mapping.expected(points)
    assert {s: dict(v) for s, v in got.items()} == want
    in_order(got)
    for request in sink.stored():
        assert not receiver.remote_write.faults(request.series())


def test_a_receiver_that_comes_back_gets_everything_in_order():
    sink = receiver.Receiver()
    with relay.Relay(sink.url, QUICK) as r:
        points = minutes(r, 3)
        r.drained()
        sink.stop()
        points += minutes(r, 10, first=3)
        assert r.ready() and r.metric("standpipe_samples_spooled") > 0
        sink.start()
        r.drained()
        points += minutes(r, 2, first=13)
        r.drained()
        complete(sink, points)
        assert r.books()[0] == r.books()[1]


def test_probes_of_an_unreachable_receiver_never_pause_longer_than_the_cap():
    down = [False]
    sink = receiver.Receiver(behave=lambda q: "close" if down[0] else (204, {}, ""))
    with relay.Relay(sink.url, QUICK) as r:
        points = minutes(r, 1)
        r.drained()
        down[0] = True
        points += minutes(r, 4, first=1)
        relay.wait_for(lambda: len([q for q in sink.requests if q.status == 0]) >= 12)
        down[0] = False
        r.drained()
        complete(sink, points)
        tries = [q for q in sink.requests if q.status == 0]
        first_after = next(q for q in sink.requests if q.at > tries[-1].at)
        assert first_after.status == 204
        gaps = [b.at - a.at for a, b in zip(tries[4:], tries[5:] + [first_after])]
        assert max(gaps) < 0.2 * 1.1 + 1, gaps  # the cap, its jitter, and a second for a busy machine


def test_a_401_stops_sending_keeps_the_data_and_resumes():
    verdict = [204]
    sink = receiver.Receiver(behave=lambda q: (verdict[0], {}, "token expired" if verdict[0] == 401 else ""))
    with relay.Relay(sink.url, QUICK) as r:
        points = minutes(r, 2)
        r.drained()
        verdict[0] = 401
        start = time.monotonic()
        points += minutes(r, 10, first=2)
        relay.wait_for(lambda: len([q for q in sink.requests if q.status == 401]) >= 2)
        time.sleep(1.5)
        assert r.ready(), "a receiver's 401 must not take the relay out of the balancer"
        refused = [q for q in sink.requests if q.status == 401]
        seconds = time.monotonic() - start
        assert len(refused) <= 4 + 1 + seconds / (0.3 * 0.9), "only probes after the first burst of at most one request a shard"
        [status] = [d for d in r.status()["destinations"] if d["name"] == "main"]
        assert status["state"] == "paused" and status["reason"] == "unauthorized"
        assert r.metric("standpipe_destination_up", destination="main") == 0
        verdict[0] = 204
        r.drained()
        complete(sink, points)
        assert len(r.events("destination.paused")) == 1 and len(r.events("destination.healthy")) == 1
        assert "token expired" in str(r.events("destination.paused"))


def test_a_changed_secret_file_ends_the_pause_at_once():
    good = ["new-token"]
    sink = receiver.Receiver(behave=lambda q: (204, {}, "") if q.headers.get("Authorization") == f"Bearer {good[0]}" else (401, {}, "no"))
    where = relay.folder("token")
    (where / "token").write_text("old-token\n")
    conf = {"destinations": {"main": {"bearer_token_file": str(where / "token"), "probe": {"min": "1h", "max": "1h"}}}}
    with relay.Relay(sink.url, conf) as r:
        points = minutes(r, 3)
        relay.wait_for(lambda: r.events("destination.paused"))
        (where / "token").write_text("new-token\n")
        r.drained(30)
        complete(sink, points)
        assert "old-token" not in r.log() and "new-token" not in r.log() + r.get("/metrics")[1] + r.get("/status")[1]


def test_a_reload_probes_at_once():
    verdict = [403]
    sink = receiver.Receiver(behave=lambda q: (verdict[0], {}, ""))
    with relay.Relay(sink.url, {"destinations": {"main": {"probe": {"min": "1h", "max": "1h"}}}}) as r:
        points = minutes(r, 2)
        relay.wait_for(lambda: r.events("destination.paused"))
        verdict[0] = 204
        r.process.send_signal(signal.SIGHUP)
        r.drained(30)
        complete(sink, points)


def test_a_refusing_minority_is_found_and_the_rest_arrives():
    """A receiver without roll-back protection: it answers 400 to any request that has a sample of one of two series."""
    bad = lambda q: any(dict(labels)["__name__"] == "aws_ebs_volume_read_ops_sum" for labels, _ in q.series())
    sink = receiver.Receiver(behave=lambda q: (400, {}, "series is not welcome") if bad(q) else (204, {}, ""))
    with relay.Relay(sink.url, QUICK) as r:
        points = minutes(r, 2)
        r.drained()
        want = mapping.expected(points)
        refused = {s for s in want if dict(s)["__name__"] == "aws_ebs_volume_read_ops_sum"}
        assert refused and {s: dict(v) for s, v in sink.samples().items()} == {s: v for s, v in want.items() if s not in refused}
        assert r.metric("standpipe_samples_dead_lettered", destination="main") == sum(len(want[s]) for s in refused)
        assert r.books()[0] == r.books()[1]
        assert "series is not welcome" in r.cli("deadletter", "ls", "--json")


def test_a_receiver_that_refuses_everything_is_paused_not_dead_lettered():
    verdict = [400]
    sink = receiver.Receiver(behave=lambda q: (verdict[0], {}, "plain HTTP request was sent to HTTPS port" if verdict[0] == 400 else ""))
    with relay.Relay(sink.url, QUICK) as r:
        points = minutes(r, 3)
        relay.wait_for(lambda: r.events("destination.paused"))
        time.sleep(1)
        assert r.metric("standpipe_samples_dead_lettered") == 0
        verdict[0] = 204
        r.drained()
        complete(sink, points)


def test_receivers_that_misbehave_delay_only_themselves_and_get_all_that_is_good():
    """One loses every second answer, one holds each request for as long as the test likes, one refuses half of all series; one is well."""
    release, count = threading.Event(), [0]
    refused = lambda series: zlib.crc32(str(series).encode()) % 2 == 0

    def loses(q):
        count[0] += 1
        q.kept = True
        return "close" if count[0] % 2 else (204, {}, "")

    def holds(q):
        release.wait(30)
        return (204, {}, "")

    def refuses(q):
        return (422, {}, "not this one") if any(refused(series) for series, _ in q.series()) else (204, {}, "")

    sinks = {"main": receiver.Receiver(), "loses": receiver.Receiver(behave=loses), "holds": receiver.Receiver(behave=holds),
             "refuses": receiver.Receiver(behave=refuses)}
    conf = {"destinations": {n: {"url": s.url, "backoff": QUICK["destinations"]["main"]["backoff"]} for n, s in sinks.items()}}
    with relay.Relay(sinks["main"].url, conf) as r:
        points = []
        for minute in range(12):
            new = cloudwatch.some_points(10, 1700000040000 + minute * 60000)
            assert r.post(cloudwatch.body([cloudwatch.record(new, "otlp10")])).status == 200
            points += new
        waiting = lambda name: r.metric("standpipe_samples_spooled", destination=name)
        relay.wait_for(lambda: not (waiting("main") or waiting("loses") or waiting("refuses")))
        complete(sinks["main"], points)
        complete(sinks["loses"], points)
        want = mapping.expected(points)
        good = {s: v for s, v in want.items() if not refused(s)}
        assert 0 < len(good) < len(want) and {s: dict(v) for s, v in sinks["refuses"].samples().items()} == good
        in_order(sinks["refuses"].samples())
        total = sum(map(len, want.values()))
        assert r.metric("standpipe_samples_dead_lettered", destination="refuses") == total - sum(map(len, good.values()))
        assert waiting("holds") == total and r.metric("standpipe_samples_dead_lettered", destination="loses") == 0
        release.set()
        r.drained()
        complete(sinks["holds"], points)
        for name in sinks:
            accepted, rest = r.books(name)
            assert accepted == rest == total
