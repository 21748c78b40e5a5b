"""The sender's part of remote write, case by case under the names of the Prometheus project's compliance suite, with CloudWatch data.

Two relays: one with receivers that take what they get, whose requests are then looked at; one with receivers that answer badly.
"""
import contextlib
import json
import math
import re
import signal
import struct
import time
import types

import pytest
import snappy

import suite
from lib import behaviours, cloudwatch, receiver, relay, remote_write

MINUTE = 60_000
METRIC, LABEL = re.compile("[a-zA-Z_:][a-zA-Z0-9_:]*"), re.compile("[a-zA-Z_][a-zA-Z0-9_]*")
V2 = "application/x-protobuf;proto=io.prometheus.write.v2.Request"


def point(metric, at, value=1.0, dims=(("InstanceId", "i-0"),), namespace="AWS/EC2"):
    return {"namespace": namespace, "metric": metric, "unit": "%", "dims": [list(d) for d in dims], "account": "111122223333", "region": "eu-central-1",
            "start_ms": at - MINUTE, "end_ms": at, "count": 1, "sum": value, "min": value, "max": value}


def post(r, points):
    assert r.post(cloudwatch.body([cloudwatch.record(points, "otlp10")])).status == 200


VALUES = {"Float": 123.45, "Integer": 42.0, "Zero": 0.0, "Negative": -15.5, "Plusinf": math.inf, "Minusinf": -math.inf, "Large": 1.5e308, "Small": 2e-308,
          "Scientific": 0.000123, "Precise": 0.1 + 0.2}
STALE, = struct.unpack("<d", b"\x02\x00\x00\x00\x00\x00\xf0\x7f")
UNICODE, SPECIAL, LONG, LONG_NAME = "h\u00e9llo \u4e16\u754c \U0001f680", 'a"b\\c\nd', "v" * 10_000, "l" * 200


def deliveries(now):
    """Lists of points, each delivered alone."""
    few = [point("Few", now, 1.0, [("InstanceId", f"i-{i}")]) for i in range(3)]
    special = [point(metric, now, value) for metric, value in VALUES.items()] + [point("Nan", now, math.nan), point("Stale", now, STALE)]
    special += [point("Labels", now, 1.0, [("Unicode", UNICODE), ("Special", SPECIAL), ("Long", LONG), (LONG_NAME, "x"), ("Empty", "")]),
                point("Many", now, 1.0, [(f"Dim{i:02}", str(i)) for i in range(30)]), point("M" * 255, now), point("Has:colon", now),
                point('Help "quoted" \\ text', now), point("Two\nlines", now)]
    special += [point("Several", now - i * MINUTE, float(i)) for i in range(5)]  # newest first, as CloudWatch sends them
    future = [point("Future", now + 3600_000), {**point("Epoch", MINUTE), "start_ms": 0, "end_ms": 0}, point("Withfuture", now)]
    load = [point(f"Load{i}", now, float(i), [("InstanceId", f"i-{i % 7}"), ("Service", "a"), ("Method", "GET")]) for i in range(400)]
    return [few, special, [], future, load, [point("Several", now + MINUTE, 9.0)]]


class Sent:
    """What one receiver got."""

    def __init__(self, name, sink, now, after, books, letters, destination):
        self.requests, self.now, self.name, self.first, self.last = sink.requests, now, name, sink.requests[0], sink.requests[-2]
        self.after = after  # requests after each delivery
        self.series = [s for q in self.requests for s in q.series()]
        self.by_name = {}
        for labels, samples in self.series:
            self.by_name.setdefault(dict(labels)["__name__"], []).append((dict(labels), samples))
        self.metadata = {dict(labels)["__name__"]: m for q in self.requests if q.version == "2.0.0" for labels, _, m in remote_write.decode2(q.body)}
        self.books, self.letters = books, [d for d in letters if d["destination"] == name]
        self.protocol = destination["protocol"], destination["protocol_reason"]

    def every(self, header, fits):
        return all(fits(q.headers.get(header) or "") for q in self.requests)

    def label_names(self):
        return [name for labels, _ in self.series for name, _ in labels]

    def values(self, metric):
        """Of its sum."""
        return [v for _, samples in self.by_name.get(f"aws_ec2_{metric.lower()}_sum", []) for _, v in samples]

    def times(self):
        return [t for _, samples in self.series for t, _ in samples]

    def label(self, metric, name):
        return [labels.get(name) for labels, _ in self.by_name[f"aws_ec2_{metric.lower()}_sum"]]


