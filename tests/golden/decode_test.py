"""`decode` against what independent decoders read in the same bytes: real captures where they are there, and always our own records."""
import base64
import gzip
import json
import os
import pathlib
import subprocess

import pytest

from lib import cloudwatch as cw

BIN = pathlib.Path(os.environ.get("STANDPIPE_BIN", "build/dev/bin")).resolve() / "standpipe-convert"
T0 = 1700000040000
OTLP_UNITS = {**{v: k for k, v in cw.UNITS.items()}, "": ""}


def decode(data, *options):
    """(points, quarantined pieces) of these bytes."""
    run = subprocess.run([BIN, "decode", "--json", *options, "-"], input=data, capture_output=True, timeout=60)
    assert run.returncode == 0, run.stderr
    lines = [json.loads(line) for line in run.stdout.splitlines()]
    return [x for x in lines if "metric" in x], [x for x in lines if "quarantine" in x]


def expected_from_otlp(x):
    dims, values = {}, {}
    for key, value in x["attributes"]:
        if key == "Dimensions" and x["format"] == "otlp1.0":
            dims.update(value)
        elif key in ("Namespace", "MetricName") and key not in values:
            values[key] = value
        else:
            dims[key] = value
    quantiles = dict(map(tuple, x["quantiles"]))
    out = {"record": x["record"], "format": x["format"], "account": x["resource"]["cloud.account.id"], "region": x["resource"]["cloud.region"],
           "stream": x["resource"]["aws.exporter.arn"].split("/", 1)[1], "namespace": values["Namespace"], "metric": values["MetricName"],
           "dimensions": dims, "unit": x["unit"], "start_ms": x["start_unix_nano"] // 10**6, "end_ms": x["time_unix_nano"] // 10**6,
           "count": x["count"], "sum": x["sum"], "quantiles": sorted([q, v] for q, v in quantiles.items() if 0 < q < 1), "extras": {}}
    return {**out, **({"min": quantiles[0.0]} if 0.0 in quantiles else {}), **({"max": quantiles[1.0]} if 1.0 in quantiles else {})}


def expected_from_json(x):
    return {"record": x["record"], "format": "json", "account": x["account_id"], "region": x["region"], "stream": x["metric_stream_name"],
            "namespace": x["namespace"], "metric": x["metric_name"], "dimensions": x["dimensions"], "unit": OTLP_UNITS[x["unit"]],
            "start_ms": x["timestamp"], "end_ms": x["timestamp"] + 60000, "quantiles": [], "extras": {}, **x["value"]}


@pytest.mark.parametrize("name", ["logzio-otlp07-validEvent", "logzio-otlp07-malformedBody", "logzio-otlp10-validEvent", "telegraf-json-ec2-ebs",
                                  "telegraf-json-single"])
def test_real_captures(captures, name):
    got, bad = decode((captures / "real" / f"{name}.body.json").read_bytes())
    want = [json.loads(line) for line in (captures / "decoded" / f"{name}.jsonl").read_text().splitlines()]
    assert got == [expected_from_otlp(x) if "attributes" in x else expected_from_json(x) for x in want if "error" not in x]
    assert [(b["quarantine"], b["record"]) for b in bad] == ([("bad_base64", 2)] if "malformed" in name else [])


def test_a_compressed_capture_is_the_same(captures):
    # the compressed capture has other white space around the same content
    plain, _ = decode((captures / "real" / "telegraf-json-ec2-ebs.body.json").read_bytes())
    assert decode((captures / "real" / "telegraf-json-ec2-ebs.body.json.gz").read_bytes())[0] == plain


def test_catalogued_records(captures):
    """Every vector gives the points it should; what is no CloudWatch data (r40 to r48) is set aside instead."""
    for v in json.loads((captures / "synthetic" / "record_vectors.json").read_text()):
        got, bad = decode(bytes.fromhex(v["hex"]), "--record")
        points, outcome = v["points"], v["outcome"]
        if "r40" <= v["id"] <= "r48":
            points, outcome = 0, "quarantine"
            assert [b["quarantine"] for b in bad] == ["not_cloudwatch"], v["id"]
        assert len(got) == points, (v["id"], v["what"], got, bad)
        if outcome == "quarantine":
            assert bad, (v["id"], v["what"])
        elif outcome in ("ok", "skip"):
            assert not bad, (v["id"], v["what"], bad)


# ---- the same questions, asked of records made here ----

