"""What users of other relays miss or suffer from, shown to be different here: a short test for each, named after the claim.

Claims that another test shows already are in SHOWN, with the place; that the test exists is checked.
"""
import ast
import base64
import gzip
import itertools
import json
import pathlib
import time

import pytest

from lib import cloudwatch, mapping, receiver, relay, remote_write

MINUTE = 1700000040000
TESTS = pathlib.Path(__file__).parent.parent
accounts = itertools.count(100000000001)

SHOWN = {
    "200 means that it is on disk": "fault/kill_test.py::test_kills_between_commit_and_200_lose_nothing",
    "a delivery that Firehose repeats is stored once": "contract/http_test.py::test_a_repeated_delivery_is_answered_and_not_stored_again",
    "answers have Firehose's form, the time in milliseconds": "contract/http_test.py::test_success_is_exactly_what_firehose_wants",
    "refusals have Firehose's form; a missing or wrong key is 401, what cannot be read is 400, and no key is let in": "contract/http_test.py::test_refused",
    "a request id in the body only, or another than the header's, is no fault; demo data, odd layouts and broken attributes are taken": "contract/http_test.py::test_accepted",
    "several keys are valid at once": "contract/http_test.py::test_two_keys_are_valid_while_one_replaces_the_other_and_files_are_read_again",
    "each access key has its own destinations and labels": "e2e/keys_test.py::test_what_a_tenant_sends_arrives_at_its_destinations_with_its_labels",
    "keys come and go without a restart": "e2e/keys_test.py::test_a_tenant_comes_changes_and_goes_without_a_restart_or_a_dropped_connection",
    "a key may be bound to streams": "contract/http_test.py::test_a_stream_that_is_not_allowed_gets_403_before_its_body",
    "accounts have names": "e2e/keys_test.py::test_labels_of_accounts_follow_their_file",
    "load balancers have a health path": "contract/http_test.py::test_health_needs_no_firehose_headers",
    "a compressed body cannot fill the memory": "e2e/hostile_test.py::test_a_gzip_bomb_is_cut_off",
    "the largest body that Firehose sends is taken": "e2e/hostile_test.py::test_the_largest_delivery_that_firehose_makes_is_taken",
    "a record whose base64 is damaged costs only itself": "e2e/real_receivers_test.py::test_a_damaged_generated_record_costs_only_itself",
    "one bad sample does not take the good ones along": "e2e/real_receivers_test.py::test_one_bad_sample_among_5000_is_found",
    "switching the format of a stream changes nothing": "e2e/formats_test.py::test_switching_formats_under_load_changes_nothing",
}


@pytest.mark.parametrize("claim", SHOWN)
def test_what_shows_a_claim_exists(claim):
    path, name = SHOWN[claim].split("::")
    assert name in [n.name for n in ast.walk(ast.parse((TESTS / path).read_text())) if isinstance(n, ast.FunctionDef)]


class Stand:
    """Each test takes an account of its own, so that what arrives for it is easily told."""

    def __init__(self, r, sink):
        self.relay, self.sink = r, sink

    def send(self, *records, **post):
        answer = self.relay.post(post.pop("body", None) or cloudwatch.body(records), **post)
        assert (answer.status, answer.error()) == (200, ""), answer.body
        self.relay.drained()

    def got(self, account):
        return {s: dict(v) for s, v in self.sink.samples().items() if dict(s).get("account_id") == account}

    def became(self, points, *records, **post):
        """The records become exactly these points' series."""
        self.send(*records, **post)
        assert self.got(points[0]["account"]) == mapping.expected(points)


@pytest.fixture(scope="module")
def stand():
    sink = receiver.Receiver()
    with relay.Relay(sink.url) as r:
        yield Stand(r, sink)
        assert [f for q in sink.stored() for f in remote_write.faults(q.series())] == []


def point(**other):
    return {"namespace": "AWS/EC2", "metric": "CPUUtilization", "unit": "%", "dims": [["InstanceId", "i-0a"]], "account": str(next(accounts)),
            "region": "eu-central-1", "start_ms": MINUTE, "end_ms": MINUTE + 60000, "count": 5, "sum": 10.0, "min": 1.0, "max": 4.0, **other}