def symbols(request):
    return [v.decode() for field, v in remote_write.fields(snappy.uncompress(request.body)) if field == 4]


def only_labels_and_samples(request):
    """As 1.0: no metadata, no histogram, no start of a sample."""
    names = lambda message: {field for field, _ in remote_write.fields(message)}
    return all(field == 1 and names(series) == {1, 2} and all(f == 1 or names(v) <= {1, 2} for f, v in remote_write.fields(series))
               for field, series in remote_write.fields(snappy.uncompress(request.body)))


def in_order(samples):
    return [t for t, _ in samples] == sorted({t for t, _ in samples})


def in_order_over_requests(s):
    newest = {}
    for labels, samples in s.series:
        if any(t <= newest.get(labels, -1) for t, _ in samples):
            return False
        newest[labels] = samples[-1][0]
    return len(newest) < len(s.series)  # some series are in several requests


# Of a receiver that takes everything, in both versions: what must be so.
WELL = {
    "TestProtocolCompliance/content_type_protobuf": lambda s: s.every("Content-Type", lambda h: h.startswith("application/x-protobuf")),
    "TestProtocolCompliance/content_encoding_snappy": lambda s: s.every("Content-Encoding", lambda h: h == "snappy"),
    "TestProtocolCompliance/version_header_present": lambda s: s.every("X-Prometheus-Remote-Write-Version", bool),
    "TestProtocolCompliance/version_header_value": lambda s: s.every("X-Prometheus-Remote-Write-Version", lambda h: h == {"v1": "0.1.0", "v2": "2.0.0"}[s.name]),
    "TestProtocolCompliance/user_agent_present": lambda s: s.every("User-Agent", lambda h: h.startswith("standpipe/")),
    "TestProtocolCompliance/snappy_block_format": lambda s: all(q.body and not q.body.startswith(b"\xff\x06\x00\x00sNaPpY") for q in s.requests),
    "TestProtocolCompliance/protobuf_parseable": lambda s: all(q.series() for q in s.requests),
    "TestHTTPMethod": lambda s: s.requests and all(q.path == "/api/v1/write" for q in s.requests),  # the receiver knows POST only
    "TestLabelValidation/label_lexicographic_ordering": lambda s: all([n for n, _ in labels] == sorted(n for n, _ in labels) for labels, _ in s.series),
    "TestLabelValidation/metric_name_label_present": lambda s: all(dict(labels).get("__name__") for labels, _ in s.series),
    "TestLabelValidation/metric_name_format_valid": lambda s: all(METRIC.fullmatch(name) for name in s.by_name),
    "TestLabelValidation/label_name_format_valid": lambda s: all(map(LABEL.fullmatch, s.label_names())),
    "TestLabelValidation/no_duplicate_label_names": lambda s: all(len(dict(labels)) == len(labels) for labels, _ in s.series),
    "TestLabelValidation/label_names_not_empty": lambda s: all(s.label_names()),
    "TestLabelValidation/label_values_may_be_empty": lambda s: s.label("Labels", "empty") == [None],
    "TestLabelValidation/reserved_label_prefix": lambda s: {n for n in s.label_names() if n.startswith("__")} == {"__name__"},
    "TestLabelValidation/unicode_in_label_values": lambda s: s.label("Labels", "unicode") == [UNICODE],
    "TestLabelValidation/special_chars_in_label_values": lambda s: s.label("Labels", "special") == [SPECIAL],
    "TestLabelValidation/very_long_label_names": lambda s: s.label("Labels", LONG_NAME) == ["x"],
    "TestLabelValidation/very_long_label_values": lambda s: s.label("Labels", "long") == [LONG],
    "TestLabelValidation/many_labels_per_series": lambda s: len(s.by_name["aws_ec2_many_sum"][0][0]) >= 34,
    "TestSampleEncoding/float_value_encoding": lambda s: s.values("Float") == [123.45],
    "TestSampleEncoding/integer_value_encoding": lambda s: s.values("Integer") == [42],
    "TestSampleEncoding/zero_value_encoding": lambda s: s.values("Zero") == [0],
    "TestSampleEncoding/negative_value_encoding": lambda s: s.values("Negative") == [-15.5],
    "TestSampleEncoding/positive_infinity_encoding": lambda s: s.values("Plusinf") == [math.inf],
    "TestSampleEncoding/negative_infinity_encoding": lambda s: s.values("Minusinf") == [-math.inf],
    "TestSampleEncoding/nan_encoding": lambda s: s.values("Nan") == [] and len(s.by_name["aws_ec2_nan_sample_count"]) == 1,  # a statistic that is no number is none
    "TestSampleEncoding/timestamp_milliseconds_format": lambda s: all(1e12 < t < 1e16 for t in s.times() if t),
    "TestSampleEncoding/timestamp_recent": lambda s: all(abs(t - s.now) <= 5 * MINUTE for t in s.times() if t),
    "TestSampleEncoding/multiple_samples_same_series": lambda s: len(s.values("Several")) == 6,
    "TestSampleEncoding/large_float_values": lambda s: s.values("Large") == [1.5e308],
    "TestSampleEncoding/small_float_values": lambda s: s.values("Small") == [2e-308],
    "TestSampleEncoding/scientific_notation": lambda s: s.values("Scientific") == [0.000123],
    "TestSampleEncoding/precision_preservation": lambda s: s.values("Precise") == [0.1 + 0.2],
    "TestSampleOrdering": lambda s: all(in_order(samples) for _, samples in s.series),
    "TestTimestampEncoding/timestamp_int64_milliseconds": lambda s: all(t % MINUTE == 0 for t in s.times()),
    "TestTimestampEncoding/timestamp_ordering_within_series": lambda s: [len(v) for _, v in s.by_name["aws_ec2_several_sum"]] == [5, 1],
    "TestTimestampEncoding/timestamp_precision": lambda s: all(abs(t - s.now) <= 10 * MINUTE for t in s.times() if t),
    "TestTimestampEncoding/timestamp_future_values": lambda s: s.by_name["aws_ec2_withfuture_sum"] and "aws_ec2_future_sum" not in s.by_name,
    "TestBatchingBehavior/multiple_series_per_request": lambda s: len({dict(labels)["__name__"] for labels, _ in s.last.series()}) >= 2,
    "TestBatchingBehavior/batch_size_reasonable": lambda s: all(1 <= len(q.series()) <= 5000 for q in s.requests),
    "TestBatchingBehavior/handles_varying_cardinality": lambda s: {len(q.series()) for q in s.requests} >= {5, 15, 2000},
    "TestConcurrentRequests": lambda s: len(s.requests) >= 5,
    "TestCombinedFeatures/high_cardinality_labels": lambda s: len({labels for labels, _ in s.last.series()}) == 2000,
    "TestCombinedFeatures/complete_metric_family": lambda s: (
        {f"aws_ec2_few_{x}" for x in ("sum", "sample_count", "minimum", "maximum", "average")} == {dict(labels)["__name__"] for labels, _ in s.first.series()}),
    "TestCombinedFeatures/real_world_scenario": lambda s: not [f for q in s.requests for f in remote_write.faults(q.series())],
    "TestEdgeCases/empty_scrape": lambda s: s.after[1] == s.after[2],
    "TestEdgeCases/huge_label_values": lambda s: s.label("Labels", "long") == [LONG],
    "TestEdgeCases/unicode_in_labels": lambda s: s.label("Labels", "unicode") == [UNICODE],
    "TestEdgeCases/many_timeseries": lambda s: len(s.last.series()) >= 10,
    "TestEdgeCases/high_cardinality": lambda s: len(s.last.series()) >= 20,
    "TestEdgeCases/very_long_metric_name": lambda s: "aws_ec2_" + "m" * 255 + "_sum" in s.by_name,
    "TestEdgeCases/special_float_combinations": lambda s: s.values("Plusinf") + s.values("Minusinf") + s.values("Zero") == [math.inf, -math.inf, 0],
    "TestEdgeCases/zero_timestamp": lambda s: all(t >= 0 for t in s.times()),
    "TestEdgeCases/future_timestamp": lambda s: s.by_name["aws_ec2_withfuture_sum"] and "aws_ec2_future_sum" not in s.by_name,
    "TestEdgeCases/metric_name_with_colons": lambda s: "aws_ec2_has:colon_sum" in s.by_name,
    "TestEdgeCases/stale_marker": lambda s: not any(math.isnan(v) for _, samples in s.series for _, v in samples),  # no input can fake one
    "TestEdgeCases/mixed_sample_and_histogram_families": lambda s: len(s.by_name) >= 2,
    "TestRobustnessUnderLoad": lambda s: len(s.last.series()) == 2000,
    "Missing/order_over_several_requests": in_order_over_requests,
}
WELL_2 = {
    "TestProtocolCompliance/content_type_with_proto_param": lambda s: s.every("Content-Type", lambda h: h == V2),
    "TestSymbolTable/empty_string_at_index_zero": lambda s: all(symbols(q)[0] == "" for q in s.requests),
    "TestSymbolTable/string_deduplication": lambda s: all(len(set(symbols(q))) == len(symbols(q)) for q in s.requests),
    "TestSymbolTable/labels_refs_valid_indices": lambda s: all(remote_write.decode2(q.body) for q in s.requests),  # raises otherwise
    "TestSymbolTable/labels_refs_even_length": lambda s: all(remote_write.decode2(q.body) for q in s.requests),
    "TestSymbolTableEfficiency": lambda s: len(symbols(s.first)) <= 30 and len(s.first.series()) == 15,
    "TestTimestampEncoding/start_timestamp_zero_handling": lambda s: all(remote_write.decode2(q.body) for q in s.requests),  # takes no other field in a sample
    "TestTimestampEncoding/start_timestamp_before_sample_timestamp": lambda s: all(remote_write.decode2(q.body) for q in s.requests),
    "TestMetadataEncoding/metadata_type_gauge": lambda s: {m[0] for m in s.metadata.values()} == {2},
    "TestMetadataEncoding/metadata_help_text": lambda s: "AWS/EC2 Few" in s.metadata["aws_ec2_few_sum"][1],
    "TestMetadataEncoding/metadata_unit": lambda s: s.metadata["aws_ec2_few_sum"][2] == "percent",
    "TestMetadataEncoding/metadata_help_with_newlines": lambda s: "Two\nlines" in s.metadata["aws_ec2_two_lines_sum"][1],
    "TestMetadataEncoding/metadata_help_with_special_chars": lambda s: 'Help "quoted" \\ text' in s.metadata["aws_ec2_help_quoted_text_sum"][1],
    "TestMetadataEncoding/metadata_help_refs_valid": lambda s: all(
        help and bool(unit) != name.endswith("_sample_count") for name, (_, help, unit) in s.metadata.items()),
    "TestMetadataEncoding/metadata_consistent_across_series": lambda s: len({m[:2] for labels, _, m in remote_write.decode2(s.first.body)}) == 1,
    "TestBatchingBehavior/efficient_symbol_reuse": lambda s: len(symbols(s.last)) < len(s.last.series()) * 2,
    "TestBatchingBehavior/metadata_batching": lambda s: all(m for _, _, m in remote_write.decode2(s.last.body)),
    "TestCombinedFeatures/samples_with_metadata": lambda s: all(samples and m for _, samples, m in remote_write.decode2(s.last.body)),
    "TestCombinedFeatures/mixed_labels_and_metadata": lambda s: all(
        {"service", "method"} <= set(dict(labels)) and m for labels, _, m in remote_write.decode2(s.last.body)),
    "TestContentTypeNegotiation": lambda s: s.every("Content-Type", lambda h: h == V2),
    "TestNoFallbackOn2xx": lambda s: s.every("X-Prometheus-Remote-Write-Version", lambda h: h == "2.0.0") and s.protocol == ("2.0", ""),
    "TestResponseProcessing/handle_204_no_content": lambda s: s.books[0] == s.books[1] and not s.letters,
}
WELL_1 = {
    "TestRemoteWrite1Compatibility/rw1_version_header": lambda s: s.every("X-Prometheus-Remote-Write-Version", lambda h: h == "0.1.0"),
    "TestRemoteWrite1Compatibility/rw1_content_type": lambda s: s.every("Content-Type", lambda h: h == "application/x-protobuf"),
    "TestRemoteWrite1Compatibility/rw1_samples_encoding": lambda s: s.values("Float") == [123.45],
    "TestRemoteWrite1Compatibility/rw1_labels_encoding": lambda s: s.label("Labels", "special") == [SPECIAL],
    "TestRemoteWrite1Compatibility/rw1_no_native_histograms": lambda s: all(map(only_labels_and_samples, s.requests)),
    "TestRemoteWrite1Compatibility/rw1_no_start_timestamp": lambda s: all(map(only_labels_and_samples, s.requests)),
    "TestRemoteWrite1Compatibility/rw1_metadata_handling": lambda s: all(q.series() for q in s.requests),  # the reader takes series only
    "TestRemoteWrite1Compatibility/rw1_symbol_table_not_used": lambda s: all(q.series() for q in s.requests),
    "TestRemoteWrite1Configuration": lambda s: s.protocol == ("1.0", "") and s.every("Content-Type", lambda h: h == "application/x-protobuf"),
}

