"""Every preset, as a destination of its own, against a second statement of the rules and against what logz.io's Lambda sent."""
import json
import pathlib

import pytest

from lib import cloudwatch, logzio, mapping, receiver, relay

T0 = 1700000040000
# What makes the preset logzio repeat its predecessor, for the version that read each format.
PREDECESSORS = {
    1: {"logzio": {"bugs": ["lowercase_values", "uncollapsed_names", "quantiles_gated"]},
        "external_labels": {"cloud_provider": "", "p8s_logzio_name": "otlp-cloudwatch-stream-metrics"}},
    2: {"logzio": {"bugs": ["lowercase_values", "dimensions_win", "min_max_at_start", "max_without_origin"]}}}


def deliver(body, destinations):
    """{destination: {series: {timestamp: value}}} of one delivery; destinations: {name: settings}."""
    sinks = {name: receiver.Receiver() for name in destinations}
    main = next(iter(destinations))
    conf = {name: {**settings, "url": sinks[name].url} for name, settings in destinations.items() if name != main}
    with relay.Relay(sinks[main].url, {"destinations": {**conf, "main": destinations[main]}}) as r:
        answer = r.post(body)
        assert (answer.status, answer.error()) == (200, "")
        r.drained()
    return {name: {s: dict(v) for s, v in sink.samples().items()} for name, sink in sinks.items()}


def same(got, want):
    assert sorted(set(got) ^ set(want)) == []
    assert got == want


def check_presets(body, points):
    got = deliver(body, {name: {"naming": name} for name in mapping.PRESETS})
    for name in mapping.PRESETS:
        same(got[name], mapping.expected(points, naming=name))


def check_predecessor(body, rows, version):
    (got,) = deliver(body, {"lambda": {**PREDECESSORS[version], "naming": "logzio"}}).values()
    same(got, logzio.expected(rows, version))


def capture(captures, name):
    lines = (captures / "decoded" / f"{name}.jsonl").read_text().splitlines()
    return (captures / "real" / f"{name}.body.json").read_bytes(), [json.loads(line) for line in lines]


@pytest.mark.parametrize("name", ["logzio-otlp07-validEvent", "logzio-otlp10-validEvent", "telegraf-json-ec2-ebs"])
def test_presets_over_a_capture(captures, name):
    body, rows = capture(captures, name)
    check_presets(body, [mapping.point_of_capture(row) for row in rows])


@pytest.mark.parametrize("name, version, points", [("logzio-otlp07-validEvent", 1, 953), ("logzio-otlp10-validEvent", 2, 710)])
def test_the_predecessors_series_of_its_own_captures(captures, name, version, points):
    body, rows = capture(captures, name)
    assert len(rows) == points
    check_predecessor(body, rows, version)


@pytest.mark.parametrize("fmt", ["otlp07", "otlp10", "json"])
def test_presets_over_generated_points(fmt):
    points = cloudwatch.some_points(300, T0, seed=5, minutes=2)
    if fmt == "json":
        points[0] = {**points[0], "extras": {"TM(10%:90%)": 1.5, "IQM": 2.5, "PR(:300)": 3.5}}
    check_presets(cloudwatch.body([cloudwatch.record(points, fmt)]), points)


@pytest.mark.parametrize("fmt, version", [("otlp07", 1), ("otlp10", 2)])
def test_the_predecessors_series_of_generated_points(fmt, version):
    # Left out: dimensions that clash, which the predecessor sent as illegal series (1.0.2) or joined (2.0.0), and metrics without dimensions,
    # of which the maxima of all accounts are one series (2.0.0): which of them stays is anybody's guess.
    points = [p for p in cloudwatch.some_points(300, T0, seed=6, minutes=2) if p["namespace"] not in ("My App", "AWS/ELB", "AWS/S3")]
    check_predecessor(cloudwatch.body([cloudwatch.record(points, fmt)]), [logzio.row(p, version) for p in points], version)


def test_names_are_as_they_were():
    """golden/names.tsv is for people: the names of generated metrics under each preset. What changes here changes in somebody's dashboard."""
    lines = set()
    for p in cloudwatch.some_points(10, T0):
        for naming in mapping.PRESETS:
            names = [dict(s) for s, _, _ in mapping.samples({**p, "count": 1, "quantiles": [[0.99, 1]]}, naming=naming)]
            text = " ".join(n["__name__"] + (f'{{quantile="{n["quantile"]}"}}' if "quantile" in n else "") for n in names)
            lines.add("\t".join([p["namespace"], p["metric"], p["unit"], naming, text]))
    assert (pathlib.Path(__file__).parents[1] / "golden" / "names.tsv").read_text().splitlines() == sorted(lines)
