"""What logz.io's Lambda for metric streams sent, versions 1.0.2 (OTLP 0.7) and 2.0.0 (OTLP 1.0): an oracle for the preset of that name.

A row is one data point as it was sent, with name, attributes, resource, start_unix_nano, time_unix_nano, count, sum, quantiles.
"""
import decimal
import re


def label_name(key):
    key = re.sub("[^a-zA-Z0-9_]", "_", key)
    return "key_" + key if key[0].isdigit() else "key" + key if key[0] == "_" else key


def base_name(row):
    return row["name"].replace("/", "_").lower().replace("amazonaws.com_", "")


def series(labels, **more):
    return tuple(sorted({**{label_name(k): v for k, v in labels.items()}, **more}.items()))


def version_1(row):
    """[(series, timestamp in ms, value)] as 1.0.2 sent them."""
    labels = {}
    for key, value in row["attributes"]:
        labels.setdefault(key.lower(), value.lower())
    labels.setdefault("account", row["resource"]["cloud.account.id"])
    labels.setdefault("region", row["resource"]["cloud.region"])
    labels.setdefault("p8s_logzio_name", "otlp-cloudwatch-stream-metrics")
    base, quantiles = label_name(base_name(row)), row["quantiles"]
    values = {"_sum": row["sum"], "_count": row["count"], "_min": quantiles[0][1], "_max": quantiles[-1][1]}
    out = [(series(labels, __name__=base + suffix), v) for suffix, v in values.items()]
    if row["count"] > 1 and len(quantiles) > 2 and row["sum"] > 0:
        out += [(series(labels, __name__=base, quantile=repr(float(q))), v) for q, v in quantiles[1:-1]]
    return [(s, row["time_unix_nano"] // 10**6, float(v)) for s, v in out]


def version_2(row):
    """The same of 2.0.0."""
    data = {}
    for key, value in row["attributes"]:
        data.update({k.lower(): v.lower() for k, v in (value if key == "Dimensions" else [[key, value]])})
    data.setdefault("p8s_logzio_name", "logzio-otlp-metrics-stream")
    given = {k.lower(): v for k, v in row["resource"].items()}
    resource = {"account": given.pop("cloud.account.id"), "region": given.pop("cloud.region")}
    resource.update({k: v for k, v in given.items() if k != "aws.exporter.arn"})
    base = "_".join(re.findall("[a-zA-Z0-9:_]+", base_name(row)))
    start, end = row["start_unix_nano"] // 10**6, row["time_unix_nano"] // 10**6
    whole = {**data, **resource}
    out = [(series(whole, __name__=base + "_sum"), end, row["sum"]), (series(whole, __name__=base + "_count"), end, row["count"]),
           (series({**resource, **data}, __name__=base + "_min"), start, row["quantiles"][0][1]),
           (series(data, __name__=base + "_max"), start, row["quantiles"][-1][1])]
    out += [(series(whole, __name__=base, quantile=format(decimal.Decimal(repr(float(q))), "f")), end, v)
            for q, v in row["quantiles"] if q not in (0, 1)]
    return [(s, at, float(v)) for s, at, v in out]


def expected(rows, version):
    """{series: {timestamp: value}}; of repeats the last stays."""
    out = {}
    for row in rows:
        for s, at, value in (version_1 if version == 1 else version_2)(row):
            out.setdefault(s, {})[at] = value
    return out


def row(p, version):
    """A generated point as such a row."""
    head = [["Namespace", p["namespace"]], ["MetricName", p["metric"]]]
    dims = [list(d) for d in p["dims"]]
    return {"name": f"amazonaws.com/{p['namespace']}/{p['metric']}", "attributes": head + (dims if version == 1 else [["Dimensions", dims]] if dims else []),
            "resource": {"cloud.provider": "aws", "cloud.account.id": p["account"], "cloud.region": p["region"], "aws.exporter.arn": "arn"},
            "start_unix_nano": p["start_ms"] * 10**6, "time_unix_nano": p["end_ms"] * 10**6, "count": p["count"], "sum": p["sum"],
            "quantiles": [[0, p["min"]]] + p["quantiles"] + [[1, p["max"]]]}