# Receivers that answer in a way of their own to what they take: behaviour, settings, {case: what must be so}.
PARTLY = "the good part is stored, but not " + "x" * 100


def stores_all_but_three(q):
    bad = [labels for labels, _ in q.series() if "_few_sum" in dict(labels)["__name__"]]
    written = {"X-Prometheus-Remote-Write-Samples-Written": str(sum(len(samples) for _, samples in q.series()) - len(bad))}
    return (400, written, PARTLY) if bad else (204, written, "")


def versions(s):
    return [q.version for q in s.requests]


SPECIAL_RECEIVERS = {
    "ok200": (lambda q: (200, behaviours.modern(q)[1], "ignore me: error 500"), {"protocol": "2.0"}, {
        "TestResponseProcessing/handle_200_ok": lambda s: s.books[0] == s.books[1] == sum(len(samples) for _, samples in s.series),
        "TestResponseProcessing/ignore_response_body_on_success": lambda s: not s.letters and set(versions(s)) == {"2.0.0"},
    }),
    "fewer": (lambda q: (204, {"X-Prometheus-Remote-Write-Samples-Written": "1"}, ""), {"protocol": "2.0"}, {
        "TestResponseProcessing/process_written_count_headers": lambda s: s.unconfirmed == s.books[0] - len(s.requests) and not s.letters,
    }),
    "partly": (stores_all_but_three, {"protocol": "2.0"}, {
        "TestResponseProcessing/handle_partial_write_response": lambda s: (
            set(versions(s)) == {"2.0.0"} and sum(d["samples"] for d in s.letters) >= 3 and s.books[0] == s.books[1]),
        "TestResponseProcessing/log_error_messages_verbatim": lambda s: {d["answer"] for d in s.letters} == {PARTLY},
    }),
    "silent": (lambda q: (204, {}, ""), {"protocol": "auto"}, {
        "TestResponseProcessing/handle_missing_written_headers": lambda s: (
            versions(s)[:2] == ["2.0.0", "0.1.0"] and same(*s.requests[:2]) and "2.0.0" not in versions(s)[1:]),
    }),
    "unsupported": (behaviours.old(415), {"protocol": "auto"}, {
        "TestFallbackBehavior/fallback_on_415_unsupported_media_type": lambda s: s.protocol == ("1.0", "unsupported"),
        "TestFallbackBehavior/retry_with_different_version": lambda s: versions(s)[:2] == ["2.0.0", "0.1.0"] and same(*s.requests[:2]),
        "TestFallbackBehavior/fallback_header_changes": lambda s: [q.headers["Content-Type"] for q in s.requests[:2]] == [V2, "application/x-protobuf"],
        "TestFallbackBehavior/accept_success_after_fallback": lambda s: s.books[0] == s.books[1] and not s.letters,
        "TestFallbackBehavior/persistent_fallback_choice": lambda s: len(s.requests) > 3 and "2.0.0" not in versions(s)[1:],
    }),
    "limits": (behaviours.modern, {"label_limit": 12, "label_value_length_limit": 100}, {
        "Missing/label_limits": lambda s: (
            s.label("Labels", "long") == ["v" * 100] and "aws_ec2_many_sum" not in s.by_name
            and [(d["samples"], d["reason"]) for d in s.letters] == [(5, "too_many_labels")]),
    }),
    "small": (behaviours.at_most_bytes(2000), {}, {
        "Missing/split_on_413": lambda s: (
            max(len(q.body) for q in s.requests) > 2000 and s.books[0] == s.books[1] and not s.letters
            and len({labels for q in s.requests if q.status == 204 for labels, _ in q.series() if "_load" in dict(labels)["__name__"]}) == 2000),
    }),
}


