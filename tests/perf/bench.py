"""./dev bench [path|ledger|outage]: what the relay costs, measured on this machine. Ratios between runs mean more than single numbers.

path    CPU per point by process, bytes per sample on the wire and on disk, acknowledgement percentiles, memory; plain, TLS and gzip
ledger  600,000 remembered deliveries: size, start, and their effect on acknowledgements
outage  how soon the first batch arrives after a receiver's return
"""
import argparse
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from lib import receiver, relay  # noqa: E402

TICK = os.sysconf("SC_CLK_TCK")
START = 1_600_000_020_000


def cpu_seconds(pid):
    stat = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(stat[11]) + int(stat[12])) / TICK


def written(pid):
    return int(dict(line.split(": ") for line in pathlib.Path(f"/proc/{pid}/io").read_text().splitlines())["write_bytes"])


class Sink:
    def __init__(self, bin_dir):
        self.port = relay.free_port()
        self.process = subprocess.Popen([bin_dir / "sink", str(self.port)], stdout=subprocess.PIPE, text=True)
        self.url = f"http://127.0.0.1:{self.port}/api/v1/write"

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return [int(n) for n in self.process.communicate(timeout=10)[0].split()]


def processes(r):
    return {"run": [r.process.pid], **{role: r.pids(role) for role in ("ingest", "convert", "ship")}}


def send(r, *args):
    scheme = "https" if r.tls else "http"
    out = subprocess.run([r.bin / "standpipe", "send", f"{scheme}://127.0.0.1:{r.port}/", "--insecure", "--key", relay.KEY, "--json", "--generate", *args],
                         capture_output=True, text=True, timeout=300)
    assert out.returncode == 0, out.stdout + out.stderr
    return json.loads(out.stdout)


def path(bin_dir, seconds):
    print(f"{'':<22}{'points/s':>10}{'us/point':>9}{'ingest':>8}{'convert':>8}{'ship':>7}{'run':>6}{'B/sample':>9}{'disk B':>7}{'p50 ms':>7}{'p99 ms':>7}{'PSS MiB':>8}")
    load = ["--series", "20000", "--records", "3", "--points-per-record", "350", "--connections", "4", "--pool", "96", "--minutes", "0", "--start", str(START)]
    for name, tls, extra in (("OTLP 1.0", False, ["--format", "otlp10"]), ("OTLP 0.7", False, ["--format", "otlp07"]), ("JSON", False, ["--format", "json"]),
                             ("OTLP 1.0, TLS", True, ["--format", "otlp10"]), ("OTLP 1.0, gzip", False, ["--format", "otlp10", "--gzip"]),
                             ("OTLP 1.0, 20,000/s", False, ["--format", "otlp10", "--points-per-second", "20000"])):
        sink = Sink(bin_dir)
        conf = {"convert": {"workers": 0}, "spool": {"max": "8GiB"}}
        with relay.Relay(sink.url, conf, bin=bin_dir, tls=relay.certificate(relay.folder("tls")) if tls else None) as r:
            send(r, *load, *extra, "--duration", "1s")
            r.drained(120)
            pids = processes(r)
            before = {role: sum(map(cpu_seconds, p)) for role, p in pids.items()}
            disk, samples = written(pids["ship"][0]), r.metric("standpipe_samples_accepted_total")
            result = send(r, *load, *extra, "--duration", f"{seconds}s")
            pss = r.pss()
            r.drained(300)
            after = {role: sum(map(cpu_seconds, p)) for role, p in pids.items()}
            disk, total = written(pids["ship"][0]) - disk, r.metric("standpipe_samples_accepted_total")
        _, wire, _ = sink.stop()
        us = {role: (after[role] - before[role]) * 1e6 / result["points"] for role in after}
        print(f"{name:<22}{result['points'] / result['seconds']:>10.0f}{sum(us.values()):>9.2f}{us['ingest']:>8.2f}{us['convert']:>8.2f}{us['ship']:>7.2f}"
              f"{us['run']:>6.2f}{wire / total:>9.1f}{disk / (total - samples):>7.1f}{result['p50_ms']:>7.1f}{result['p99_ms']:>7.1f}{pss / 2**20:>8.0f}", flush=True)


def ledger(bin_dir, _):
    sink = Sink(bin_dir)
    conf = {"spool": {"max": "8GiB"}}
    small = ["--series", "64", "--records", "1", "--points-per-record", "1", "--pool", "64", "--minutes", "0", "--start", str(START), "--format", "otlp10"]
    with relay.Relay(sink.url, conf, bin=bin_dir) as r:
        empty = send(r, *small, "--duration", "3s")
        have = empty["deliveries"]
        while have < 600_000:
            have += send(r, *small, "--connections", "64", "--duration", "10s")["deliveries"]
            print(f"\r{have} deliveries remembered", end="", flush=True)
        full = send(r, *small, "--duration", "3s")
        size = (pathlib.Path(r.conf["spool"]["dir"]) / "spool.db").stat().st_size
        r.drained(300)
        r.stop()
        began = time.monotonic()
        r.start()
        print(f"\nfile {size / 2**20:.0f} MiB; stop to ready again {time.monotonic() - began:.2f} s; memory of the tree {r.pss() / 2**20:.0f} MiB")
        print(f"acknowledgement p50/p99: empty {empty['p50_ms']:.2f}/{empty['p99_ms']:.2f} ms, full {full['p50_ms']:.2f}/{full['p99_ms']:.2f} ms")
    sink.stop()


def outage(bin_dir, _):
    sink = receiver.Receiver()
    with relay.Relay(sink.url, bin=bin_dir) as r:
        send(r, "--series", "1000", "--minutes", "1", "--start", str(START))
        r.drained()
        sink.stop()
        send(r, "--series", "1000", "--minutes", "1", "--start", str(START + 60000))
        time.sleep(20)
        before = len(sink.requests)
        began = time.monotonic()
        sink.start()
        relay.wait_for(lambda: len(sink.requests) > before)
        print(f"first batch after an outage of 20 s: {sink.requests[before].at - began:.2f} s after the receiver's return")
        r.drained()


if __name__ == "__main__":
    args = argparse.ArgumentParser(prog="./dev bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--bin", required=True, type=lambda p: pathlib.Path(p).resolve(), help=argparse.SUPPRESS)
    args.add_argument("--seconds", type=int, default=8)
    args.add_argument("what", nargs="*", default=["path", "outage", "ledger"])
    o = args.parse_args()
    for what in o.what:
        print(f"\n== {what}")
        {"path": path, "ledger": ledger, "outage": outage}[what](o.bin, o.seconds)
