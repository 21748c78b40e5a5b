"""Several destinations: one that is away until its queue is full, as on_full says, and the others beside it."""
import signal

from lib import cloudwatch, mapping, receiver, relay

MINUTE = 1700000040000
QUICK = {"backoff": {"min": "20ms", "unreachable_max": "100ms"}}


def body(n):
    """One minute of some series: (points, body)."""
    points = cloudwatch.some_points(400, MINUTE + n * 60000, seed=n, noisy=True)
    return points, cloudwatch.body([cloudwatch.record(points, "otlp10")])


def two(healthy, away, **limits):
    return {"destinations": {"main": {**QUICK}, "other": {"url": away.url, **QUICK, **limits}},
            "keys": {"only_main": {"value": "only-main-key", "destinations": ["main"]}}}


def stored(sink):
    return {s: dict(v) for s, v in sink.samples().items()}


def balanced(r, *names):
    for name in names:
        accepted, rest = r.books(name)
        assert accepted == rest > 0, name


def full_and_over(r, action):
    """One log line each."""
    relay.wait_for(lambda: r.events("queue.has_room"))
    assert [e["destination"] for e in r.events("queue.full") + r.events("queue.has_room")] == ["other", "other"]
    assert r.events("queue.has_room")[0][action] > 0
    assert r.metric("standpipe_queue_full", destination="other") == 0


def test_refuse_loses_nothing_anywhere():
    healthy, away = receiver.Receiver(), receiver.Receiver()
    away.stop()
    with relay.Relay(healthy.url, two(healthy, away, queue_max="600KiB")) as r:
        points, n = [], 0
        while (answer := r.post(body(n)[1], request_id=f"minute-{n}")).status == 200:
            points += body(n)[0]
            n += 1
        assert n > 3 and answer.status == 503 and answer.error().startswith("E_STORE: "), answer.body
        refused = range(n, n + 5)  # Firehose keeps them
        assert {r.post(body(k)[1], request_id=f"minute-{k}").status for k in refused} == {503}
        assert r.metric("standpipe_queue_full", destination="other") == 1 and r.metric("standpipe_queue_full", destination="main") == 0
        assert r.metric("standpipe_queue_refused_deliveries_total", destination="other") == 1 + len(refused)
        assert r.ready()  # what does not concern it is taken:
        own, data = body(1000)
        assert r.post(data, key="only-main-key").status == 200
        relay.wait_for(lambda: stored(healthy) == mapping.expected(points + own))
        balanced(r, "main", "other")
        away.start()
        for k in refused:  # and tries again
            relay.wait_for(lambda: r.post(body(k)[1], request_id=f"minute-{k}").status == 200)
            points += body(k)[0]
        r.drained()
        assert stored(healthy) == mapping.expected(points + own)
        assert stored(away) == mapping.expected(points)
        balanced(r, "main", "other")
        assert r.metric("standpipe_samples_delivered_total", destination="other") == sum(map(len, mapping.expected(points).values()))
        assert r.metric("standpipe_samples_dropped_total") == 0
        full_and_over(r, "refused_deliveries")


def test_drop_costs_nobody_else_a_503():
    healthy, away = receiver.Receiver(), receiver.Receiver()
    away.stop()
    with relay.Relay(healthy.url, two(healthy, away, on_full="drop", queue_max="600KiB")) as r:
        points = []
        for n in range(12):
            new, data = body(n)
            assert r.post(data).status == 200
            points += new
        relay.wait_for(lambda: stored(healthy) == mapping.expected(points))
        dropped = r.metric("standpipe_samples_dropped_total", destination="other")
        assert dropped > 0 and r.metric("standpipe_samples_dropped_total", destination="main") == 0
        balanced(r, "main", "other")
        away.start()
        r.drained()
        kept = {(s, at): v for s, samples in stored(away).items() for at, v in samples.items()}
        want = {(s, at): v for s, samples in mapping.expected(points).items() for at, v in samples.items()}
        assert kept.items() <= want.items() and len(kept) == len(want) - dropped
        assert not {(s, at) for s, at in want if at == MINUTE} - set(kept)  # the oldest is there
        balanced(r, "main", "other")
        full_and_over(r, "dropped_samples")


def test_destinations_come_and_go_by_reload():
    first, second = receiver.Receiver(), receiver.Receiver()
    second.stop()
    gone = {"destinations": {"gone": {"url": second.url, **QUICK}}}
    with relay.Relay(first.url, relay.merge(two(first, second), gone)) as r:
        def reload():
            before = r.pids("ship")
            r.write_config()
            r.process.send_signal(signal.SIGHUP)
            relay.wait_for(lambda: r.pids("ship") and r.pids("ship") != before)
            r.wait_ready()

        def row(name):
            return {d["name"]: d for d in r.status()["destinations"]}.get(name)

        old, data = body(0)
        assert r.post(data).status == 200
        relay.wait_for(lambda: stored(first) == mapping.expected(old))
        other = r.conf["destinations"].pop("other")
        del r.conf["destinations"]["gone"]
        r.conf["destinations"]["third"] = {"url": second.url, **QUICK}
        reload()
        second.start()
        new, data = body(1)
        assert r.post(data).status == 200  # for those that there are now
        relay.wait_for(lambda: stored(second) == mapping.expected(new) and stored(first) == mapping.expected(old + new))
        left = row("other")
        assert left["state"] == "removed" and left["queued_samples"] > 0 and left["balanced"]
        assert r.metric("standpipe_samples_spooled", destination="other") == left["queued_samples"]
        assert row("gone")["queued_samples"] == left["queued_samples"]
        r.cli("spool", "purge", "--destination", "gone", "--yes")
        assert r.metric("standpipe_samples_dropped_total", destination="gone") == left["queued_samples"] and row("gone") is None
        balanced(r, "gone")
        r.conf["destinations"]["other"] = other
        del r.conf["destinations"]["third"]
        reload()
        r.drained()
        assert stored(second) == mapping.expected(old + new) and row("other")["state"] == "healthy"
        balanced(r, "main", "other", "third")
        assert row("third") is None  # nothing of it is left