def same(a, b):
    return sorted(map(repr, a.series())) == sorted(map(repr, b.series()))


@pytest.fixture(scope="module")
def well():
    """{name of the receiver: Sent}"""
    now = int(time.time() * 1000) // MINUTE * MINUTE
    kinds = {"v1": (behaviours.modern, {}), "v2": (behaviours.modern, {"protocol": "2.0"}), **{name: kind[:2] for name, kind in SPECIAL_RECEIVERS.items()}}
    sinks = {name: receiver.Receiver(behave=behave) for name, (behave, _) in kinds.items()}
    after = {name: [] for name in kinds}
    r = relay.Relay("http://unused/")
    r.conf["destinations"] = {name: {"url": sinks[name].url, "shards": 1, "backoff": {"min": "20ms"}, **settings} for name, (_, settings) in kinds.items()}
    with r:
        for points in deliveries(now):
            post(r, points) if points else r.post(cloudwatch.body([b""]))
            r.drained()
            for name, sink in sinks.items():
                after[name].append(len(sink.requests))
        letters = [json.loads(line) for line in r.cli("deadletter", "ls", "--json").splitlines()]
        rows = {d["name"]: d for d in r.status()["destinations"]}
        sent = {name: Sent(name, sink, now, after[name], r.books(name), letters, rows[name]) for name, sink in sinks.items()}
        sent["fewer"].unconfirmed = r.metric("standpipe_destination_unconfirmed_total", destination="fewer")
    return sent