def expected(p, fmt):
    name = {"otlp07": "otlp0.7", "otlp10": "otlp1.0", "json": "json"}[fmt]
    return {"record": 0, "format": name, "account": p["account"], "region": p["region"], "stream": "test", "namespace": p["namespace"],
            "metric": p["metric"], "dimensions": dict(map(tuple, p["dims"])), "unit": p["unit"], "start_ms": p["start_ms"], "end_ms": p["end_ms"],
            "count": p["count"], "sum": p["sum"], "min": p["min"], "max": p["max"], "quantiles": p["quantiles"], "extras": {}}


def by_identity(points):
    return sorted(points, key=lambda p: (p["account"], p["metric"], sorted(p["dimensions"].items()), p["start_ms"]))


@pytest.mark.parametrize("fmt", ["otlp07", "otlp10", "json"])
def test_points_come_out_as_they_went_in(fmt):
    points = cw.some_points(200, T0, seed=3, minutes=2)
    want = by_identity(expected(p, fmt) for p in points)
    body = cw.body([cw.record(points, fmt)])
    for data in (body, gzip.compress(body), json.dumps(json.loads(body), indent=2).encode(), b"\xef\xbb\xbf" + body):
        got, bad = decode(data)
        assert by_identity(got) == want and not bad
    # any character of JSON may be written as an escape
    text = json.loads(body)["records"][0]["data"]
    escaped = "".join(f"\\u{ord(c):04x}" if i % 3 == 0 else c.replace("/", "\\/") for i, c in enumerate(text))
    got, bad = decode(b'{"x":[{"y":null}],"records":[{"z":1,"data":"%s"}],"requestId":"a"}' % escaped.encode())
    assert by_identity(got) == want and not bad
    record = cw.record(points, fmt)
    assert by_identity(decode(gzip.compress(record), "--record")[0]) == want


def reasons(data, *options):
    got, bad = decode(data, *options)
    return len(got), [b["quarantine"] for b in bad]


def frame(message):
    return cw.varint(len(message)) + message


def test_one_bad_thing_takes_nothing_good_with_it():
    points = cw.some_points(3, T0)
    for version in ("0.7", "1.0"):
        good = frame(cw.otlp_message(points[:1], version))
        assert reasons(good + frame(b"\x0f\x01") + good, "--record") == (2, ["bad_message"])
        assert reasons(good + b"\x80", "--record") == (1, ["bad_frame"])
        assert reasons(good + b"\x7f" + good[:20], "--record") == (1, ["bad_frame"])
        assert reasons(good + b"\x00" + good, "--record") == (2, [])
    line = cw.json_line(points[0])
    assert reasons(line + line[:100] + b"\n" + line, "--record") == (2, ["bad_json"])
    assert reasons(line.replace(b'"value"', b'"val"') + line, "--record") == (1, ["bad_point"])
    assert reasons(b'{"CHANGE":-0.36,"PRICE":186.5,"TICKER_SYMBOL":"QAZ","SECTOR":"X"}\n' + line, "--record") == (1, [])
    assert reasons(b'{"messageType":"CONTROL_MESSAGE"}', "--record") == (0, [])
    assert reasons(gzip.compress(b'{"messageType":"DATA_MESSAGE"}'), "--record") == (0, ["foreign"])
    body = json.dumps({"records": [{}, 7, {"data": 1}, {"data": base64.b64encode(line).decode()}, {"data": "QQ="}, {"data": ""}]})
    assert reasons(body.encode()) == (1, ["no_data"] * 3 + ["bad_base64"])


def test_statistics_of_json():
    p = {**cw.some_points(1, T0)[0], "quantiles": [], "extras": {"p0": -9, "p100": 9, "p99.9": 2, "P95.0123456789": 3, "TM(25%:75%)": 4, "iqm": 5}}
    (got,), _ = decode(cw.json_line(p), "--record")
    assert got["quantiles"] == [[0.950123456789, 3], [0.999, 2]]
    assert got["extras"] == {"TM(25%:75%)": 4, "iqm": 5}
    assert (got["min"], got["max"]) == (p["min"], p["max"])
    (got,), _ = decode(cw.json_line({**p, "min": None, "max": None}), "--record")
    assert (got["min"], got["max"]) == (-9, 9)


