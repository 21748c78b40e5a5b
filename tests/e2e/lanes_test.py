"""Lanes: one destination, many tenants, and none of them in the way of another."""
import json
import signal
import threading

from lib import cloudwatch, mapping, receiver, relay

MINUTE = 1700000040000
HEADER = "X-Scope-OrgID"
QUICK = {"backoff": {"min": "20ms", "unreachable_max": "100ms", "max": "100ms"}, "probe": {"min": "100ms", "max": "200ms"}, "remote_timeout": "1m"}


def lanes(**more):
    return {"destinations": {"main": {**QUICK, "shards": 2, "lanes": {"by": "attribute:tenant", "header": HEADER, **more}}}}


def deliver(r, tenant, minute=0, connection=None):
    points = cloudwatch.some_points(4, MINUTE + minute * 60000, seed=1)
    headers = {"X-Amz-Firehose-Common-Attributes": json.dumps({"commonAttributes": {"tenant": tenant} if tenant else {}})}
    assert r.post(cloudwatch.body([cloudwatch.record(points, "otlp10")]), headers=headers, connection=connection).status == 200
    return points


def by_tenant(sink):
    """{tenant: {series: {time: value}}} of what was taken."""
    out = {}
    for request in sink.stored():
        series = out.setdefault(request.headers.get(HEADER), {})
        for labels, samples in request.series():
            series.setdefault(labels, {}).update(samples)
    return out


def rows(r):
    return {d["name"]: d for d in r.status()["destinations"]}


def balanced(row):
    return row["balanced"] and row["accepted"] == sum(row[k] for k in ("delivered", "queued_samples", "dead_lettered", "expired", "dropped", "merged"))


def test_200_lanes_of_which_three_are_in_trouble():
    trouble = {"t-20": (401, {}, "no"), "t-60": (429, {"Retry-After": "0"}, "slow down"), "t-100": None}
    healed = threading.Event()

    def behave(request):
        tenant = request.headers[HEADER]
        if tenant == "t-100":
            healed.wait(20)  # as long as the others take, and then it answers
        return (204, {}, "") if healed.is_set() or tenant not in trouble else trouble[tenant]

    sink = receiver.Receiver(behave=behave)
    with relay.Relay(sink.url, lanes()) as r:
        names = [f"t-{i}" for i in range(200)]
        connection, points = r.connect(), []
        for minute in range(2):
            for name in names:
                new = deliver(r, name, minute, connection)
            points += new
        want = mapping.expected(points)
        relay.wait_for(lambda: not [n for n, row in rows(r).items() if row["queued_samples"] and row["lane"] not in trouble])
        taken, state = by_tenant(sink), rows(r)
        assert all(taken[n] == want for n in names if n not in trouble)
        assert len(state) == 201 and all(balanced(row) for row in state.values())
        samples = sum(len(v) for v in want.values())
        for name in names:
            row = state["main/" + name]
            if name not in trouble:
                assert (row["state"], row["delivered"], row["lane"]) == ("healthy", samples, name), row
        assert (state["main/t-20"]["state"], state["main/t-20"]["reason"]) == ("paused", "unauthorized")
        assert state["main/t-60"]["state"] == "backing_off"
        assert all(state["main/" + n]["queued_samples"] == samples for n in trouble)
        assert {(e["event"], e["destination"]) for e in r.events() if e["event"] in ("destination.paused", "destination.backing_off")} == {
            ("destination.paused", "main/t-20"), ("destination.backing_off", "main/t-60")}
        said = r.cli("status")  # shows those that somebody should know of
        assert "main/t-20 " in said and "main/t-21 " not in said and "and 198 lanes without trouble" in said
        assert "lanes 2 of 200 in trouble" in " ".join(said.split()) and "main/t-20: HTTP 401 " in said
        healed.set()
        r.drained()
        taken = by_tenant(sink)
        assert all(taken[n] == want for n in names)
        m = r.metrics()  # an empty label is none
        ill = {k for k, v in m.items() if k.startswith("standpipe_destination_requests_total{") and v and 'code="204"' not in k}
        assert {n for n in names if any(f'lane="{n}"' in k for k in ill)} == {"t-20", "t-60"} and all("lane=" in k for k in ill)
        assert 'standpipe_samples_accepted_total{destination="main",role="ship"}' in m
        assert m['standpipe_samples_delivered_total{destination="main",lane="t-7",role="ship"}'] == samples


