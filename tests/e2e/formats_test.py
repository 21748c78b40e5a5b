"""The format of a metric stream is the operator's choice and may change at any time: receivers cannot tell."""
import json
import struct
import subprocess
import threading

from lib import cloudwatch, mapping, receiver, relay

MINUTE = 1700000040000
FORMATS = ("otlp07", "otlp10", "json")
CONNECTIONS = 4
MINUTES = 16


def in_bytes(samples):
    return {series: [struct.pack("<qd", t, v) for t, v in values] for series, values in samples.items()}


def test_three_formats_of_the_same_metrics_are_the_same_series_bit_for_bit():
    arrived = {}
    for fmt in (*FORMATS, "mixed"):
        sink = receiver.Receiver()
        with relay.Relay(sink.url) as r:
            out = subprocess.run([r.bin / "standpipe", "send", f"http://127.0.0.1:{r.port}/", "--insecure", "--key", relay.KEY, "--generate", "--json", "--format", fmt,
                                  "--series", "700", "--minutes", "3", "--start", str(MINUTE), "--late", "5", "--connections", "2"], capture_output=True, text=True)
            assert out.returncode == 0, out.stdout + out.stderr
            r.drained()
        arrived[fmt] = in_bytes(sink.samples())
        assert sum(map(len, arrived[fmt].values())) > 3 * json.loads(out.stdout)["points"]
    assert arrived["otlp07"] == arrived["otlp10"] == arrived["json"] == arrived["mixed"]


def records(points, minute):
    """As the operator has the stream at this time: 0.7, then 1.0, then JSON, then all of them in one request and in one record."""
    phase = minute * 4 // MINUTES
    if phase < 3:
        return [cloudwatch.record(points, FORMATS[phase])]
    thirds = [points[i::3] for i in range(3)]
    return [cloudwatch.record(t, f) for t, f in zip(thirds, FORMATS)] if minute % 2 else [
        cloudwatch.record(thirds[0], "otlp07") + cloudwatch.record(thirds[1], "otlp10"), cloudwatch.record(thirds[2], "json")]


def test_switching_formats_under_load_changes_nothing():
    streams = [[p for p in cloudwatch.some_points(60, MINUTE, seed=k, minutes=MINUTES) if p["dims"]] for k in range(CONNECTIONS)]
    sink = receiver.Receiver()
    failed = []
    with relay.Relay(sink.url) as r:
        def send(points):
            connection = r.connect()
            for minute in range(MINUTES):
                now = [p for p in points if p["start_ms"] == MINUTE + minute * 60000]
                answer = r.post(cloudwatch.body(records(now, minute)), connection=connection)
                failed.extend([answer.body] if answer.status != 200 else [])

        threads = [threading.Thread(target=send, args=(points,)) for points in streams]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        r.drained()
        assert r.books()[0] == r.books()[1]
        assert r.metric("standpipe_convert_quarantined_total") == 0
    want = mapping.expected([p for points in streams for p in points])
    got = sink.samples()
    assert not failed
    assert got == {series: sorted(samples.items()) for series, samples in want.items()}  # each once, in order
