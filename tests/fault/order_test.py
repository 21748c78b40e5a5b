"""A receiver with Prometheus' rules and no out-of-order window refuses what comes late, and with it the whole request: no sample that
came in order is ever refused, and what waits long is sent merged."""
import collections
import contextlib
import time

import pytest

from lib import behaviours, cloudwatch, mapping, real, receiver, relay

QUICK = {"destinations": {"main": {"receiver": "prometheus", "backoff": {"min": "10ms", "unreachable_max": "50ms", "max": "100ms"}, "probe": {"min": "100ms", "max": "300ms"}}}}
FIRST = 1700000040000


def post(r, minutes, metrics=12, first=FIRST):
    """Posts some metrics' points of these minutes, one delivery each, and returns the points."""
    out = []
    for m in minutes:
        points = cloudwatch.some_points(metrics, first + m * 60000, seed=3)
        for i, p in enumerate(points):
            p["sum"] = float(m * 1000 + i)
        assert r.post(cloudwatch.body([cloudwatch.record(points, "otlp10")])).status == 200
        out += points
    return out


def stored(sink):
    return {s: dict(v) for s, v in sink.samples().items()}


def arrived(sink, points):
    """Everything is there; what was sent again is equal."""
    assert stored(sink) == mapping.expected(points)


@contextlib.contextmanager
def relay_to(behave=None, **main):
    """A relay and its receiver, which has Prometheus' rules unless told; in the end the books balance."""
    sink = receiver.Receiver(behave=behave or behaviours.Prometheus())
    with relay.Relay(sink.url, relay.merge({"destinations": {"main": main}}, QUICK)) as r:
        yield r, sink


def only_repeats_died(r):
    died = lambda **labels: r.metric("standpipe_destination_dead_lettered_total", **labels)
    return died() == died(reason="maybe_duplicate")


def test_a_night_arrives_in_order_and_merged():
    """Series are unevenly spread over the shards, so that one that has few of them could run ahead of the others by hours."""
    with relay_to() as (r, sink):
        points = post(r, range(2))
        r.drained()
        sink.stop()
        before = len(sink.requests)
        points += post(r, range(2, 200))
        sink.start()
        r.drained()
        points += post(r, range(200, 202))
        r.drained()
        arrived(sink, points)
        assert {q.status for q in sink.requests} == {204}, "in order, nothing is refused"
        backlog = sink.requests[before:]
        assert len(backlog) < 200 * 4 / 10
        per_series = [len(samples) for q in backlog for _, samples in q.series()]
        assert sum(per_series) / len(per_series) > 5, "a series is once in a request, with many minutes"
        for q in sink.requests:
            assert not receiver.remote_write.faults(q.series())
            assert max(collections.Counter(labels for labels, _ in q.series()).values()) == 1
        assert r.metric("standpipe_samples_dead_lettered") == 0


def test_a_repeated_minute_in_a_backlog_is_merged_away():
    with relay_to() as (r, sink):
        sink.stop()
        points = post(r, range(10))
        again = [{**p, "sum": p["sum"] + 0.5} for p in points[-12:]]
        assert r.post(cloudwatch.body([cloudwatch.record(again, "otlp10")])).status == 200
        sink.start()
        r.drained()
        arrived(sink, points[:-12] + again)
        merged = r.metric("standpipe_samples_merged_total", destination="main")
        assert merged == sum(len(v) for v in mapping.expected(again).values())
        assert r.metric("standpipe_samples_dead_lettered") == 0


def test_restarts_in_a_backlog_keep_the_order():
    """Killed while the receiver is away, stopped while the backlog is on its way."""
    with relay_to(max_samples_per_send=80) as (r, sink):
        points = post(r, range(2))
        r.drained()
        sink.stop()
        points += post(r, range(2, 60))
        r.kill_all()
        r.start()
        points += post(r, range(60, 120))
        some = len(sink.stored()) + 20
        sink.start()
        relay.wait_for(lambda: len(sink.stored()) > some)
        r.stop()
        r.start()
        points += post(r, range(120, 125))
        r.drained()
        arrived(sink, points)
        assert {q.status for q in sink.requests} == {204}, "in order, nothing is refused"


@pytest.mark.parametrize("window_ms", [0, 48 * 3600000], ids=["no-window", "window"])
def test_a_kill_in_a_backlog_repeats_what_was_out_and_loses_nothing(window_ms):
    """Ship cannot know what of it arrived. With a window equal repeats are taken; without one they are refused, many minutes at once, and only they."""
    with relay_to(behaviours.Prometheus(window_ms), max_samples_per_send=160) as (r, sink):
        sink.stop()
        points = post(r, range(100))
        sink.start()
        relay.wait_for(lambda: len(sink.stored()) > 20)
        r.kill_all()
        r.start()
        r.drained()
        arrived(sink, points)
        assert only_repeats_died(r) and (not window_ms or r.metric("standpipe_samples_dead_lettered") == 0)
        refused = [q for q in sink.requests if q.status == 400]
        assert len(refused) < 300 and (not refused or not window_ms)


def test_series_that_are_late_are_no_repeat():
    """After a kill any batch may be a repeat; that some series of each are refused does not make it one."""
    with relay_to() as (r, sink):
        ahead = post(r, [3], metrics=2)
        r.drained()
        sink.stop()
        points = post(r, range(8))
        r.kill_all()
        r.start()
        sink.start()
        r.drained()
        late = mapping.expected(ahead).keys()
        want = {s: v if s not in late else {t: x for t, x in v.items() if t >= min(mapping.expected(ahead)[s])} for s, v in mapping.expected(points).items()}
        assert stored(sink) == want
        assert not r.events("shard.resumed")


def test_narrowing_down_in_a_backlog_keeps_the_order():
    rules, bad = behaviours.Prometheus(), []
    is_bad = lambda labels: labels in bad
    with relay_to(lambda q: (400, {}, "not this one") if any(is_bad(labels) for labels, _ in q.series()) else rules(q)) as (r, sink):
        points = post(r, range(2))
        r.drained()
        sink.stop()
        points += post(r, range(2, 30))
        want = mapping.expected(points)
        bad.append(sorted(want)[7])
        sink.start()
        r.drained()
        dead = r.metric("standpipe_samples_dead_lettered", destination="main")
        assert dead == 28
        assert {s: v for s, v in stored(sink).items() if s != bad[0]} == {s: v for s, v in want.items() if s != bad[0]}
        refused = [q for q in sink.requests if q.status == 400]
        assert all(any(is_bad(labels) for labels, _ in q.series()) for q in refused), "refused for order"


def test_a_real_prometheus_without_a_window_takes_five_hours_and_a_kill():
    first = (int(time.time()) // 60 - 300) * 60000
    with real.Prometheus(window=None) as prometheus, relay.Relay("http://127.0.0.1:1/", QUICK) as r:
        points = post(r, range(298), first=first)
        r.kill_all()
        r.conf["destinations"]["main"]["url"] = prometheus.url
        r.start()
        relay.wait_for(lambda: r.metric("standpipe_samples_delivered_total") > 1500)
        r.kill_all()
        r.start()
        r.drained()
        want = mapping.expected(points)
        assert prometheus.samples(max(t for s in want.values() for t in s), window="6h") == {s: dict(v) for s, v in want.items()}
        assert only_repeats_died(r)
        assert r.books()[0] == r.books()[1]