def test_an_idle_lane_costs_less_than_4_kib_in_all_processes_together():
    """One that sent something before, and that /metrics showed while it did."""
    go = threading.Event()
    sink = receiver.Receiver(behave=lambda request: (204, {}, "") if go.wait(60) else "close")
    with relay.Relay(sink.url, {**lanes(max=3000, requests=16), "convert": {"workers": 1}}, bin=relay.RELEASE_BIN) as r:
        connection, took = r.connect(), []
        for first in (0, 0, 1000, 2000, 1000, 2000):
            go.clear()
            for i in range(first, first + 1000):
                deliver(r, f"tenant-{i:04}", connection=connection)
            assert r.metric("standpipe_spool_batches") >= 1000
            go.set()
            r.drained()
            took.append(r.pss("Pss_Anon"))
        assert len(rows(r)) == 3001
        new, old = took[3] - took[1], took[5] - took[3]  # old: what as many deliveries to lanes that are there leave behind, keys of the ledger and so on
        assert 1000 < (new - old) / 2000 < 4096, took  # a lane that costs nothing was not measured


def test_whose_lane_it_is():
    sink = receiver.Receiver()
    with relay.Relay(sink.url, lanes(map={"shop": "tenant-1", "pay": "tenant-2"}, default="rest")) as r:
        points = {tenant: deliver(r, tenant) for tenant in ("shop", "pay", "unknown", "with blank", None)}
        r.drained()
        assert {k: v == mapping.expected(points["shop"]) for k, v in by_tenant(sink).items()} == {"tenant-1": True, "tenant-2": True, "rest": True}
        assert {n for n in rows(r)} == {"main", "main/shop", "main/pay", "main/rest"}


def test_what_can_have_no_lane_is_a_dead_letter():
    sink = receiver.Receiver()
    with relay.Relay(sink.url, lanes(max=1)) as r:
        points = deliver(r, "first")
        deliver(r, "second")
        deliver(r, None)
        relay.wait_for(lambda: by_tenant(sink) == {"first": mapping.expected(points)})
        assert {(d["reason"], d["answer"]) for d in map(json.loads, r.cli("deadletter", "ls", "--json").splitlines())} == {
            ("lane_limit", "lanes.max is reached, and no lane is second"), ("bad_lane", "no usable name of a lane came")}
        main = rows(r)["main"]
        assert main["dead_lettered"] == main["accepted"] == 2 * rows(r)["main/first"]["accepted"] and balanced(main)
        assert "nobody knows whose lane it is of" in r.cli("deadletter", "replay", "--all", check=False, errors=True)
        assert rows(r)["main"] == main and "first" in by_tenant(sink) and len(by_tenant(sink)) == 1


def test_lanes_outlive_a_restart_and_wait_while_there_are_none():
    sink = receiver.Receiver()
    sink.stop()
    with relay.Relay(sink.url, lanes()) as r:
        points = deliver(r, "a")
        deliver(r, "b")
        removed = dict(r.conf["destinations"]["main"])
        del r.conf["destinations"]["main"]["lanes"]

        def reload():
            r.write_config()
            before = r.pids("ship")
            r.process.send_signal(signal.SIGHUP)
            relay.wait_for(lambda: r.pids("ship") and r.pids("ship") != before)
            r.wait_ready()

        reload()
        sink.start()
        state = rows(r)
        assert {n: state[n]["state"] for n in ("main/a", "main/b")} == {"main/a": "removed", "main/b": "removed"} and balanced(state["main/a"])
        other = deliver(r, "a", 1)
        relay.wait_for(lambda: by_tenant(sink) == {None: mapping.expected(other)})
        r.conf["destinations"]["main"] = removed
        reload()
        r.drained()
        assert by_tenant(sink) == {None: mapping.expected(other), "a": mapping.expected(points), "b": mapping.expected(points)}
