"""The numbers that say whose points arrive, how late, and which streams have gone silent."""
from lib import cloudwatch, receiver, relay

MINUTE = 1700000040000
ARN = "arn:aws:firehose:eu-central-1:111122223333:deliverystream/test"


def deliver(r, points, arn=ARN):
    assert r.post(cloudwatch.body([cloudwatch.record(points, "otlp10")]), arn=arn).status == 200


def test_points_are_counted_by_namespace_and_account():
    with relay.Relay(receiver.Receiver().url) as r:
        for seed in range(2):
            deliver(r, cloudwatch.some_points(40, MINUTE, seed=seed))
        for name, label, values in (("by_namespace", "namespace", {"AWS/EC2": 8, "My App": 8}), ("by_account", "account", {"111122223333": 40, "444455556666": 40})):
            for value, points in values.items():
                assert r.metric(f"standpipe_convert_points_{name}_total", **{label: value}) == points
        assert r.metric("standpipe_convert_point_age_seconds_count", account="111122223333") == 40
        assert r.metric("standpipe_convert_point_age_seconds_bucket", account="111122223333", le="172800") == 0


def test_a_silent_stream_is_still_seen_after_a_restart():
    with relay.Relay(receiver.Receiver().url) as r:
        deliver(r, cloudwatch.some_points(5, MINUTE))
        deliver(r, cloudwatch.some_points(5, MINUTE, seed=1), arn=ARN + "2")
        last = {arn: r.metric("standpipe_source_last_received_timestamp_seconds", source=arn) for arn in (ARN, ARN + "2")}
        assert 0 < last[ARN] <= last[ARN + "2"]
        assert r.stop() == 0
        r.start()
        assert last == {arn: r.metric("standpipe_source_last_received_timestamp_seconds", source=arn) for arn in last}
        deliver(r, cloudwatch.some_points(5, MINUTE, seed=2))
        assert r.metric("standpipe_source_last_received_timestamp_seconds", source=ARN) > last[ARN]
        r.kill_all()
        r.start()
        assert r.metric("standpipe_source_last_received_timestamp_seconds", source=ARN) >= last[ARN]


def test_active_series_are_estimated_by_destination_and_namespace():
    sink = receiver.Receiver()
    with relay.Relay(sink.url) as r:
        for minute in range(3):  # the same series again and again
            deliver(r, cloudwatch.some_points(400, MINUTE + 60000 * minute))
        r.drained()
        sent = {}
        for labels in sink.samples():
            sent.setdefault(dict(labels)["job"], set()).add(labels)
        shown = lambda ns: r.metric("standpipe_destination_active_series", destination="main", namespace=ns)
        for namespace, job in (("AWS/EC2", "aws_ec2"), ("My App", "my_app")):
            relay.wait_for(lambda: shown(namespace))  # the workers tell every 10 s
            assert abs(shown(namespace) - len(sent[job])) <= 0.05 * len(sent[job])
        total = sum(map(len, sent.values()))
        [status] = r.status()["destinations"]
        assert abs(status["active_series"] - total) <= 0.05 * total
