"""Clean, late, repeated, changed and too old data, once through one relay into real receivers with and without an out-of-order window."""
import base64
import contextlib
import json
import time

import pytest

from lib import cloudwatch, mapping, real, receiver, relay, remote_write

MINUTE = 60_000
NOW = 1700000040000 - 1700000040000 % MINUTE
WINDOW = "2h"
# By default it takes 2.0 as well. With this it answers 415, but stores it all the same (3.5.3).
ONLY_1 = ["--web.remote-write-receiver.accepted-protobuf-messages=prometheus.WriteRequest"]


def prometheus(window, newer=False, args=(), **settings):
    start = lambda: real.Prometheus(window, real.newer("prometheus"), args) if newer else real.Prometheus(window)
    return start, {"receiver": "prometheus", **settings}


def victoria(newer=False, **settings):
    start = lambda: real.VictoriaMetrics(real.newer("victoria-metrics")) if newer else real.VictoriaMetrics()
    return start, {"receiver": "victoriametrics", **settings}


RECEIVERS = {
    "prometheus": prometheus(None, protocol="auto"), "prometheus window": prometheus(WINDOW),
    "prometheus3": prometheus(None, newer=True, args=ONLY_1, protocol="auto"), "prometheus3 window": prometheus(WINDOW, newer=True),
    "prometheus3 2.0": prometheus(None, newer=True, protocol="2.0"), "prometheus3 2.0 window": prometheus(WINDOW, newer=True, protocol="auto"),
    "victoria": victoria(protocol="auto"), "victoria newer": victoria(newer=True, protocol="auto"),
}


def point(metric, at, value):
    return {"namespace": "AWS/EC2", "metric": metric, "unit": "%", "dims": [["InstanceId", "i-0"]], "account": "111122223333", "region": "eu-central-1",
            "start_ms": at - MINUTE, "end_ms": at, "count": 2, "sum": 2 * value, "min": value - 1, "max": value + 1}


def points(n, at, value=100.0, first=0):
    return [point(f"Metric{i}", at, value + i) for i in range(first, first + n)]


# What is delivered, one after the other; good is what any receiver must have in the end.
CLEAN = points(20, NOW - 2 * MINUTE) + points(20, NOW - MINUTE)
LATE, WITH_LATE = points(10, NOW - 30 * MINUTE), points(20, NOW)
REPEATED_OLD, REPEATED_NEWEST = points(5, NOW - 2 * MINUTE), points(20, NOW)
CHANGED, WITH_CHANGED = points(1, NOW, 500.0), points(19, NOW + MINUTE, first=1)  # the changed sample is the newest of its series
TOO_OLD, WITH_TOO_OLD = [point("Ancient", NOW - 3 * 60 * MINUTE, 1.0)], points(20, NOW + 2 * MINUTE)
WIDE = [{**point("Wide", NOW + 2 * MINUTE, 1.0), "dims": [[f"Dim{i:02}", str(i)] for i in range(40)]}]  # VictoriaMetrics ignores such a series
# Deliveries in a row that are late as a whole, and one behind them that is not: none of them must keep it.
FLOOD, AFTER_FLOOD = [points(20, NOW - k * MINUTE) for k in range(15, 3, -1)], points(20, NOW + 3 * MINUTE)
LATE_ROWS = sum(FLOOD, [])
GOOD = CLEAN + WITH_LATE + WITH_CHANGED + WITH_TOO_OLD + AFTER_FLOOD
DELIVERIES = [[CLEAN[:20]], [CLEAN[20:]], [LATE + WITH_LATE], [REPEATED_OLD + REPEATED_NEWEST], [CHANGED + WITH_CHANGED], [TOO_OLD + WITH_TOO_OLD + WIDE], [*FLOOD, AFTER_FLOOD]]


def destination(name):
    return name.replace(" ", "_").replace(".", "_")


def averages(*points):
    """{series: {timestamp: value}} of the one statistic that is sent here."""
    return {s: v for s, v in mapping.expected(sum(points, [])).items() if dict(s)["__name__"].endswith("_average")}


class Outcome:
    def __init__(self, receiver, r, name):
        self.name, name = name, destination(name)
        self.stored = receiver.samples(NOW + 3 * MINUTE)
        self.accepted, self.accounted = r.books(name)
        self.said = [e["setting"] for e in r.events("destination.order_refused") if e["destination"] == name]
        self.paused = [e["reason"] for e in r.events("destination.paused") if e["destination"] == name]
        self.protocol = next((d["protocol"], d["protocol_reason"]) for d in r.status()["destinations"] if d["name"] == name)
        self.refused = {}  # {series: {timestamp: the receiver's words}}
        for letter in map(json.loads, r.cli("deadletter", "export", "--destination", name).splitlines()):
            for series, samples in remote_write.decode(base64.b64decode(letter["body"])):
                self.refused.setdefault(series, {}).update((at, letter["answer"]) for at, _ in samples)

    def count(self, points, word):
        """Samples of these points that are dead letters with this word of the receiver."""
        return sum(at in self.refused.get(series, {}) and word in self.refused[series][at] for series, samples in averages(points).items() for at in samples)