def test_odd_points_of_otlp():
    p = cw.some_points(1, T0)[0]
    head = cw.sub(1, cw.text(1, "Namespace") + cw.text(2, "AWS/ELB")) + cw.sub(1, cw.text(1, "MetricName") + cw.text(2, "Hosts"))

    def one(point, name="", data_field=11, extra=b""):
        metric = cw.text(1, name) + extra + cw.sub(data_field, cw.sub(1, point))
        return decode(frame(cw.sub(1, cw.resource(p) + cw.sub(2, cw.sub(2, metric)))), "--record")

    time = cw.fixed(3, T0 * 10**6)
    (got,), _ = one(head + cw.sub(1, cw.text(1, "Namespace") + cw.text(2, "AWS")) + time)
    assert (got["namespace"], got["dimensions"], got["start_ms"]) == ("AWS/ELB", {"Namespace": "AWS"}, T0 - 60000)
    (got,), _ = one(time, name="amazonaws.com/AWS/CloudWatch/MetricStreams/MetricUpdate")
    assert (got["namespace"], got["metric"]) == ("AWS/CloudWatch/MetricStreams", "MetricUpdate")
    (got,), _ = one(head + time + cw.sub(6, cw.double(1, 1.0) + cw.double(2, 5)) + cw.sub(6, b"") + cw.sub(6, cw.double(1, 1.5)))
    assert (got["min"], got["max"], got["quantiles"]) == (0, 5, [])
    (got,), _ = one(head + time + cw.varint(8 << 3) + b"\x01" + cw.double(5, 3.0))
    assert "sum" not in got and "count" not in got
    (got,), _ = one(head + time + cw.double(5, float("nan")) + cw.sub(6, cw.double(1, 1.0) + cw.double(2, float("inf"))))
    assert "sum" not in got and got["max"] == float("inf")
    assert [b["quarantine"] for b in one(head)[1]] == ["no_time"]
    assert [b["quarantine"] for b in one(time)[1]] == ["no_name"]
    assert [b["quarantine"] for b in one(head + time, data_field=5)[1]] == ["not_cloudwatch"]
    # of a oneof the last member counts, and the same member twice is merged
    assert len(one(head + time, extra=cw.sub(5, b"\xff" * 3))[0]) == 1
    assert len(one(head + time, extra=cw.sub(11, cw.sub(1, head + time)))[0]) == 2
    nested = cw.string_value("x")
    for _ in range(200):
        nested = cw.sub(6, cw.sub(1, cw.key_value("k", nested)))
    assert [b["quarantine"] for b in one(head + time + cw.sub(7, cw.key_value("deep", nested)))[1]] == ["too_deep"]
    values = {"t": (b"\x10\x01", "true"), "i": (b"\x18" + cw.varint(2**64 - 5), "-5"), "d": (cw.double(4, 0.25), "0.25"), "b": (cw.sub(7, b"\x00\xff"), "AP8="),
              "l": (cw.sub(5, cw.sub(1, cw.string_value("a")) + cw.sub(1, b"")), '["a",null]'), "m": (cw.sub(6, cw.sub(1, cw.key_value("k", b"\x10\x00"))), '{"k":false}')}
    (got,), _ = one(time + b"".join(cw.sub(7, cw.key_value(k, v)) for k, (v, _) in values.items()), name="amazonaws.com/N/M")
    assert got["dimensions"] == {k: text for k, (_, text) in values.items()}
    many = b"".join(cw.sub(1, cw.text(1, f"D{i:03}") + cw.text(2, "v")) for i in reversed(range(100)))
    (got,), _ = one(head + many + time)
    assert list(got["dimensions"]) == [f"D{i:03}" for i in range(64)]


CONFIG = """
destinations:
  main:
    url: http://127.0.0.1:1/
    statistics: [sum, maximum]
    lanes: {by: account, header: X-Scope-OrgID, map: {"1234": shop}}
    filters:
      - {name: no_ebs, action: exclude, namespace: AWS/EBS}
    write_relabel_configs:
      - {source_labels: [__name__], regex: .*_maximum, action: drop}
      - {regex: job, action: labeldrop}
keys:
  team: {value: xxxxxxxxxxxxxxxxxxxxxxxxxxxx, labels: {team: blue}}
"""


