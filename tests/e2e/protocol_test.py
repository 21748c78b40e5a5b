"""Remote write 2.0, and receivers that do not take it: the same data arrives once, as 1.0."""
import json
import signal

from lib import cloudwatch, mapping, receiver, relay

QUICK = {"backoff": {"min": "20ms", "unreachable_max": "200ms", "max": "300ms"}, "probe": {"min": "300ms", "max": "600ms"}}
V2 = {"Content-Type": "application/x-protobuf;proto=io.prometheus.write.v2.Request", "X-Prometheus-Remote-Write-Version": "2.0.0",
      "Content-Encoding": "snappy"}
V1 = {**V2, "Content-Type": "application/x-protobuf", "X-Prometheus-Remote-Write-Version": "0.1.0"}


def written(n):
    return {"X-Prometheus-Remote-Write-Samples-Written": str(n), "X-Prometheus-Remote-Write-Histograms-Written": "0",
            "X-Prometheus-Remote-Write-Exemplars-Written": "0"}


def takes_both(q):
    return (204, written(sum(len(s) for _, s in q.series())), "")


def takes_1_only(status, text=""):
    """status: its answer to 2.0."""
    return lambda q: (status, {}, text) if q.version == "2.0.0" else (204, {}, "")


def post(r, minute, count=60):
    points = cloudwatch.some_points(count, 1700000040000 + minute * 60000, seed=minute)
    assert r.post(cloudwatch.body([cloudwatch.record(points, "otlp10")])).status == 200
    return points


def arrived_once(requests, points):
    """In these requests, each sample once."""
    got = {}
    for q in requests:
        assert not receiver.remote_write.faults(q.series())
        for labels, samples in q.series():
            got.setdefault(labels, []).extend(samples)
    assert {s: sorted(v) for s, v in got.items()} == {s: sorted(v.items()) for s, v in mapping.expected(points).items()}


def with_headers(requests, headers):
    return all(q.headers.get(k) == v for q in requests for k, v in headers.items())


def protocol(r, name):
    [row] = [d for d in r.status()["destinations"] if d["name"] == name]
    assert r.metric("standpipe_destination_protocol", destination=name, version=row["protocol"]) == 1
    assert r.metric("standpipe_destination_protocol", destination=name) == 1
    return row["protocol"], row["protocol_reason"]


def test_receivers_without_2_0_get_everything_as_1_0_until_a_reload():
    behave = {"unsupported": takes_1_only(415, "unsupported media type"), "rejected": takes_1_only(400, "proto: illegal wireType 7"),
              "no_written_headers": takes_1_only(204)}
    sinks = {name: receiver.Receiver(behave=b) for name, b in behave.items()}
    modern = receiver.Receiver(behave=takes_both)
    conf = {name: {"url": sink.url, "protocol": "auto", "receiver": "prometheus", **QUICK} for name, sink in sinks.items()}
    conf["rejected"]["protocol"] = "2.0"
    with relay.Relay(modern.url, {"destinations": {"main": {"protocol": "auto", **QUICK}, **conf}}) as r:
        points = post(r, 0) + post(r, 1)
        r.drained()
        points += post(r, 2)
        r.drained()
        for name, sink in sinks.items():
            old = [q for q in sink.requests if q.version == "2.0.0"]
            new = [q for q in sink.requests if q.version != "2.0.0"]
            assert 1 <= len(old) <= 8 and with_headers(old, V2) and with_headers(new, V1), name
            assert all(sorted(map(repr, q.series())) in [sorted(map(repr, n.series())) for n in new] for q in old), "the same data"
            arrived_once(new, points)
            assert protocol(r, name) == ("1.0", name)
            assert r.metric("standpipe_destination_protocol_fallbacks_total", destination=name, reason=name) == 1
            assert r.books(name)[0] == r.books(name)[1]
            [event] = [e for e in r.events("destination.protocol") if e["destination"] == name]
            assert event["level"] == ("warn" if name == "rejected" else "info")
        assert with_headers(modern.requests, V2) and protocol(r, "main") == ("2.0", "")
        assert {line.split()[0]: line.split()[2] for line in r.cli("status").splitlines() if " healthy " in line} == {"main": "2.0", **dict.fromkeys(sinks, "1.0")}
        arrived_once(modern.requests, points)
        assert not r.events("destination.backing_off") + r.events("destination.paused") and r.metric("standpipe_samples_dead_lettered") == 0

        before = {name: len(sink.requests) for name, sink in {**sinks, "main": modern}.items()}
        for sink in sinks.values():
            sink.behave = takes_both
        modern.behave = lambda q: (204, written(1), "")
        r.process.send_signal(signal.SIGHUP)
        relay.wait_for(lambda: r.metric("standpipe_destination_protocol", version="2.0") == 4)
        points = post(r, 3)
        r.drained()
        for name, sink in sinks.items():
            assert with_headers(sink.requests[before[name]:], V2)
            arrived_once(sink.requests[before[name]:], points)
            assert protocol(r, name) == ("2.0", "")
        lost = sum(sum(len(s) for _, s in q.series()) - 1 for q in modern.requests[before["main"]:])
        assert r.metric("standpipe_destination_unconfirmed_total", destination="main") == lost > 0
        assert [e["written"] for e in r.events("destination.unconfirmed")] == [1]