def points(n, **other):
    """n instances of one account."""
    one = point(**other)
    return [{**one, "dims": [["InstanceId", f"i-{i:03}"]]} for i in range(n)]


def framed(*messages):
    return b"".join(cloudwatch.varint(len(m)) + m for m in messages)


def of_metric(p, metric):
    """A message of the point's resource and this metric's bytes."""
    return framed(cloudwatch.sub(1, cloudwatch.resource(p) + cloudwatch.sub(2, metric)))


# ---- input ----


def test_every_dimension_of_an_otlp_07_point_is_a_label(stand):
    p = point(dims=[["AutoScalingGroupName", "web"], ["InstanceId", "i-1"], ["Zone", "b"]])
    stand.became([p], cloudwatch.record([p], "otlp07"))
    assert all({"auto_scaling_group_name", "instance_id", "zone"} <= set(dict(s)) for s in stand.got(p["account"]))


def test_all_three_formats_are_told_apart_on_one_url(stand):
    p = points(3)
    stand.became(p, *[cloudwatch.record([one], f) for one, f in zip(p, ("otlp07", "otlp10", "json"))])


def test_several_messages_in_a_record_are_all_read(stand):
    p = points(40)
    stand.became(p, framed(*[cloudwatch.otlp_message(p[i:i + 1 + i % 3], "1.0") for i in range(0, 40)]))


def test_messages_of_several_accounts_in_a_record_are_all_read(stand):
    p = [point() for _ in range(7)]
    stand.send(cloudwatch.record(p, "otlp10"))
    for one in p:
        assert stand.got(one["account"]) == mapping.expected([one])


def test_a_compressed_request_is_read(stand):
    p = points(5)
    stand.became(p, body=gzip.compress(cloudwatch.body([cloudwatch.record(p, "json")])), gzip=True)


def test_a_compressed_record_is_read(stand):
    p = points(6)
    stand.became(p, gzip.compress(cloudwatch.record(p[:3], "otlp07")), gzip.compress(cloudwatch.record(p[3:], "json")))


def set_aside(stand):
    return stand.relay.metric("standpipe_convert_quarantined_total")


@pytest.mark.parametrize("bad", [
    gzip.compress(bytes(64 << 20)), b"\x80" * 50, b"\xff" * 12, b"\x05\x0a\xff\xff\xff\xff", b"\x00\x01\x02", b"{\"metric_name\":", b"no format at all",
    framed(b"\x0a\x05\x12\x03\x12\x80\x80")], ids=["bomb", "varint without end", "varint too long", "length beyond the end", "zeros", "cut JSON", "text", "cut inside"])
def test_a_record_that_cannot_be_read_costs_only_itself_and_is_kept(stand, bad):
    p, before = points(2), set_aside(stand)
    stand.became(p, cloudwatch.record(p[:1], "otlp10"), bad, cloudwatch.record(p[1:], "json"))
    assert set_aside(stand) > before


def test_a_bad_line_costs_only_itself(stand):
    p, before = points(2), set_aside(stand)
    stand.became(p, cloudwatch.json_line(p[0]) + b"{\"metric_name\":\"x\",\"value\":7}\nnonsense\n" + cloudwatch.json_line(p[1]))
    assert set_aside(stand) == before + 2


def test_a_json_line_has_no_length_limit(stand):
    p = point()
    line = json.loads(cloudwatch.json_line(p))
    stand.became([p], json.dumps({"padding": "x" * (1 << 20), **line}).encode() + b"\n")


def test_a_metric_that_is_no_summary_is_set_aside_and_the_rest_is_kept(stand):
    p, before = point(), set_aside(stand)
    gauge = cloudwatch.sub(2, cloudwatch.text(1, "gauge") + cloudwatch.sub(5, cloudwatch.sub(1, cloudwatch.fixed(3, 1))))
    good = cloudwatch.sub(2, cloudwatch.text(1, "amazonaws.com/AWS/EC2/CPUUtilization") + cloudwatch.sub(11, cloudwatch.sub(1, cloudwatch.summary_point(p, "1.0"))))
    stand.became([p], of_metric(p, gauge + good))
    assert set_aside(stand) == before + 1


def test_a_summary_without_quantiles_keeps_its_sum_and_count(stand):
    p = point(min=None, max=None)
    stand.became([p], cloudwatch.record([p], "otlp07"))