def cases(**tables):
    return pytest.mark.parametrize("name, check", [pytest.param(name, check, id=f"{case}-{name}") for name, table in tables.items() for case, check in table.items()])


@cases(v2={**WELL, **WELL_2}, v1={**WELL, **WELL_1}, **{name: kind[2] for name, kind in SPECIAL_RECEIVERS.items()})
def test_receivers_that_take_data(well, name, check):
    assert check(well[name])


# Receivers that answer badly, each with one sample that waits for it: behaviour, {case: what must be so at the moment when one that
# answers 500 was asked four times}.
def gaps(asked):
    return [b.at - a.at for a, b in zip(asked, asked[1:])]


def at_most_twice(asked):
    return 1 <= len(asked) <= 2


def again(asked):
    return len(asked) >= 2


LARGE = "x" * 1_000_000
ILL = {
    "timeout": (lambda q: ("stall", 30), {"TestErrorHandling/handle_timeout": lambda asked: True}),
    "partial_write": (behaviours.status(400, "no", X_Prometheus_Remote_Write_Samples_Written="0"), {
        "TestErrorHandling/handle_partial_write": lambda asked: 1 <= len(asked) <= 4}),
    "malformed": (behaviours.garbage, {"TestErrorHandling/handle_malformed_response": again}),
    "empty": (behaviours.close, {"TestErrorHandling/handle_empty_response": again}),
    "status_999": (behaviours.status(999), {"TestErrorHandling/handle_invalid_status_code": again}),
    "large_error": (behaviours.status(503, LARGE), {"TestErrorHandling/handle_large_error_response": again, "TestResponseProcessing/handle_large_error_body": again}),
    "status_400": (behaviours.status(400), {"TestRetryBehavior/no_retry_on_400": at_most_twice}),
    "status_401": (behaviours.status(401), {"TestRetryBehavior/no_retry_on_401": at_most_twice}),
    "status_404": (behaviours.status(404), {"TestRetryBehavior/no_retry_on_404": at_most_twice}),
    "status_413": (behaviours.status(413), {"TestRetryBehavior/no_retry_on_413": at_most_twice}),
    "status_429": (behaviours.status(429, Retry_After="1"), {
        "TestRetryBehavior/may_retry_on_429": again, "Missing/retry_after_is_kept": lambda asked: min(gaps(asked)) >= 1}),
    "status_500": (behaviours.status(500), {
        "TestRetryBehavior/retry_on_500": again,
        "TestBackoffBehavior/exponential_backoff_on_retries": lambda asked: all(gap >= 0.2 * 2**i for i, gap in enumerate(gaps(asked))),
        "TestBackoffBehavior/backoff_required": lambda asked: min(gaps(asked)) >= 0.001,
        "TestBackoffBehavior/backoff_max_delay": lambda asked: max(gaps(asked)) <= 60,
        "TestBackoffBehavior/backoff_with_jitter": lambda asked: len(asked) >= 3}),
    "status_502": (behaviours.status(502), {"TestRetryBehavior/retry_on_502": again}),
    "status_503": (behaviours.status(503), {
        "TestRetryBehavior/retry_on_503": again,
        "Missing/retry_attempt_header": lambda asked: [int(q.headers.get("Retry-Attempt", 0)) for q in asked] == list(range(len(asked)))}),
    "status_504": (behaviours.status(504), {"TestRetryBehavior/retry_on_504": again}),
}