def test_it_explains_what_becomes_of_each_point(tmp_path):
    point = {"account": "1234", "region": "eu-west-1", "start_ms": T0, "count": 2, "sum": 10, "min": 1, "max": 9}
    points = [{**point, "namespace": "AWS/EC2", "metric": "CPUUtilization", "dims": [["InstanceId", "i-1"]]},
              {**point, "namespace": "AWS/EBS", "metric": "VolumeReadOps", "dims": [["VolumeId", "v-1"]]}]
    (tmp_path / "standpipe.yaml").write_text(CONFIG)
    command = [BIN, "decode", "--config", tmp_path / "standpipe.yaml", "--key", "team"]
    run = subprocess.run([*command, "-"], input=cw.body([cw.record(points, "json")]), capture_output=True, timeout=60)
    assert run.returncode == 0, run.stderr
    assert run.stdout.decode().splitlines() == [
        '2023-11-14T22:15:00Z json 1234 eu-west-1 AWS/EC2/CPUUtilization{InstanceId="i-1"} unit= count=2 sum=10 min=1 max=9',
        "  # 1 series dropped by write_relabel_configs.0",
        "  # lane 1234, X-Scope-OrgID: shop",
        f'  aws_ec2_cpuutilization_sum{{account_id="1234", instance_id="i-1", region="eu-west-1", team="blue"}} 10 {T0 + 60000}',
        '2023-11-14T22:15:00Z json 1234 eu-west-1 AWS/EBS/VolumeReadOps{VolumeId="v-1"} unit= count=2 sum=10 min=1 max=9',
        "  # dropped by filter no_ebs"]
    run = subprocess.run([*command, "--json", "-"], input=cw.body([cw.record(points, "json")]), capture_output=True, timeout=60)
    assert [(x["metric"], len(x["series"])) for x in map(json.loads, run.stdout.splitlines())] == [("CPUUtilization", 3), ("VolumeReadOps", 1)]
    run = subprocess.run([*command, "--destination", "other", "-"], input=b"", capture_output=True, timeout=60)
    assert run.returncode == 78 and b"there is no destination other" in run.stderr


def test_names_tells_what_a_migration_renames(tmp_path):
    point = {"account": "1234", "region": "eu-west-1", "start_ms": T0, "count": 2, "sum": 10, "min": 1, "max": 9}
    body = cw.body([cw.record([{**point, "namespace": "AWS/EC2", "metric": "EBSReadOps", "dims": [["InstanceId", "i-1"]], "quantiles": [[0.9, 5]]}] * 2, "json")])

    def names(*options):
        run = subprocess.run([BIN, "names", *options, "-"], input=body, capture_output=True, timeout=60)
        assert run.returncode == 0, run.stderr
        return run.stdout.decode().splitlines()
    assert names("--from", "cloudwatch", "--to", "logzio") == [
        f"aws_ec2_ebsread_ops_{old}{{account_id, instance_id, job, region}}\t{new}" for old, new in (
            ("average", "-"), *((old, f"aws_ec2_ebsreadops_{new}{{account, cloud_provider, instanceid, metricname, namespace, p8s_logzio_name, region}}")
                                for old, new in (("maximum", "max"), ("minimum", "min"))),
            ("p90", 'aws_ec2_ebsreadops{account, cloud_provider, instanceid, metricname, namespace, p8s_logzio_name, region, quantile="0.9"}'),
            *((old, f"aws_ec2_ebsreadops_{new}{{account, cloud_provider, instanceid, metricname, namespace, p8s_logzio_name, region}}")
              for old, new in (("sample_count", "count"), ("sum", "sum"))))]
    script = tmp_path / "rename.sed"
    script.write_text("\n".join(names("--from", "cloudwatch", "--to", "logzio", "--sed")) + "\n")
    query = 'max(aws_ec2_ebsread_ops_maximum{instance_id="i-1", account_id!="2"}) / my_aws_ec2_ebsread_ops_maximum'
    assert subprocess.run(["sed", "-E", "-f", script], input=query, capture_output=True, text=True, check=True).stdout == \
        'max(aws_ec2_ebsreadops_max{instanceid="i-1", account!="2"}) / my_aws_ec2_ebsread_ops_maximum'


def test_names_knows_some_metrics_by_itself():
    for to in ("yace", "logzio", "otel"):
        run = subprocess.run([BIN, "names", "--from", "cloudwatch", "--to", to], capture_output=True, text=True, timeout=60)
        table = dict(line.split("\t") for line in run.stdout.splitlines())
        assert run.returncode == 0 and len(table) > 500
        new = next(v for k, v in table.items() if k.startswith("aws_lambda_duration_maximum{"))
        assert new.startswith({"yace": "aws_lambda_duration_maximum{", "logzio": "aws_lambda_duration_max{", "otel": "amazonaws_com_AWS_Lambda_Duration_milliseconds{"}[to])