def test_a_metric_without_points_is_nothing(stand):
    p, before = point(), set_aside(stand)
    empty = cloudwatch.sub(2, cloudwatch.text(1, "amazonaws.com/AWS/EC2/Other") + cloudwatch.sub(11, b""))
    stand.became([p], of_metric(p, empty), cloudwatch.record([p], "otlp10"))
    assert set_aside(stand) == before


@pytest.mark.parametrize("header", ['{"other":1}', "{}", "[]", '{"commonAttributes":null}', '{"commonAttributes":{"a":1}}'])
def test_common_attributes_of_any_shape_are_harmless(stand, header):
    p = point()
    stand.became([p], cloudwatch.record([p], "otlp10"), headers={"X-Amz-Firehose-Common-Attributes": header})


# ---- series ----


def test_resources_that_differ_only_in_letter_case_stay_apart(stand):
    p = point(dims=[["FunctionName", "Import"]])
    other = {**p, "dims": [["FunctionName", "import"]], "sum": 77.0}
    stand.became([p, other], cloudwatch.record([p, other], "otlp10"))
    assert len(stand.got(p["account"])) == 2 * 5


def test_minimum_and_maximum_are_found_by_quantile_and_not_by_place(stand):
    p = point(min=1.0, max=4.0)
    one = cloudwatch.summary_point({**p, "min": None, "max": None}, "0.7")
    for q, v in ((1.0, 4.0), (0.5, 2.0), (0.0, 1.0)):
        one += cloudwatch.sub(6, cloudwatch.double(1, q) + cloudwatch.double(2, v))
    name = cloudwatch.text(1, "amazonaws.com/AWS/EC2/CPUUtilization")
    stand.became([{**p, "quantiles": [[0.5, 2.0]]}], of_metric(p, cloudwatch.sub(2, name + cloudwatch.sub(11, cloudwatch.sub(1, one)))))


def test_percentiles_are_kept_whatever_count_and_sum(stand):
    p = point(count=1, sum=0.0, min=0.0, max=0.0, quantiles=[[0.5, 0.0], [0.99, -1.0]])
    stand.became([p], cloudwatch.record([p], "otlp07"))
    assert {"aws_ec2_cpuutilization_p50", "aws_ec2_cpuutilization_p99"} <= {dict(s)["__name__"] for s in stand.got(p["account"])}


@pytest.mark.parametrize("fmt", ["otlp07", "otlp10", "json"])
def test_all_statistics_of_a_point_have_one_timestamp_and_say_whose_they_are(stand, fmt):
    p = point(quantiles=[[0.99, 3.0]])
    stand.became([p], cloudwatch.record([p], fmt))
    got = stand.got(p["account"])
    assert {t for v in got.values() for t in v} == {p["end_ms"]} and len(got) == 6
    assert all(dict(s)["region"] == "eu-central-1" for s in got)


def test_what_is_unknown_makes_no_empty_label(stand):
    p = point(region="", dims=[["Empty", ""], ["InstanceId", "i-1"]])
    stand.became([p], cloudwatch.record([p], "otlp10"))
    assert all("region" not in dict(s) and "empty" not in dict(s) for s in stand.got(p["account"]))


@pytest.mark.parametrize("fmt", ["otlp07", "otlp10", "json"])
def test_a_dimension_called_namespace_is_kept_beside_the_namespace(stand, fmt):
    p = point(namespace="ContainerInsights", dims=[["ClusterName", "c"], ["Namespace", "kube-system"]])
    stand.became([p], cloudwatch.record([p], fmt))
    assert all(dict(s)["namespace"] == "kube-system" and dict(s)["job"] == "containerinsights" for s in stand.got(p["account"]))


def test_timestamps_keep_their_milliseconds(stand):
    p = point(start_ms=MINUTE + 123, end_ms=MINUTE + 60456)
    stand.became([p], cloudwatch.record([p], "otlp10"))


def test_every_statistic_of_the_json_format_becomes_a_series(stand):
    extras = {"TM(25%:75%)": 1.5, "WM(:90%)": 2.5, "TC(10:20)": 3.0, "TS(80%:)": 4.0, "PR(:300)": 50.0, "IQM": 6.5, "something new": 7.0}
    p = point(extras=extras, quantiles=[[0.9, 3.0], [0.999, 3.5]])
    stand.became([p], cloudwatch.record([p], "json"))
    assert len(stand.got(p["account"])) == 5 + 2 + len(extras)