@pytest.fixture(scope="module")
def ill():
    """asked: {receiver: requests until the moment}, stored: {receiver: series in the end}, and more."""
    now = int(time.time() * 1000) // MINUTE * MINUTE
    bad, sinks = types.SimpleNamespace(), {name: receiver.Receiver(behave=behave) for name, (behave, _) in ILL.items()}
    sinks["well"], sinks["refused"] = receiver.Receiver(), receiver.Receiver()
    sinks["refused"].stop()
    r = relay.Relay("http://unused/")
    conf = {name: {"url": sink.url, "protocol": "2.0" if name == "partial_write" else "1.0"} for name, sink in sinks.items()}
    conf["nowhere"] = {"url": "http://no..such.host/"}
    r.conf["destinations"] = {name: {"statistics": ["sum"], "shards": 1, "backoff": {"min": "100ms"}, **settings} for name, settings in conf.items()}
    with contextlib.ExitStack() as stack:
        stack.enter_context(r)
        post(r, [point("First", now)])
        relay.wait_for(lambda: len(sinks["status_500"].requests) >= 4 and len(sinks["status_429"].requests) >= 2)
        bad.asked = {name: list(sink.requests) for name, sink in sinks.items()}
        bad.up = r.process.poll() is None and r.ready()
        bad.rows = {d["name"]: d for d in r.status()["destinations"]}
        began = time.monotonic()
        r.process.send_signal(signal.SIGINT)
        bad.exit = r.process.wait(30), time.monotonic() - began
        r.start()
        post(r, [point("Second", now)])
        r.kill_all()
        for name, sink in sinks.items():
            sink.behave = behaviours.modern
        sinks["refused"].start()
        r.conf["destinations"]["nowhere"]["url"] = sinks["well"].url
        r.start()
        r.drained()
        bad.books = {name: r.books(name) for name in conf}
        bad.letters = r.cli("deadletter", "ls", "--json")
        bad.stored = {name: {dict(labels)["__name__"] for labels in sink.samples()} for name, sink in sinks.items()}
        r.config.write_text(r.config.read_text().replace(sinks["well"].url, "invalid://localhost:9999"))
        bad.invalid = r.cli("check", check=False)
    return bad


