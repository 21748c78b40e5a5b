"""What the expressions in inputs.yaml are made of: points, records, bodies and requests, regular and odd.

`python3 tests/catalogue/inputs.py` prints the catalogue as a table for people (the end of docs/reference.md).
"""
import base64
import gzip
import json
import math
import pathlib
import struct
import uuid

import yaml

HERE = pathlib.Path(__file__).parent
MINUTE = 1700000040000
account = "0"  # of the entry at hand: tells its samples from those of others


def load():
    return yaml.safe_load((HERE / "inputs.yaml").read_text())


# ---- the wire format of protobuf ----

def varint(n):
    out = bytearray()
    while n >= 0x80:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def sub(field, data):
    data = data.encode("utf-8", "surrogateescape") if isinstance(data, str) else data
    return varint(field << 3 | 2) + varint(len(data)) + data


def num(field, v):
    return varint(field << 3) + varint(v)


def dbl(field, v):
    return varint(field << 3 | 1) + struct.pack("<d", v)


def f64(field, v):
    return varint(field << 3 | 1) + struct.pack("<Q", v)


def group(field, data):
    return varint(field << 3 | 3) + data + varint(field << 3 | 4)


# ---- CloudWatch's messages; every part can be replaced ----

def resource(**other):
    pairs = {"cloud.provider": "aws", "cloud.account.id": account, "cloud.region": "us-east-1",
             "aws.exporter.arn": f"arn:aws:cloudwatch:us-east-1:{account}:metric-stream/s", **other}
    return sub(1, b"".join(sub(1, sub(1, k) + sub(2, sub(1, v))) for k, v in pairs.items() if v is not None))


def times(start=MINUTE, end=MINUTE + 60000):
    return (f64(2, start * 10**6) if start else b"") + (f64(3, end * 10**6) if end else b"")


def stats(count=2, total=10.0, low=4.0, high=6.0, quantiles=()):
    values = ([(0.0, low)] if low is not None else []) + list(quantiles) + ([(1.0, high)] if high is not None else [])
    return f64(4, count) + dbl(5, total) + b"".join(quantile(q, v) for q, v in values)


def quantile(q, v):
    return sub(6, (dbl(1, q) if q else b"") + (dbl(2, v) if v or math.copysign(1, v) < 0 else b""))


def label(key, value):
    return sub(1, sub(1, key) + sub(2, value))


def attribute(key, value):
    return sub(7, sub(1, key) + sub(2, value if isinstance(value, bytes) else sub(1, value)))


def point07(ns="AWS/EC2", metric="CPUUtilization", dims=(("InstanceId", "i-1"),), when=None, values=None, extra=b""):
    pairs = [("Namespace", ns), ("MetricName", metric), *dims]
    return b"".join(label(k, v) for k, v in pairs if v is not None) + (when if when is not None else times()) + (values if values is not None else stats()) + extra


def point10(ns="AWS/EC2", metric="CPUUtilization", dims=(("InstanceId", "i-1"),), when=None, values=None, extra=b""):
    inside = b"".join(sub(1, sub(1, k) + sub(2, sub(1, v))) for k, v in dims)
    return ((when if when is not None else times()) + (values if values is not None else stats()) + attribute("Namespace", ns)
            + attribute("MetricName", metric) + (attribute("Dimensions", sub(6, inside)) if dims else b"") + extra)


def metric(*points, name="amazonaws.com/AWS/EC2/CPUUtilization", unit="%", field=11, extra=b""):
    return sub(2, sub(1, name) + sub(3, unit) + extra + sub(field, b"".join(sub(1, p) for p in points)))


def message(*metrics, of=None, scope=2):
    return sub(1, (resource() if of is None else of) + sub(scope, b"".join(metrics)))


def frame(data):
    return varint(len(data)) + data


def otlp07(**k):
    return frame(message(metric(point07(**k))))


def otlp10(**k):
    return frame(message(metric(point10(**k))))


def line(end="\n", without=(), raw=None, **other):
    o = {"metric_stream_name": "s", "account_id": account, "region": "us-east-1", "namespace": "AWS/EC2", "metric_name": "CPUUtilization",
         "dimensions": {"InstanceId": "i-1"}, "timestamp": MINUTE, "value": {"max": 6.0, "min": 4.0, "sum": 10.0, "count": 2.0}, "unit": "Percent", **other}
    text = json.dumps({k: v for k, v in o.items() if k not in without}, separators=(",", ":"))
    for old, new in (raw or {}).items():
        assert old in text, (old, text)
        text = text.replace(old, new)
    return text.encode("utf-8", "surrogateescape") + end.encode()