def test_label_values_are_verbatim(stand):
    p = point(dims=[["LoadBalancer", "app/My-LB.v2/50dc6c495c0c9188"], ["TargetGroup", "täglich \"x\" \\ {}"]])
    stand.became([p], cloudwatch.record([p], "json"))
    assert {"app/My-LB.v2/50dc6c495c0c9188", "täglich \"x\" \\ {}"} <= {v for s in stand.got(p["account"]) for _, v in s}


def test_names_are_legal_whatever_a_metric_is_called(stand):
    p = [point(metric=m, dims=[[d, "x"]]) for m, d in (("größe % frei", "für"), ("4xx Errors (all)", "0"), ("a..b--c", "__reserved"), ("☃", "☃"))]
    for one in p:
        stand.became([one], cloudwatch.record([one], "otlp10"))
    names = [name for one in p for s in stand.got(one["account"]) for name in (dict(s)["__name__"], *dict(s))]
    assert all(n.isascii() and n.replace(":", "_").isidentifier() for n in names)


def test_dimensions_whose_names_become_equal_stay_apart(stand):
    p = point(dims=[["a b", "1"], ["a-b", "2"], ["a.b", "3"], ["region", "4"]])
    stand.became([p], cloudwatch.record([p], "otlp07"))


def test_the_order_of_attributes_does_not_matter(stand):
    p = point(dims=[["A", "1"], ["B", "2"]])
    values = cloudwatch.summary_point({**p, "namespace": "", "metric": "", "dims": []}, "0.7")
    dims = cloudwatch.sub(6, b"".join(cloudwatch.sub(1, cloudwatch.key_value(k, cloudwatch.string_value(v))) for k, v in reversed(p["dims"])))
    attributes = [cloudwatch.sub(7, cloudwatch.key_value(k, v)) for k, v in
                  (("Dimensions", dims), ("MetricName", cloudwatch.string_value(p["metric"])), ("Namespace", cloudwatch.string_value(p["namespace"])))]
    for order in itertools.permutations(attributes):
        one = cloudwatch.fixed(2, p["start_ms"] * 10**6) + b"".join(order) + values[values.index(b"\x19"):]
        stand.became([p], of_metric(p, cloudwatch.sub(2, cloudwatch.text(1, "name") + cloudwatch.sub(11, cloudwatch.sub(1, one)))))


def test_a_dimension_that_is_no_string_is_kept(stand):
    p = point(dims=[["Number", "42"], ["Truth", "true"]])
    dims = cloudwatch.sub(6, cloudwatch.sub(1, cloudwatch.key_value("Number", b"\x18\x2a")) + cloudwatch.sub(1, cloudwatch.key_value("Truth", b"\x10\x01")))
    one = cloudwatch.summary_point({**p, "dims": []}, "1.0") + cloudwatch.sub(7, cloudwatch.key_value("Dimensions", dims))
    stand.became([p], of_metric(p, cloudwatch.sub(2, cloudwatch.text(1, "name") + cloudwatch.sub(11, cloudwatch.sub(1, one)))))


def test_minutes_out_of_order_in_a_body_all_arrive_in_order(stand):
    one = point()
    p = [{**one, "start_ms": MINUTE + 60000 * m, "end_ms": MINUTE + 60000 * (m + 1), "sum": float(m)} for m in (3, 1, 4, 0, 5, 9, 2, 6)]
    stand.became(p, cloudwatch.record(p[:3], "json"), cloudwatch.record(p[3:], "otlp10"))
    arrived = [v for s, v in stand.sink.samples().items() if dict(s).get("account_id") == one["account"]]
    assert all([t for t, _ in v] == sorted(q["end_ms"] for q in p) for v in arrived)


def test_what_cannot_be_read_is_never_answered_as_taken_in_silence(stand):
    """The bytes of a bad record are there to be looked at."""
    bad = b"neither this nor that"
    stand.relay.post(cloudwatch.body([bad]))
    rows = [json.loads(line) for line in stand.relay.cli("quarantine", "ls", "--json").splitlines()]
    shown = stand.relay.cli("quarantine", "show", str(rows[-1]["id"]))
    assert base64.b64encode(bad).decode() in shown or bad.decode() in shown


