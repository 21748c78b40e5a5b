"""./dev demo: the whole path on this machine, checked value by value against a real Prometheus. --keep leaves it running."""
import argparse
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from lib import mapping, real, relay  # noqa: E402

KEY = "demo-key"
SHOWN = 12


def say(text):
    print(text, flush=True)


def start_relay(bin_dir, where, prometheus):
    """`standpipe run` without a configuration file: what is not said here is a default."""
    port, admin = relay.free_port(), relay.free_port()
    env = {"PATH": os.environ["PATH"], "STANDPIPE_INGEST__LISTEN": f"127.0.0.1:{port}", "STANDPIPE_KEYS__DEMO__VALUE": KEY,
           "STANDPIPE_DESTINATIONS__PROMETHEUS__URL": prometheus.url, "STANDPIPE_DESTINATIONS__PROMETHEUS__RECEIVER": "prometheus",
           "STANDPIPE_SPOOL__DIR": f"{where}/spool", "STANDPIPE_RUNTIME__DIR": f"{where}/run", "STANDPIPE_ADMIN__LISTEN": f"127.0.0.1:{admin}"}
    with open(f"{where}/standpipe.log", "wb") as log:
        process = subprocess.Popen([f"{bin_dir}/standpipe", "run"], env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    try:
        relay.wait_for(lambda: process.poll() is not None or real.fetch(f"http://127.0.0.1:{admin}/-/ready"), 20)
    except AssertionError:
        pass
    if process.poll() is not None:
        sys.exit(f"standpipe ended:\n{open(f'{where}/standpipe.log').read()}")
    return process, port, admin


def deliver(bin_dir, where, port):
    """Nine minutes of one stream, which changes its format every three; returns the points that were sent."""
    points, now = [], int(time.time()) // 60 * 60000
    for minutes_ago, fmt in ((9, "otlp07"), (6, "otlp10"), (3, "json")):
        expected = f"{where}/{fmt}.jsonl"
        r = subprocess.run([f"{bin_dir}/standpipe", "send", f"http://127.0.0.1:{port}/", "--insecure", "--key", KEY, "--generate", "--format", fmt,
                            "--series", "150", "--minutes", "3", "--late", "5", "--start", str(now - minutes_ago * 60000), "--expected", expected],
                           capture_output=True, text=True)
        if r.returncode:
            sys.exit(f"standpipe send failed:\n{r.stdout}{r.stderr}")
        say(f"  {fmt}: {r.stdout.splitlines()[0]}")
        points += [json.loads(line) for line in open(expected)]
    return points


def compare(prometheus, points):
    """(what Prometheus holds, sentences about what is not as it should be)"""
    want = mapping.expected([{**p, "extras": {}} for p in points])
    newest = max(t for samples in want.values() for t in samples)
    got, faults = {}, []
    for _ in range(100):
        got = prometheus.samples(newest, "1h")
        if sum(map(len, got.values())) >= sum(map(len, want.values())):
            break
        time.sleep(0.1)
    for series, samples in want.items():
        for at, value in samples.items():
            if got.get(series, {}).get(at) != value:
                faults.append(f"{dict(series)['__name__']} at {at}: expected {value}, Prometheus has {got.get(series, {}).get(at)}")
    faults += [f"not expected: {dict(s)}" for s in got if s not in want]
    say(f"\n{sum(map(len, want.values()))} samples of {len(want)} series expected, {len(faults)} of them missing or different\n")
    return got, faults


def table(got):
    say(f"{'metric':<62} {'labels':<74} {'value':>14}")
    shown, names = 0, set()
    for series, samples in got.items():
        labels = dict(series)
        name = labels.pop("__name__")
        family = labels.get("job")
        if family in names or not name.endswith(("_average", "_p99", "_maximum")) or not samples[max(samples)]:
            continue
        names.add(family)
        text = ", ".join(f'{k}="{v}"' for k, v in sorted(labels.items()) if k != "job")
        say(f"{name[:62]:<62} {text[:74]:<74} {samples[max(samples)]:>14.6g}")
        shown += 1
        if shown == SHOWN:
            break


def main():
    args = argparse.ArgumentParser(prog="./dev demo")
    args.add_argument("--keep", action="store_true", help="leave standpipe and Prometheus running, and say where")
    args.add_argument("--bin", required=True, help=argparse.SUPPRESS)
    args.add_argument("--prometheus", required=True, help=argparse.SUPPRESS)
    o = args.parse_args()
    where = tempfile.mkdtemp(prefix="demo-", dir=relay.SCRATCH if relay.SCRATCH.is_dir() else relay.SCRATCH.parent)
    say("starting Prometheus and standpipe")
    prometheus = real.Prometheus("7d", pathlib.Path(o.prometheus)).__enter__()
    process, port, admin = start_relay(o.bin, where, prometheus)
    try:
        say("delivering generated CloudWatch metrics as Firehose does:")
        points = deliver(o.bin, where, port)
        got, faults = compare(prometheus, points)
        table(got)
        for fault in faults[:10]:
            say(f"WRONG: {fault}")
        if o.keep:
            say(f"""
Left running:
  Prometheus   {prometheus.base}   (try: aws_ec2_cpuutilization_average)
  deliveries   standpipe send http://127.0.0.1:{port}/ --insecure --key {KEY} --generate
  metrics      http://127.0.0.1:{admin}/metrics      status: http://127.0.0.1:{admin}/status
  log, spool   {where}
  end it with  kill {process.pid} {prometheus.process.pid}""")
        return 1 if faults or not points else 0
    finally:
        if not o.keep:
            process.send_signal(signal.SIGTERM)
            process.wait(30)
            prometheus.__exit__(None)
            subprocess.run(["rm", "-rf", where], check=True)


if __name__ == "__main__":
    sys.exit(main())
