"""What a CloudWatch point becomes under the preset `cloudwatch`: a second, independent statement of the naming rules.

Written from the documented rules (docs/naming.md), never from the product's code: the two are checked against each other.
A point is a dict: namespace, metric, dims (list of [name, value]), account, region, start_ms, end_ms, count, sum, min, max (absent or
None when the format did not carry them), quantiles (list of [q, value], without 0 and 1), extras (dict).
"""
import math
import re

RESERVED = {"job", "account_id", "region", "instance", "le", "name", "quantile"}


def safe(text, colon):
    legal = "[^a-zA-Z0-9:_]" if colon else "[^a-zA-Z0-9_]"
    return re.sub("_+", "_", re.sub(legal, "_", text))


def lower(text):
    return "".join(c.lower() if c.isascii() else c for c in text)


def snake(text):
    return lower(re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", text))


def metric_name(namespace, metric):
    name = safe(lower(namespace) + "_" + snake(metric), True)
    if name.startswith("_"):
        name = name[1:]
    return "_" + name if name == "" or name[0].isdigit() else name


def label_name(dim):
    name = safe(snake(dim), False)
    return "_" + name if name == "" or name[0].isdigit() else name


def labels(point):
    out, taken = {}, set()
    for name, value in sorted(dict(reversed(point["dims"])).items(), key=lambda d: d[0].encode("utf-8", "surrogateescape")):
        base = label_name(name)
        if base in RESERVED:
            base = "dim_" + base
        label, n = base, 1
        while label in taken:
            n += 1
            label = f"{base}_{n}"
        taken.add(label)
        if value != "":
            out[label] = value
    identity = {"job": safe(lower(point["namespace"]), True), "account_id": point["account"], "region": point["region"]}
    out.update({k: v for k, v in identity.items() if v})
    return out


def percentile_suffix(q):
    return "_p" + safe(f"{q * 100:.10g}", False)


def samples(point, stamp="end"):
    """[(labels with __name__ as a sorted tuple, timestamp in ms, value)] of one point."""
    base, common = metric_name(point["namespace"], point["metric"]), labels(point)
    count, total = point.get("count"), point.get("sum")
    values = {"_sum": total, "_sample_count": count, "_minimum": point.get("min"), "_maximum": point.get("max")}
    if count and total is not None:
        values["_average"] = total / count
    for q, v in point.get("quantiles", []):
        values[percentile_suffix(q)] = v
    for key, v in point.get("extras", {}).items():
        values[safe("_" + lower(key), True)] = v
    at = point["end_ms"] if stamp == "end" else point["start_ms"]
    return [(tuple(sorted({**common, "__name__": base + suffix}.items())), at, float(v))
            for suffix, v in values.items() if v is not None and not math.isnan(v)]


def expected(points, stamp="end"):
    """{series: {timestamp: value}}; of repeats the last in order of arrival stays."""
    out = {}
    for p in points:
        for series, at, value in samples(p, stamp):
            out.setdefault(series, {})[at] = value
    return out


def point_of_capture(row):
    """A line of a decoded capture (JSON lines with raw OTLP or JSON fields) as a point."""
    if "metric_name" in row:
        v = row["value"]
        known = {"max", "min", "sum", "count"}
        return {"namespace": row["namespace"], "metric": row["metric_name"], "dims": list(row["dimensions"].items()),
                "account": row["account_id"], "region": row["region"], "start_ms": row["timestamp"], "end_ms": row["timestamp"] + 60000,
                "count": v.get("count"), "sum": v.get("sum"), "min": v.get("min"), "max": v.get("max"), "quantiles": [],
                "extras": {k: x for k, x in v.items() if k not in known}}
    namespace = metric = None
    dims = []
    for key, value in row["attributes"]:
        if key == "Namespace" and namespace is None:
            namespace = value
        elif key == "MetricName" and metric is None:
            metric = value
        elif key == "Dimensions" and isinstance(value, list):
            dims += value
        else:
            dims.append([key, value])
    quantiles = {q: v for q, v in reversed(row["quantiles"])}
    return {"namespace": namespace, "metric": metric, "dims": dims, "account": row["resource"].get("cloud.account.id", ""),
            "region": row["resource"].get("cloud.region", ""), "start_ms": row["start_unix_nano"] // 10**6,
            "end_ms": row["time_unix_nano"] // 10**6, "count": row["count"], "sum": row["sum"],
            "min": quantiles.get(0.0), "max": quantiles.get(1.0),
            "quantiles": sorted([q, v] for q, v in quantiles.items() if 0 < q < 1), "extras": {}}