@pytest.fixture(scope="module")
def outcomes():
    """{name: Outcome, or why this receiver is not here}"""
    out, started = {}, {}
    with contextlib.ExitStack() as stack:
        for name, (start, _) in RECEIVERS.items():
            try:
                started[name] = start()
                stack.push(started[name])
            except pytest.skip.Exception as e:
                out[name] = str(e)
        for receiver in started.values():
            receiver.__enter__()
        r = relay.Relay("http://unused/")
        r.conf["destinations"] = {destination(name): {"url": receiver.url, "shards": 1, "statistics": ["average"],
                                                      "backoff": {"min": "20ms", "max": "50ms", "unreachable_max": "50ms"}, **RECEIVERS[name][1]}
                                  for name, receiver in started.items()}
        with r:
            for together in DELIVERIES:
                for sent in together:
                    assert r.post(cloudwatch.body([cloudwatch.record(sent, "otlp10")])).status == 200
                r.drained()
            out.update((name, Outcome(receiver, r, name)) for name, receiver in started.items())
    return out


@pytest.fixture
def outcome(outcomes, name):
    if isinstance(outcomes[name], str):
        pytest.skip(outcomes[name])
    o = outcomes[name]
    assert o.accepted == o.accounted == sum(map(len, sum(DELIVERIES, [])))
    return o


def named(*words):
    return pytest.mark.parametrize("name", [n for n in RECEIVERS if all((word[1:] not in n) if word[0] == "-" else (word in n) for word in words)])


def times(series):
    return {s: set(v) for s, v in series.items()}


@named("prometheus", "-window", "-2.0")
def test_without_a_window_every_sample_in_order_arrives(outcome):
    assert outcome.stored == averages(GOOD, WIDE)
    assert times(outcome.refused) == times(averages(LATE, REPEATED_OLD, CHANGED, TOO_OLD, LATE_ROWS))
    assert outcome.count(LATE + REPEATED_OLD + LATE_ROWS, "out of order") == 15 + len(LATE_ROWS)
    assert outcome.paused == [], "a row of late deliveries is no receiver that refuses everything"
    assert outcome.count(CHANGED, "duplicate sample") == outcome.count(TOO_OLD, "out of bounds") == 1
    assert outcome.said == ["storage.tsdb.out_of_order_time_window"], "once, however much was refused"
    assert outcome.protocol == ("1.0", {"prometheus": "no_written_headers", "prometheus3": "unsupported"}[outcome.name]), "asked for 2.0 first"


@named("prometheus", "window", "-2.0")
def test_with_a_window_late_samples_arrive_too(outcome):
    assert outcome.stored == averages(LATE, LATE_ROWS, GOOD, WIDE)
    assert times(outcome.refused) == times(averages(CHANGED, TOO_OLD))
    assert outcome.count(CHANGED, "duplicate sample") == outcome.count(TOO_OLD, "too old") == 1
    assert outcome.said == ["storage.tsdb.out_of_order_time_window"]


@named("prometheus", "2.0")
def test_as_2_0_the_good_part_of_a_refused_request_is_stored(outcome):
    """It is not sent again to find out which part that was, so a dead letter may hold good samples beside bad ones."""
    window = "window" in outcome.name
    assert outcome.stored == (averages(LATE, LATE_ROWS, GOOD, WIDE) if window else averages(GOOD, WIDE))
    assert outcome.count(TOO_OLD, "too old" if window else "out of bounds") == 1
    assert outcome.count(CHANGED, "duplicate sample") == 1 and (window or outcome.count(LATE + REPEATED_OLD, "out of order") == 15)
    assert outcome.said == ["storage.tsdb.out_of_order_time_window"] and outcome.protocol == ("2.0", "")


@named("victoria")
def test_victoriametrics_takes_everything_within_its_limits_and_gets_1_0(outcome):
    want = averages(LATE, LATE_ROWS, TOO_OLD, GOOD)
    for series, samples in averages(CHANGED).items():  # both values are stored, and it is its own affair which of them it shows
        assert all(outcome.stored[series].pop(at) in (value, want[series].pop(at)) for at, value in samples.items())
    assert outcome.stored == want
    assert times(outcome.refused) == times(averages(WIDE)), "what it would ignore without a word is a dead letter"
    assert (outcome.said, outcome.protocol) == ([], ("1.0", "no_written_headers"))


def test_prometheus_hands_on_the_type_help_and_unit_that_it_got():
    """It shows them in no query, but a Prometheus that is a sender of 2.0 itself passes on what it knows."""
    binary = real.newer("prometheus")
    written = lambda q: {"X-Prometheus-Remote-Write-Samples-Written": str(sum(len(s) for _, s in q.series()))}
    sink = receiver.Receiver(behave=lambda q: (204, written(q), ""))
    config = f"""remote_write: [{{url: "{sink.url}", protobuf_message: io.prometheus.write.v2.Request, queue_config: {{batch_send_deadline: 100ms}}}}]\n"""
    soon = (int(time.time() * 1000) // MINUTE + 2) * MINUTE  # it hands on what is newer than its own start
    with real.Prometheus(WINDOW, binary, ["--enable-feature=metadata-wal-records"], config) as between, \
            relay.Relay(between.url, {"destinations": {"main": {"receiver": "prometheus", "protocol": "2.0"}}}) as r:
        assert r.post(cloudwatch.body([cloudwatch.record(points(3, soon), "otlp10")])).status == 200
        r.drained()
        relay.wait_for(lambda: len(sink.samples()) >= 15)
    said = {dict(labels)["__name__"]: metadata for q in sink.requests for labels, _, metadata in remote_write.decode2(q.body)}
    assert len(said) == 15 and None not in said.values()
    assert said["aws_ec2_metric0_average"] == (2, "CloudWatch metric AWS/EC2 Metric0", "percent")
