"""CloudWatch completes minutes afterwards: points come late, again, changed, newest first, and scattered over records."""
import random

import pytest

from lib import cloudwatch, mapping, receiver, relay

MINUTE = 1700000040000
DAY = 86_400_000
FORMATS = ["otlp07", "otlp10", "json"]


def point(minute=0, value=1.0, name="CPUUtilization", id="i-1"):
    at = MINUTE + minute * 60000
    return {"namespace": "AWS/EC2", "metric": name, "unit": "%", "dims": [["InstanceId", id]], "account": "111122223333", "region": "eu-central-1",
            "start_ms": at, "end_ms": at + 60000, "count": 2, "sum": 2 * value, "min": value, "max": value, "quantiles": [], "extras": {}}


def send(r, *records):
    assert r.post(cloudwatch.body(records)).status == 200


def last_wins(sink):
    """{series: {timestamp: value}} as a receiver has it that takes the newest value."""
    return {s: dict(v) for s, v in sink.samples().items()}


def assert_books(r, merged=None):
    accepted, rest = r.books()
    assert accepted == rest
    if merged is not None:
        assert r.metric("standpipe_samples_merged_total") == merged


@pytest.mark.parametrize("fmt", FORMATS)
def test_a_delivery_leaves_in_order_of_time_with_each_sample_once(fmt):
    sink = receiver.Receiver()
    points = [point(m, m, id=f"i-{k}") for k in range(3) for m in reversed(range(12))]
    again = [point(3, 3, id="i-0"), point(4, 99, id="i-0"), point(4, 44, id="i-0")]  # the same, changed, and changed once more
    scattered = points[::3] + points[1::3] + points[2::3] + again
    with relay.Relay(sink.url) as r:
        send(r, *[cloudwatch.record(scattered[i : i + 9], fmt) for i in range(0, len(scattered), 9)])
        r.drained()
        got = sink.samples()
        assert {s: dict(v) for s, v in got.items()} == mapping.expected(points + again)
        for samples in got.values():
            assert len(samples) == 12 and samples == sorted(samples)
        assert_books(r, merged=len(again) * 5)


def test_a_changed_value_is_sent_again_and_an_old_one_too():
    sink = receiver.Receiver()
    with relay.Relay(sink.url) as r:
        for points in ([point(0, 1.0), point(1, 2.0)], [point(0, 1.5)], [point(0, 1.5)], [point(-2 * 1440 - 60, 7.0)]):
            send(r, cloudwatch.record(points, "otlp10"))
            r.drained()
        [(_, average)] = [(s, v) for s, v in sink.samples().items() if dict(s)["__name__"].endswith("_average")]
        at = MINUTE + 60000
        assert average == [(at, 1.0), (at + 60000, 2.0), (at, 1.5), (at, 1.5), (at - 2 * DAY - 3_600_000, 7.0)]
        assert_books(r, merged=0)


def test_the_newest_value_is_the_last_to_leave_after_an_outage():
    sink = receiver.Receiver()
    port = sink.port
    rng = random.Random(7)
    with relay.Relay(sink.url) as r:
        sink.stop()
        sent = []
        for _ in range(40):
            points = [point(rng.randrange(10), rng.random(), id=f"i-{rng.randrange(4)}") for _ in range(6)]
            send(r, cloudwatch.record(points, rng.choice(FORMATS)))
            sent += points
        sink = receiver.Receiver(port=port)
        r.drained()
        assert last_wins(sink) == mapping.expected(sent)
        for request in sink.stored():  # a receiver is never given two values for one time at once
            for _, samples in request.series():
                assert len(samples) == len(dict(samples)) and samples == sorted(samples)
        assert_books(r)


def test_a_receiver_that_refuses_changed_values_takes_the_rest():
    has = {}

    def behave(request):
        """As Prometheus: a changed value for a time it has is an error, an equal one is not."""
        for series, samples in request.series():
            for at, value in samples:
                if has.get((series, at), value) != value:
                    return 400, {}, "duplicate sample for timestamp"
        has.update({(series, at): value for series, samples in request.series() for at, value in samples})
        return 204, {}, ""

    sink = receiver.Receiver(behave=behave)
    with relay.Relay(sink.url) as r:
        send(r, cloudwatch.record([point(0, 1.0), point(0, 5.0, id="i-2")], "otlp10"))
        r.drained()
        send(r, cloudwatch.record([point(0, 2.0), point(0, 5.0, id="i-2"), point(1, 6.0, id="i-2")], "otlp10"))
        r.drained()
        assert last_wins(sink) == mapping.expected([point(0, 1.0), point(0, 5.0, id="i-2"), point(1, 6.0, id="i-2")])
        assert r.metric("standpipe_samples_dead_lettered") == 4  # the count has not changed
        assert "duplicate sample" in r.events("batch.refused")[0]["answer"]
        assert r.metric("standpipe_destination_up") == 1
        assert_books(r, merged=0)