DEMO = b'{"CHANGE":-0.36,"PRICE":186.5,"TICKER_SYMBOL":"QAZ","SECTOR":"TECHNOLOGY"}'


def deep(levels):
    v = sub(1, "x")
    for _ in range(levels):
        v = sub(6, sub(1, sub(1, "k") + sub(2, v)))
    return attribute("deep", v)


# ---- Firehose's envelope ----

def b64(record):
    return base64.b64encode(record).decode()


def body(*records, rid="body-id", stamp=MINUTE + 90000, **other):
    return json.dumps({"requestId": rid, "timestamp": stamp, "records": [{"data": b64(r)} for r in records], **other}, separators=(",", ":")).encode()


def good():
    return body(otlp10())


def records_text(text, rid="body-id"):
    """A body whose array of records is this text."""
    return f'{{"requestId":"{rid}","timestamp":1,"records":{text}}}'.encode()


def one(record):
    return '{"data":"%s"}' % b64(record)


# ---- HTTP ----

USUAL = {"Host": "relay", "X-Amz-Firehose-Protocol-Version": "1.0", "X-Amz-Firehose-Access-Key": "test-key",
         "X-Amz-Firehose-Source-Arn": "arn:aws:firehose:us-east-1:111122223333:deliverystream/t", "Content-Type": "application/json"}
SHORT = {"key": "X-Amz-Firehose-Access-Key", "arn": "X-Amz-Firehose-Source-Arn", "version": "X-Amz-Firehose-Protocol-Version",
         "id": "X-Amz-Firehose-Request-Id", "type": "Content-Type", "coding": "Content-Encoding", "host": "Host", "attributes": "X-Amz-Firehose-Common-Attributes"}


def request(content=None, start="POST / HTTP/1.1", extra="", length=True, **headers):
    """headers: short names (None leaves one out); id: a new one when it is not given."""
    content = good() if content is None else content
    h = {**USUAL, SHORT["id"]: str(uuid.uuid4()), **{SHORT[k]: v for k, v in headers.items()}}
    if length is not False:
        h["Content-Length"] = len(content) if length is True else length
    head = start + "\r\n" + "".join(f"{k}: {v}\r\n" for k, v in h.items() if v is not None) + extra + "\r\n"
    return head.encode("utf-8", "surrogateescape") + content


def chunked(content=None, size=100, ext="", trailer="", last="0\r\n", **k):
    content = good() if content is None else content
    data = b"".join(b"%x%s\r\n%s\r\n" % (len(content[i:i + size]), ext.encode(), content[i:i + size]) for i in range(0, len(content), size))
    return request(data + last.encode() + trailer.encode() + (b"\r\n" if last else b""), extra="Transfer-Encoding: chunked\r\n" + k.pop("extra", ""), length=False, **k)


def attributes(**pairs):
    return json.dumps({"commonAttributes": pairs})


def table(entries):
    out = ["", "## Odd and bad input", "", "From tests/catalogue/inputs.yaml; each line is a test: it is sent to a real relay, and status, code, points, what is set aside, counters and series are compared.", "",
           "| # | Input | Answer | Points read | Set aside as | Counted | Decided here |", "| --- | --- | --- | --- | --- | --- | --- |"]
    for e in entries:
        for c in e.get("cases", [e]):
            answer = f"{c.get('status', 200)} {c.get('code', '')}".strip()
            text = e["input"] + (f": {c['input']}" if c is not e and "input" in c else "")
            cells = [str(e["n"]), text, answer, str(c.get("points", 0)), ", ".join(f"`{k}`" + (f" x{v}" if v > 1 else "") for k, v in c.get("quarantined", {}).items()),
                     ", ".join(f"`{k}` +{v}" for k, v in c.get("counters", {}).items()), c.get("decided", e.get("decided", ""))]
            out.append("| " + " | ".join(x.replace("|", "\\|") for x in cells) + " |")
    return "\n".join(out) + "\n"


def gz(data, level=6):
    return gzip.compress(data, level, mtime=0)


if __name__ == "__main__":
    print(table(load()), end="")