@pytest.mark.parametrize("name, check", [pytest.param(name, check, id=case) for name, (_, table) in ILL.items() for case, check in table.items()])
def test_receivers_that_answer_badly(ill, name, check):
    asked = ill.asked[name]
    assert ill.up and check(asked), [(q.at - asked[0].at, q.version, q.headers.get("Retry-Attempt"), q.status) for q in asked]
    assert ill.rows[name]["queued_samples"] == 1, "it waits"


ALL_ILL = {
    "TestErrorHandling/handle_connection_refused": lambda ill: ill.up and ill.rows["refused"]["reason"] == "unreachable" and ill.rows["refused"]["queued_samples"] == 1,
    "TestErrorHandling/sender_continues_after_errors": lambda ill: len(ill.asked["well"]) == 1 and ill.exit[0] == 0 and ill.exit[1] < 25,
    "TestNetworkErrors/dns_resolution_failure": lambda ill: ill.up and ill.rows["nowhere"]["reason"] == "unreachable",
    "TestNetworkErrors/invalid_url_scheme": lambda ill: "is not a URL" in ill.invalid,  # refused before anything starts
    "Missing/durability_over_kill": lambda ill: all("aws_ec2_second_sum" in names for names in ill.stored.values()),
    "Missing/data_waits_over_restart": lambda ill: (
        all("aws_ec2_first_sum" in names for names in ill.stored.values()) and set(ill.books.values()) == {(2, 2)} and not ill.letters),
}


@pytest.mark.parametrize("check", [pytest.param(check, id=case) for case, check in ALL_ILL.items()])
def test_the_relay_beside_them(ill, check):
    assert check(ill)


# ---- the whole list ----

@pytest.mark.parametrize("reason", suite.LEFT_OUT)
def test_left_out(reason):
    pytest.skip(f"{reason}: {', '.join(suite.LEFT_OUT[reason])}")


def test_every_case_of_the_suite_is_here_or_left_out():
    tables = [WELL, WELL_1, WELL_2, ALL_ILL] + [kind[2] for kind in SPECIAL_RECEIVERS.values()] + [table for _, table in ILL.values()]
    here = sum(map(list, tables), []) + sum(suite.LEFT_OUT.values(), [])
    assert sorted(here) == sorted(suite.NAMES + suite.OURS)