def test_each_destination_has_the_names_its_dashboards_use():
    presets = ("cloudwatch", "yace", "logzio", "otel")
    sinks = {name: receiver.Receiver() for name in presets}
    conf = {"destinations": {**{name: {"url": sinks[name].url, "naming": name} for name in presets}}}
    with relay.Relay(sinks["cloudwatch"].url, conf) as r:
        assert r.post(cloudwatch.body([cloudwatch.record([point()], "otlp10")])).status == 200
        r.drained()
        series = {name: frozenset(sink.samples()) for name, sink in sinks.items()}
    assert len(set(series.values())) == len(presets)
    for preset, name in (("cloudwatch", "aws_ec2_cpuutilization_sample_count"), ("yace", "aws_ec2_cpuutilization_average"), ("logzio", "aws_ec2_cpuutilization_count")):
        assert name in {dict(s)["__name__"] for s in series[preset]}


def one_delivery(points, destination, **post):
    """What becomes of the points at a destination with these settings: its samples, and the relay's metrics."""
    sink = receiver.Receiver()
    with relay.Relay(sink.url, {"destinations": {"main": destination}}) as r:
        assert r.post(cloudwatch.body([cloudwatch.record(points, "otlp10")]), **post).status == 200
        r.drained()
        assert r.books()[0] == r.books()[1]
        return {s: dict(v) for s, v in sink.samples().items()}, r.metrics()


def test_common_attributes_of_any_spelling_become_labels_when_they_are_listed():
    header = {"X-Amz-Firehose-Common-Attributes": json.dumps({"commonAttributes": {"Team": "Blue", "secret": "x"}})}
    got, _ = one_delivery([point()], {"common_attributes": ["team"]}, headers=header)
    assert {dict(s).get("team") for s in got} == {"Blue"} and not any("secret" in dict(s) for s in got)


def test_what_a_rule_leaves_out_is_counted_by_rule():
    p = [point(), point(namespace="AWS/Usage"), point(dims=[["ImageId", "ami-1"]])]
    rules = [{"name": "no-usage", "action": "exclude", "namespace": ["AWS/Us*"]}, {"name": "no-images", "action": "exclude", "dimensions": ["ImageId"]}]
    got, metrics = one_delivery(p, {"filters": rules})
    assert got == mapping.expected(p[:1])
    counted = {k: v for k, v in metrics.items() if k.startswith("standpipe_convert_filtered_points_total")}
    assert sorted(counted.values()) == [1, 1] and all(any(name in k for k in counted) for name in ("no-usage", "no-images")), counted


def test_series_can_be_renamed_and_dropped_as_prometheus_does_it():
    rules = [{"source_labels": ["__name__"], "regex": ".*_(minimum|maximum)", "action": "drop"}, {"source_labels": ["instance_id"], "regex": "i-(.*)", "target_label": "short"},
             {"regex": "instance_id", "action": "labeldrop"}]
    got, metrics = one_delivery([point()], {"write_relabel_configs": rules})
    assert {dict(s)["__name__"].rsplit("cpuutilization_")[1] for s in got} == {"sum", "sample_count", "average"}
    assert all(dict(s)["short"] == "0a" and "instance_id" not in dict(s) for s in got)
    assert sum(v for k, v in metrics.items() if k.startswith("standpipe_convert_relabel_dropped_samples_total")) == 2


def test_statistics_are_chosen_by_metric():
    p = [point(), point(metric="NetworkIn")]
    got, _ = one_delivery(p, {"statistics": ["average"], "statistics_overrides": [{"metric": ["Network*"], "statistics": ["sum", "maximum"]}]})
    assert {dict(s)["__name__"] for s in got} == {"aws_ec2_cpuutilization_average", "aws_ec2_network_in_sum", "aws_ec2_network_in_maximum"}


def test_points_too_old_for_a_receiver_are_left_out_when_it_is_asked_for():
    now = int(time.time() * 1000) // 60000 * 60000
    p = [point(start_ms=now - 3 * 86400_000, end_ms=now - 3 * 86400_000 + 60000), point(start_ms=now - 60000, end_ms=now)]
    got, _ = one_delivery(p, {"max_age": "2d"})
    assert got == mapping.expected(p[1:])
