"""./dev bench [path|ledger|outage|backlog|series|peer]: what the relay costs, measured on this machine. Ratios between runs mean more than single numbers.

path    CPU per point by process, bytes per sample on the wire and on disk, acknowledgement percentiles, memory; plain, TLS and gzip
ledger  600,000 remembered deliveries: size, start, and their effect on acknowledgements
outage  how soon the first batch arrives after a receiver's return
backlog a receiver that was away until --samples waited (20000000 for the figures of a night): samples per second, CPU, requests, memory
series  memory with 1,000,000 different metrics (some 5,000,000 series)
peer    the CPU of vmagent for the same deliveries: STANDPIPE_PEER_VMAGENT is the path of its executable
"""
import argparse
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
import urllib.request

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
    def __init__(self, bin_dir, port=None):
        self.port = port or relay.free_port()
        self.process = subprocess.Popen([bin_dir / "sink", str(self.port)], stdout=subprocess.PIPE, text=True)
        self.url = f"http://127.0.0.1:{self.port}/api/v1/write"

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return [int(n) for n in self.process.communicate(timeout=10)[0].split()]


def pss_of(pid):
    return sum(int(line.split()[1]) * 1024 for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines() if line.startswith("Pss:"))


def processes(r):
    return {"run": [r.process.pid], **{role: r.pids(role) for role in ("ingest", "convert", "ship")}}


def command(bin_dir, url, *args):
    return [bin_dir / "standpipe", "send", url, "--insecure", "--key", relay.KEY, "--json", "--generate", *args]


def post(bin_dir, url, *args):
    out = subprocess.run(command(bin_dir, url, *args), capture_output=True, text=True, timeout=300)
    assert out.returncode == 0, out.stdout + out.stderr
    return json.loads(out.stdout)


def url_of(r):
    return f"{'https' if r.tls else 'http'}://127.0.0.1:{r.port}/"


def send(r, *args):
    return post(r.bin, url_of(r), *args)


LOAD = ["--series", "20000", "--records", "3", "--points-per-record", "350", "--connections", "4", "--pool", "96", "--minutes", "0", "--start", str(START)]


def path(bin_dir, seconds):
    print(f"{'':<22}{'points/s':>10}{'us/point':>9}{'ingest':>8}{'convert':>8}{'ship':>7}{'run':>6}{'B/sample':>9}{'disk B':>7}{'p50 ms':>7}{'p99 ms':>7}{'PSS MiB':>8}")
    for name, tls, extra in (("OTLP 1.0", False, ["--format", "otlp10"]), ("OTLP 0.7", False, ["--format", "otlp07"]), ("JSON", False, ["--format", "json"]),
                             ("OTLP 1.0, TLS", True, ["--format", "otlp10"]), ("OTLP 1.0, gzip", False, ["--format", "otlp10", "--gzip"]),
                             ("OTLP 1.0, 20,000/s", False, ["--format", "otlp10", "--points-per-second", "20000"])):
        sink = Sink(bin_dir)
        conf = {"convert": {"workers": 0}, "spool": {"max": "8GiB"}}
        with relay.Relay(sink.url, conf, bin=bin_dir, tls=relay.certificate(relay.folder("tls")) if tls else None) as r:
            send(r, *LOAD, *extra, "--duration", "1s")
            r.drained(120)
            pids = processes(r)
            before = {role: sum(map(cpu_seconds, p)) for role, p in pids.items()}
            disk, samples = written(pids["ship"][0]), r.metric("standpipe_samples_accepted_total")
            result = send(r, *LOAD, *extra, "--duration", f"{seconds}s")
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


def peak_rss(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))


