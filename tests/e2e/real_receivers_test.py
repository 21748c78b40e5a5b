"""Deliveries in, series out: every sample, by the query interfaces of a real Prometheus and a real VictoriaMetrics."""
import gzip
import json
import math
import time

import pytest

from lib import cloudwatch, mapping, real, relay


def same(got, want, exact):
    """Compares {series: {timestamp: value}}; VictoriaMetrics keeps about 13 significant digits."""
    assert sorted(got) == sorted(want)
    for series, samples in want.items():
        assert sorted(got[series]) == sorted(samples), series
        for at, value in samples.items():
            v = got[series][at]
            assert v == value if exact else math.isclose(v, value, rel_tol=1e-11), (series, at, v, value)


def deliver(bodies, want, tls=False, compress=False, settings=None):
    """Posts bodies through a relay with both receivers as destinations and compares what they hold with `want`."""
    with real.Prometheus() as prometheus, real.VictoriaMetrics() as victoria:
        conf = {"destinations": {"main": {"receiver": "prometheus"}, "victoria": {"url": victoria.url, "receiver": "victoriametrics"}}}
        certificate = relay.certificate(relay.folder("tls")) if tls else None
        with relay.Relay(prometheus.url, relay.merge(conf, settings or {}), tls=certificate) as r:
            for body in bodies:
                answer = r.post(gzip.compress(body) if compress else body, gzip=compress)
                assert (answer.status, answer.error()) == (200, "")
            if want:
                r.drained()
            for destination in ("main", "victoria"):
                accepted, accounted = r.books(destination)
                assert accepted == accounted and accepted >= sum(map(len, want.values()))
            quarantined = r.metric("standpipe_convert_quarantined_total")
        newest = max((t for s in want.values() for t in s), default=int(time.time() * 1000))
        same(prometheus.samples(newest), want, exact=True)
        same(victoria.samples(), want, exact=False)
        return quarantined


def capture(captures, name):
    body = (captures / "real" / f"{name}.body.json").read_bytes()
    rows = [row for row in map(json.loads, (captures / "decoded" / f"{name}.jsonl").read_text().splitlines()) if "error" not in row]
    return body, [mapping.point_of_capture(row) for row in rows]


@pytest.mark.parametrize("name, points, tls, compress", [
    ("logzio-otlp07-validEvent", 953, False, False), ("logzio-otlp07-validEvent", 953, True, False),
    ("logzio-otlp10-validEvent", 710, False, False), ("logzio-otlp10-validEvent", 710, True, True),
    ("telegraf-json-ec2-ebs", 1160, False, False), ("telegraf-json-ec2-ebs", 1160, True, True)])
def test_a_captured_delivery_arrives_sample_by_sample(captures, name, points, tls, compress):
    body, expected = capture(captures, name)
    assert len(expected) == points
    assert deliver([body], mapping.expected(expected), tls, compress) == 0


def test_a_gzipped_capture_arrives_as_it_is(captures):
    body = (captures / "real" / "telegraf-json-ec2-ebs.body.json.gz").read_bytes()
    _, expected = capture(captures, "telegraf-json-ec2-ebs")
    assert deliver([gzip.decompress(body)], mapping.expected(expected), compress=True) == 0


def test_a_damaged_record_costs_only_itself(captures):
    body, expected = capture(captures, "logzio-otlp07-malformedBody")
    assert len(expected) == 646
    assert deliver([body], mapping.expected(expected)) == 1


def test_demo_data_of_the_console_is_nothing(captures):
    assert deliver([(captures / "real" / "logzio-kinesisDemoData.body.json").read_bytes()], {}) == 0


MINUTE = 1700000040000 - 1700000040000 % 60000


@pytest.mark.parametrize("fmt, tls, compress", [("otlp07", False, False), ("otlp10", True, False), ("json", False, True), ("mixed", True, True)])
def test_generated_deliveries_arrive_sample_by_sample(fmt, tls, compress):
    points = cloudwatch.some_points(300, MINUTE, minutes=3)
    thirds = [points[:300], points[300:600], points[600:]]
    formats = ["otlp07", "otlp10", "json"] if fmt == "mixed" else [fmt] * 3
    body = cloudwatch.body([cloudwatch.record(p, f) for p, f in zip(thirds, formats)])
    assert deliver([body], mapping.expected(points), tls, compress) == 0


def test_a_damaged_generated_record_costs_only_itself():
    points = cloudwatch.some_points(40, MINUTE)
    good, bad = cloudwatch.record(points[:20], "otlp10"), cloudwatch.record(points[20:], "otlp10")
    body = json.loads(cloudwatch.body([good, bad]))
    body["records"][1]["data"] = body["records"][1]["data"][:-3]
    assert deliver([json.dumps(body).encode()], mapping.expected(points[:20])) == 1


def test_generated_demo_data_is_nothing():
    demo = b'{"CHANGE":1.5,"PRICE":12.25,"TICKER_SYMBOL":"ABC","SECTOR":"TECHNOLOGY"}'
    assert deliver([cloudwatch.body([demo])], {}) == 0


@pytest.mark.parametrize("window, status, words", [(None, 400, "out of order"), ("1h", 500, "too old")])
def test_one_bad_sample_among_5000_is_found(window, status, words):
    """Prometheus 2.42 rolls the whole request back: with 400 without an out-of-order window, with 500 for a sample older than it."""
    base = {"namespace": "AWS/EC2", "unit": "%", "dims": [["InstanceId", "i-0"]], "account": "111122223333", "region": "eu-central-1"}
    now = MINUTE + 4 * 3600_000
    lone = lambda metric, at, value: {**base, "metric": metric, "start_ms": at - 60000, "end_ms": at, "sum": value}
    newest = lone("Culprit", now, 1.0)
    bad = lone("Culprit", now - (60_000 if window is None else 3 * 3600_000), 2.0)
    full = [{**base, "metric": f"Good{i}", "start_ms": now - 60000, "end_ms": now, "sum": 4.0, "count": 2, "min": 1.0, "max": 3.0}
            for i in range(999)]
    good = full + [lone(f"Lone{i}", now, float(i)) for i in range(4)]
    want = mapping.expected([newest] + good)
    with real.Prometheus(window) as prometheus:
        conf = {"destinations": {"main": {"receiver": "prometheus", "shards": 1, "backoff": {"max": "200ms", "unreachable_max": "200ms"}}}}
        with relay.Relay(prometheus.url, conf) as r:
            assert r.post(cloudwatch.body([cloudwatch.record([newest], "json")])).status == 200
            r.drained()
            assert r.post(cloudwatch.body([cloudwatch.record(good[:500] + [bad] + good[500:], "json")])).status == 200
            r.drained()
            assert r.metric("standpipe_samples_dead_lettered", destination="main") == 1
            assert r.metric("standpipe_samples_delivered_total", destination="main") == 1 + 4999
            letters = [json.loads(line) for line in r.cli("deadletter", "ls", "--json").splitlines()]
            assert len(letters) == 1 and letters[0]["http_status"] == status and words in letters[0]["answer"], letters
            assert r.post(cloudwatch.body([cloudwatch.record([lone("Later", now, 1.0)], "json")])).status == 200
            r.drained()
        got = prometheus.samples(now)
        want.update(mapping.expected([lone("Later", now, 1.0)]))
        same(got, want, exact=True)
