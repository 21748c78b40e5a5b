"""Small encoders of CloudWatch metric stream payloads and of Firehose bodies: the tests' own, independent of the product's."""
import base64
import json
import struct
import time
import uuid

UNITS = {"%": "Percent", "By": "Bytes", "By/s": "Bytes/Second", "s": "Seconds", "ms": "Milliseconds", "{Count}": "Count", "{Count}/s": "Count/Second",
         "1": "None"}


def varint(n):
    out = bytearray()
    while n >= 0x80:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def sub(field, data):
    return varint(field << 3 | 2) + varint(len(data)) + data


def text(field, s):
    return sub(field, s.encode("utf-8", "surrogateescape")) if s else b""


def double(field, v):
    return varint(field << 3 | 1) + struct.pack("<d", v) if struct.pack("<d", v) != bytes(8) else b""


def fixed(field, v):
    return varint(field << 3 | 1) + struct.pack("<Q", v) if v else b""


def key_value(key, value):
    return text(1, key) + sub(2, value)


def string_value(s):
    return text(1, s) or b"\x0a\x00"


def resource(p):
    pairs = [("cloud.provider", "aws"), ("cloud.account.id", p["account"]), ("cloud.region", p["region"]),
             ("aws.exporter.arn", f"arn:aws:cloudwatch:{p['region']}:{p['account']}:metric-stream/test")]
    return sub(1, b"".join(sub(1, key_value(k, string_value(v))) for k, v in pairs if v))


def quantiles(p):
    pairs = ([(0.0, p["min"])] if p.get("min") is not None else []) + [tuple(q) for q in p.get("quantiles", [])]
    pairs += [(1.0, p["max"])] if p.get("max") is not None else []
    return b"".join(sub(6, double(1, q) + double(2, v)) for q, v in pairs)


def summary_point(p, version):
    body = fixed(2, p["start_ms"] * 10**6) + fixed(3, p["end_ms"] * 10**6) + fixed(4, int(p["count"])) + double(5, p["sum"]) + quantiles(p)
    if version == "0.7":
        pairs = [("Namespace", p["namespace"]), ("MetricName", p["metric"])] + [tuple(d) for d in p["dims"]]
        return b"".join(sub(1, text(1, k) + text(2, v)) for k, v in pairs) + body
    dims = b"".join(sub(1, key_value(k, string_value(v))) for k, v in p["dims"])
    return (body + sub(7, key_value("Namespace", string_value(p["namespace"]))) + sub(7, key_value("MetricName", string_value(p["metric"])))
            + (sub(7, key_value("Dimensions", sub(6, dims))) if dims else b""))


def otlp_message(points, version):
    """One ExportMetricsServiceRequest with one resource (that of the first point), without its length."""
    metrics = b""
    for p in points:
        name = f"amazonaws.com/{p['namespace']}/{p['metric']}"
        metrics += sub(2, text(1, name) + text(3, p.get("unit", "")) + sub(11, sub(1, summary_point(p, version))))
    return sub(1, resource(points[0]) + sub(2, metrics))


def json_line(p):
    value = {k: float(p[k]) for k in ("max", "min", "sum", "count") if p.get(k) is not None}
    value.update({"p" + f"{q * 100:.10g}": v for q, v in p.get("quantiles", [])})
    value.update(p.get("extras", {}))
    return json.dumps({"metric_stream_name": "test", "account_id": p["account"], "region": p["region"], "namespace": p["namespace"],
                       "metric_name": p["metric"], "dimensions": dict(map(tuple, p["dims"])), "timestamp": p["start_ms"], "value": value,
                       "unit": UNITS.get(p.get("unit", ""), p.get("unit", ""))}, separators=(",", ":")).encode() + b"\n"


def record(points, fmt):
    """A Firehose record of these points; the points of one account and region share a message."""
    if fmt == "json":
        return b"".join(map(json_line, points))
    out = b""
    while points:
        head = (points[0]["account"], points[0]["region"])
        here = [p for p in points if (p["account"], p["region"]) == head]
        points = [p for p in points if (p["account"], p["region"]) != head]
        message = otlp_message(here, {"otlp07": "0.7", "otlp10": "1.0"}[fmt])
        out += varint(len(message)) + message
    return out


def body(records, request_id=None):
    return json.dumps({"requestId": request_id or str(uuid.uuid4()), "timestamp": int(time.time() * 1000),
                       "records": [{"data": base64.b64encode(r).decode()} for r in records]}, separators=(",", ":")).encode()


def some_points(n, minute_ms, seed=0, minutes=1, noisy=False):
    """Points of realistic shape with values that say which point they are; noisy: names and values that do not compress."""
    import random
    rng = random.Random(seed)
    kinds = [("AWS/EC2", "CPUUtilization", "%", ["InstanceId"]), ("AWS/EBS", "VolumeReadOps", "{Count}", ["VolumeId"]),
             ("AWS/ELB", "HealthyHostCount", "{Count}", ["Namespace"]), ("AWS/Lambda", "Duration", "ms", ["FunctionName", "Resource"]),
             ("/aws/sagemaker/TrainingJobs", "GPUUtilization", "%", ["Host"]), ("My App", "Request Latency (ms)", "ms", ["region", "a-b", "a.b"]),
             ("AWS/RDS", "ReplicaLag", "s", ["DBInstanceIdentifier"]), ("AWS/S3", "BucketSizeBytes", "By", []),
             ("AWS/X-Ray", "ErrorRate", "%", ["GroupName"]), ("AWS/Firehose", "DeliveryToHttpEndpoint.Success", "{Count}", ["DeliveryStreamName"])]
    out = []
    for i in range(n):
        ns, metric, unit, dims = kinds[i % len(kinds)]
        account = ["111122223333", "444455556666"][i // len(kinds) % 2]
        named = sorted([d, f"{d.lower()}-{seed}-{i}" + (f"-{rng.getrandbits(512):0128x}" if noisy else "")] for d in dims)
        for m in reversed(range(minutes)):
            count = rng.choice([0, 1, 5, 60])
            value = rng.random() if noisy else rng.choice([0.0, 1.5, -1.0, 118784.0, i + m / 8])
            out.append({"namespace": ns, "metric": metric, "unit": unit, "dims": named, "account": account, "region": "eu-central-1",
                        "start_ms": minute_ms + m * 60000, "end_ms": minute_ms + (m + 1) * 60000, "count": count, "sum": value * count,
                        "min": value if count else 0.0, "max": value if count else 0.0,
                        "quantiles": [[0.5, value], [0.99, value], [0.999, value]] if i % 7 == 0 else [], "extras": {}})
    return out