def test_type_help_and_unit_go_with_the_series_from_memory_and_from_disk():
    sink = receiver.Receiver(behave=takes_both)
    with relay.Relay(sink.url, {"destinations": {"main": {"protocol": "2.0", **QUICK}}}) as r:
        points = post(r, 0)
        r.drained()
        sink.stop()
        points += post(r, 1)
        r.kill_all()
        sink.start()
        r.start()
        r.drained()
        assert r.metric("standpipe_destination_protocol_fallbacks_total") == 0
    arrived_once(sink.requests, points)
    said = {}
    for q in sink.requests:
        for labels, _, metadata in receiver.remote_write.decode2(q.body):
            said.setdefault(dict(labels)["__name__"], set()).add(metadata)
    assert len(said) > 20 and all(len(m) == 1 for m in said.values()), "the same from memory and from disk"
    assert all(m and m[0] == 2 and m[1] for [m] in said.values()), "gauges with a help text"
    assert {"bytes", "seconds", "percent"} <= {unit for [(_, _, unit)] in said.values()}
    assert {unit for name, [(_, _, unit)] in said.items() if name.endswith("_sample_count")} == {""}, "a number of data points"


REFUSED = "aws_ebs_volume_read_ops_sum"


def refuses_one_metric(partly):
    """partly: it stores the other series of a request that it refuses, and says how many samples they have. Reads both versions."""
    bad = lambda labels: dict(labels)["__name__"] == REFUSED

    def behave(q):
        q.good = [(labels, samples) for labels, samples in q.series() if not bad(labels)]
        if len(q.good) == len(q.series()):
            return takes_both(q)
        if not partly:
            q.good = []
        return (400, written(sum(len(s) for _, s in q.good)) if partly else {}, "no such series here")
    return receiver.Receiver(behave=behave)


def all_good_samples_arrive(sink, points, r):
    """Returns the dead letters."""
    want = mapping.expected(points)
    got = {}
    for q in sink.requests:
        for labels, samples in q.good:
            got.setdefault(labels, {}).update(samples)
    assert got == {s: v for s, v in want.items() if dict(s)["__name__"] != REFUSED}
    assert r.books()[0] == r.books()[1]
    letters = [json.loads(line) for line in r.cli("deadletter", "ls", "--json").splitlines()]
    assert letters and all("no such series here" in letter["answer"] for letter in letters)
    return letters


def test_refused_samples_are_found_with_2_0_requests():
    sink = refuses_one_metric(partly=True)
    with relay.Relay(sink.url, {"destinations": {"main": {"protocol": "auto", "receiver": "prometheus", "shards": 1, **QUICK}}}) as r:
        points = post(r, 0)
        r.drained()
        requests = len(sink.requests)
        points += post(r, 1)
        r.drained()
        letters = all_good_samples_arrive(sink, points, r)
        assert {letter["reason"] for letter in letters} == {"rejected", "partly_refused"}
        assert all(REFUSED + "{" in r.cli("deadletter", "show", str(letter["id"])) for letter in letters)
        assert len(sink.requests) - requests == 1, "the good part was stored: no need to find it"
        assert with_headers(sink.requests, V2) and protocol(r, "main") == ("2.0", "")


def test_bad_data_before_the_first_success_is_refused_in_both_versions_and_found():
    sink = refuses_one_metric(partly=False)
    with relay.Relay(sink.url, {"destinations": {"main": {"protocol": "auto", "receiver": "prometheus", "shards": 1, **QUICK}}}) as r:
        points = post(r, 0)
        r.drained()
        letters = all_good_samples_arrive(sink, points, r)
        refused = sum(len(v) for s, v in mapping.expected(points).items() if dict(s)["__name__"] == REFUSED)
        assert sum(letter["samples"] for letter in letters) == refused > 0
        assert [(q.version, q.status) for q in sink.requests[:2]] == [("2.0.0", 400), ("0.1.0", 400)]
        assert protocol(r, "main") == ("2.0", ""), "a piece of it was accepted as 2.0 first"
