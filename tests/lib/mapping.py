"""What a CloudWatch point becomes under each preset: a second, independent statement of the naming rules.

Written from the documented rules (docs/naming.md), never from the product's code: the two are checked against each other.
A point is a dict: namespace, metric, unit (as in OTLP), dims (list of [name, value]), account, region, start_ms, end_ms, count, sum, min, max
(absent or None when the format did not carry them), quantiles (list of [q, value], without 0 and 1), extras (dict).
"""
import decimal
import math
import re

from lib import cloudwatch

JSON_UNITS = {v: k for k, v in cloudwatch.UNITS.items()}


def lower(text):
    return "".join(c.lower() if c.isascii() else c for c in text)


def snake(text):
    return lower(re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", text))


def legal_start(name):
    return "_" + name if name == "" or name[0].isdigit() else name


def percent(q):
    return f"{q * 100:.10g}"


class Cloudwatch:
    fixed = {"sum": "_sum", "count": "_sample_count", "min": "_minimum", "max": "_maximum", "average": "_average"}
    quantile_label = False
    reserved = {"instance", "le", "name", "quantile"}
    constants = {}

    @staticmethod
    def safe(text, colon):
        return re.sub("_+", "_", re.sub("[^a-zA-Z0-9:_]" if colon else "[^a-zA-Z0-9_]", "_", text))

    def metric(self, p):
        return legal_start(self.safe(lower(p["namespace"]) + "_" + snake(p["metric"]), True).removeprefix("_"))

    def label(self, dim):
        return legal_start(self.safe(snake(dim), False))

    def statistic(self, key):
        return self.safe("_" + lower(key), True)

    def identity(self, p):
        return {"job": self.safe(lower(p["namespace"]), True), "account_id": p["account"], "region": p["region"]}


class Yace(Cloudwatch):
    reserved = set()

    @staticmethod
    def text(text):
        return re.sub("[^a-zA-Z0-9_]", "_", text.replace("%", "_percent"))

    def metric(self, p):
        namespace = self.text(lower(p["namespace"].removeprefix("/")))
        name, skip = self.text(snake(p["metric"])), 0
        for part in namespace.split("_"):
            if name[skip:].startswith(part):
                skip = len(part)
        return ("" if namespace.startswith("aws") else "aws_") + namespace + "_" + name[skip:].removeprefix("_")

    def label(self, dim):
        return "dimension_" + self.text(dim)

    def statistic(self, key):
        return "_" + self.text(snake(key))

    def identity(self, p):
        return {"account_id": p["account"], "region": p["region"]}


class Otel:
    fixed = {"sum": "_sum", "count": "_count", "min": "0", "max": "1"}
    quantile_label = True
    reserved = {"le", "quantile"}
    constants = {}
    units = {"d": "days", "h": "hours", "min": "minutes", "s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds", "By": "bytes",
             "kBy": "kilobytes", "MBy": "megabytes", "GBy": "gigabytes", "TBy": "terabytes", "%": "percent", "1": ""}
    per = {"s": "second", "m": "minute", "h": "hour", "d": "day"}

    def metric(self, p):
        parts = re.findall("[A-Za-z0-9:]+", f"amazonaws.com/{p['namespace']}/{p['metric']}")
        main, _, per = p.get("unit", "").partition("/")
        main = "" if "{" in main else self.units.get(main, re.sub("[^A-Za-z0-9:]+", "_", main))
        parts += [main] if main and main not in parts else []
        parts += ["per_" + self.per.get(per, per)] if per else []
        return legal_start("_".join(parts))

    def label(self, dim):
        start = "key_" if dim[0].isdigit() else "" if re.match("[a-zA-Z]", dim) else "key"
        return start + re.sub("[^a-zA-Z0-9_]", "_", dim)

    def statistic(self, key):
        return "_" + "_".join(re.findall("[A-Za-z0-9:]+", key))

    def identity(self, p):
        return {"Namespace": p["namespace"], "MetricName": p["metric"], "cloud_account_id": p["account"], "cloud_region": p["region"]}


class Logzio(Otel):
    fixed = {"sum": "_sum", "count": "_count", "min": "_min", "max": "_max"}
    constants = {"cloud_provider": "aws", "p8s_logzio_name": "logzio-otlp-metrics-stream"}

    def metric(self, p):
        return legal_start("_".join(re.findall("[a-z0-9:_]+", lower(f"{p['namespace']}/{p['metric']}").replace("/", "_"))))

    def label(self, dim):
        return lower(super().label(dim))

    def statistic(self, key):
        return lower(super().statistic(key))

    def identity(self, p):
        return {"namespace": p["namespace"], "metricname": p["metric"], "account": p["account"], "region": p["region"]}


PRESETS = {"cloudwatch": Cloudwatch(), "yace": Yace(), "logzio": Logzio(), "otel": Otel()}


def labels(point, preset):
    out, taken, identity = {}, set(), preset.identity(point)
    for name, value in sorted(dict(reversed(point["dims"])).items(), key=lambda d: d[0].encode("utf-8", "surrogateescape")):
        base = preset.label(name)
        if base in preset.reserved or base in identity:
            base = "dim_" + base
        label, n = base, 1
        while label in taken:
            n += 1
            label = f"{base}_{n}"
        taken.add(label)
        if value != "":
            out[label] = value
    out.update({k: v for k, v in identity.items() if v})
    return {**preset.constants, **out}


def samples(point, stamp="end", naming="cloudwatch"):
    """[(labels with __name__ as a sorted tuple, timestamp in ms, value)] of one point."""
    preset = PRESETS[naming]
    base, common = preset.metric(point), labels(point, preset)
    values = {k: point.get(k) for k in ("sum", "count", "min", "max")}
    if values["count"] and values["sum"] is not None and "average" in preset.fixed:
        values["average"] = values["sum"] / values["count"]
    series = [(preset.fixed[k], v) for k, v in values.items()]
    for q, v in point.get("quantiles", []):
        series.append((format(decimal.Decimal(repr(float(q))), "f") if preset.quantile_label else preset.statistic("p" + percent(q)), v))
    series += [(preset.statistic(key), v) for key, v in point.get("extras", {}).items()]
    at = point["end_ms"] if stamp == "end" else point["start_ms"]
    out = []
    for text, v in series:
        if v is not None and not math.isnan(v):
            more = {"__name__": base + text} if text.startswith("_") else {"__name__": base, "quantile": text}
            out.append((tuple(sorted({**common, **more}.items())), at, float(v)))
    return out


def expected(points, stamp="end", naming="cloudwatch"):
    """{series: {timestamp: value}}; of repeats the last in order of arrival stays."""
    out = {}
    for p in points:
        for series, at, value in samples(p, stamp, naming):
            out.setdefault(series, {})[at] = value
    return out


def point_of_capture(row):
    """A line of a decoded capture (JSON lines with raw OTLP or JSON fields) as a point."""
    if "metric_name" in row:
        v = row["value"]
        known = {"max", "min", "sum", "count"}
        return {"namespace": row["namespace"], "metric": row["metric_name"], "unit": JSON_UNITS.get(row["unit"], row["unit"]), "dims": list(row["dimensions"].items()),
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
    return {"namespace": namespace, "metric": metric, "unit": row["unit"], "dims": dims, "account": row["resource"].get("cloud.account.id", ""),
            "region": row["resource"].get("cloud.region", ""), "start_ms": row["start_unix_nano"] // 10**6,
            "end_ms": row["time_unix_nano"] // 10**6, "count": row["count"], "sum": row["sum"],
            "min": quantiles.get(0.0), "max": quantiles.get(1.0),
            "quantiles": sorted([q, v] for q, v in quantiles.items() if 0 < q < 1), "extras": {}}