def backlog(bin_dir, samples):
    """Many series are sent as they were stored; of few, many minutes fit one request, and each series is in it once."""
    print(f"{'':<16}{'samples':>10}{'seconds':>9}{'samples/s':>11}{'ship CPU s':>11}{'us/sample':>10}{'requests':>9}{'B/sample':>9}{'ship peak MiB':>14}")
    for metrics, records in ((20000, 3), (500, 1)):
        sink = Sink(bin_dir)
        with relay.Relay(sink.url, {"convert": {"workers": 0}, "spool": {"max": "16GiB"}}, bin=bin_dir) as r:
            sink.stop()
            minutes = -(-samples // (5 * metrics))
            send(r, "--series", str(metrics), "--minutes", str(minutes), "--records", str(records), "--points-per-record", str(min(350, metrics)), "--connections", "4",
                 "--format", "otlp10", "--start", str(START - minutes * 60000))
            spooled = lambda: r.metric("standpipe_samples_spooled")
            waiting, [ship] = spooled(), r.pids("ship")
            cpu = cpu_seconds(ship)
            sink = Sink(bin_dir, sink.port)
            relay.wait_for(lambda: spooled() < waiting, every=0.01)  # until its return is noticed
            began, left = time.monotonic(), spooled()
            relay.wait_for(lambda: spooled() == 0, 600, every=0.05)
            seconds, cpu, memory = time.monotonic() - began, cpu_seconds(ship) - cpu, peak_rss(ship)
            assert r.books()[0] == r.books()[1] and r.metric("standpipe_samples_delivered_total") == waiting
        requests, wire, _ = sink.stop()
        print(f"{f'{metrics} metrics':<16}{waiting:>10.0f}{seconds:>9.2f}{left / seconds:>11.0f}{cpu:>11.2f}{cpu * 1e6 / waiting:>10.3f}{requests:>9}{wire / waiting:>9.1f}"
              f"{memory / 2**20:>14.0f}", flush=True)


def series(bin_dir, _):
    """Every point is generated when its turn comes, so that each delivery has series that were not seen for a minute."""
    sink, peak = Sink(bin_dir), 0
    with relay.Relay(sink.url, {"convert": {"workers": 0}, "spool": {"max": "8GiB"}}, bin=bin_dir) as r:
        idle = r.pss()
        sender = subprocess.Popen(command(bin_dir, url_of(r), "--series", "1000000", "--minutes", "3", "--connections", "4", "--format", "otlp10", "--start", str(START)),
                                  stdout=subprocess.PIPE, text=True)
        while sender.poll() is None:
            peak = max(peak, r.pss())
            time.sleep(0.1)
        assert sender.returncode == 0
        result = json.loads(sender.stdout.read())
        r.drained(300)
        by_role = {role: sum(map(pss_of, pids)) / 2**20 for role, pids in processes(r).items()}
        print(f"{result['points']} points of 1,000,000 metrics, {r.metric('standpipe_samples_accepted_total'):.0f} samples, {result['points'] / result['seconds']:.0f} points/s: "
              f"memory idle {idle / 2**20:.0f} MiB, peak {peak / 2**20:.0f} MiB, afterwards " + ", ".join(f"{k} {v:.0f}" for k, v in by_role.items()))
    sink.stop()
    assert peak <= 256 * 2**20, "more than 256 MiB"


class Vmagent:
    """The peer, set to write what remote write 1.0 and Prometheus' naming ask for."""

    def __init__(self, url):
        self.port, self.dir = relay.free_port(), relay.folder("peer")
        self.process = subprocess.Popen([os.environ["STANDPIPE_PEER_VMAGENT"], f"-httpListenAddr=127.0.0.1:{self.port}", f"-remoteWrite.url={url}", "-loggerLevel=ERROR",
                                         f"-remoteWrite.tmpDataPath={self.dir}", "-remoteWrite.forcePromProto", "-usePromCompatibleNaming"])
        relay.wait_for(lambda: self.metrics())

    def metrics(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics") as answer:
            return dict(line.rsplit(" ", 1) for line in answer.read().decode().splitlines() if " " in line)

    def drained(self, samples):
        """It drops nothing here, so what it has sent says when it is done."""
        sent = lambda: sum(float(v) for k, v in self.metrics().items() if k.startswith("vmagent_remotewrite_rows_pushed_after_relabel_total"))
        waiting = lambda: sum(float(v) for k, v in self.metrics().items() if k.startswith("vmagent_remotewrite_pending_data_bytes"))
        relay.wait_for(lambda: sent() >= samples and waiting() == 0, 120)
        time.sleep(2)  # what it still holds back goes out every second

    def stop(self):
        self.process.terminate()
        self.process.wait(30)
        shutil.rmtree(self.dir)


def peer(bin_dir, seconds):
    """Four samples a point, as the peer makes them; both wait for the sink before the CPU is read."""
    if "STANDPIPE_PEER_VMAGENT" not in os.environ:
        sys.exit("STANDPIPE_PEER_VMAGENT is not set: the path of a vmagent")
    load = [*LOAD, "--format", "otlp10", "--duration"]
    sink = Sink(bin_dir)
    conf = {"convert": {"workers": 0}, "spool": {"max": "8GiB"}, "destinations": {"main": {"statistics": ["sum", "sample_count", "minimum", "maximum"]}}}
    with relay.Relay(sink.url, conf, bin=bin_dir) as r:
        post(bin_dir, url_of(r), *load, "1s")
        r.drained(120)
        before = sum(cpu_seconds(pid) for pids in processes(r).values() for pid in pids)
        ours = post(bin_dir, url_of(r), *load, f"{seconds}s")
        r.drained(300)
        ours["us"] = (sum(cpu_seconds(pid) for pids in processes(r).values() for pid in pids) - before) * 1e6 / ours["points"]
        ours["bytes"] = (r.metric("standpipe_samples_accepted_total"), sink.stop()[1])
    sink = Sink(bin_dir)
    vmagent = Vmagent(sink.url)
    url = f"http://127.0.0.1:{vmagent.port}/opentelemetry/v1/metrics"
    first = post(bin_dir, url, *load, "1s")["points"]
    vmagent.drained(4 * first)
    before = cpu_seconds(vmagent.process.pid)
    theirs = post(bin_dir, url, *load, f"{seconds}s")
    vmagent.drained(4 * (first + theirs["points"]))
    theirs["us"] = (cpu_seconds(vmagent.process.pid) - before) * 1e6 / theirs["points"]
    theirs["bytes"] = (4 * (first + theirs["points"]), sink.stop()[1])
    vmagent.stop()
    print(f"{'':<12}{'points/s':>10}{'us/point':>9}{'B/sample':>9}{'p50 ms':>8}{'p99 ms':>8}")
    for name, x in (("standpipe", ours), ("vmagent", theirs)):
        print(f"{name:<12}{x['points'] / x['seconds']:>10.0f}{x['us']:>9.2f}{x['bytes'][1] / x['bytes'][0]:>9.1f}{x['p50_ms']:>8.1f}{x['p99_ms']:>8.1f}")
    print(f"vmagent takes {theirs['us'] / ours['us']:.1f} times the CPU a point")


if __name__ == "__main__":
    args = argparse.ArgumentParser(prog="./dev bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--bin", required=True, type=lambda p: pathlib.Path(p).resolve(), help=argparse.SUPPRESS)
    args.add_argument("--seconds", type=int, default=8)
    args.add_argument("--samples", type=int, default=4_000_000, help="of backlog")
    args.add_argument("what", nargs="*", default=["path", "outage", "ledger"])
    o = args.parse_args()
    for what in o.what:
        print(f"\n== {what}")
        if what == "backlog":
            backlog(o.bin, o.samples)
        else:
            {"path": path, "ledger": ledger, "outage": outage, "series": series, "peer": peer}[what](o.bin, o.seconds)
