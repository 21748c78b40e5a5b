"""A real standpipe (supervisor and three roles) in a folder of its own, and a Firehose client for it."""
import contextlib
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.request
import uuid

BIN = pathlib.Path(os.environ.get("STANDPIPE_BIN", "build/dev/bin")).resolve()
RELEASE_BIN = pathlib.Path(os.environ.get("STANDPIPE_RELEASE_BIN", "build/release/bin")).resolve()
SCRATCH = pathlib.Path(os.environ.get("STANDPIPE_SCRATCH", "build/test")).resolve()
KEY = "test-key"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(what, timeout=30, every=0.02):
    """Calls what() until it is true and returns that; raises at the time-out. Errors of connections count as "not yet"."""
    end, last = time.monotonic() + timeout, None
    while time.monotonic() < end:
        try:
            last = what()
            if last:
                return last
        except (OSError, http.client.HTTPException) as e:
            last = e
        time.sleep(every)
    raise AssertionError(f"still not so after {timeout} s: {last!r}")


def folder(name):
    """A new folder on a real disk (short path: unix sockets)."""
    SCRATCH.mkdir(parents=True, exist_ok=True)
    return pathlib.Path(tempfile.mkdtemp(prefix=name + "-", dir=SCRATCH))


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body
        self.json = json.loads(body) if body else None

    def error(self):
        return (self.json or {}).get("errorMessage", "")


class Relay:
    """settings: a dict that is merged into the configuration. Use as a context manager; the log is shown when a test fails."""

    def __init__(self, url, settings=None, env=None, spool_dir=None, tls=None, bin=None):
        self.dir = folder("relay")
        self.port, self.admin = free_port(), free_port()
        self.tls, self.bin = tls, bin or BIN
        (self.dir / "key").write_text(KEY + "\n")
        conf = {"ingest": {"listen": f"127.0.0.1:{self.port}"}, "keys": {"test": {"file": str(self.dir / "key")}},
                "destinations": {"main": {"url": url}}, "spool": {"dir": str(spool_dir or self.dir / "spool")},
                "runtime": {"dir": str(self.dir / "run")}, "admin": {"listen": f"127.0.0.1:{self.admin}"},
                "convert": {"workers": 2}, "log": {"format": "json"}}
        if tls:
            conf["ingest"]["tls"] = {"cert": str(tls[0]), "key": str(tls[1])}
        self.conf = merge(conf, settings or {})
        if not url:
            del self.conf["destinations"]["main"]["url"]
        self.config = self.dir / "standpipe.yaml"
        self.env = {**os.environ, **(env or {})}
        self.process = None
        self.log_path = self.dir / "log"

    def write_config(self):
        self.config.write_text(json.dumps(self.conf, indent=1))  # JSON is YAML

    def start(self, ready=True):
        self.write_config()
        log = open(self.log_path, "ab")
        self.process = subprocess.Popen([self.bin / "standpipe", "run", "--config", self.config], stdin=subprocess.DEVNULL, stdout=log,
                                        stderr=log, env=self.env, start_new_session=True)
        log.close()
        if ready:
            self.wait_ready()
        return self

    def wait_ready(self, timeout=30):
        wait_for(lambda: self.process.poll() is not None or self.ready(), timeout)
        assert self.process.poll() is None, "standpipe ended:\n" + self.log()
        return self

    def stop(self, timeout=30):
        """TERM and wait; returns the exit status."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout)
        return self.process.returncode if self.process else None

    def kill_all(self):
        """SIGKILL of the whole tree at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)

    def pids(self, role):
        """Process ids of a role's processes that are children of this supervisor."""
        out = []
        for p in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError, ValueError, IndexError):
                stat = (p / "stat").read_text().rsplit(")", 1)[1].split()
                if int(stat[1]) == self.process.pid and stat[0] != "Z" and (p / "cmdline").read_bytes().split(b"\0")[0].endswith(b"-" + role.encode()):
                    out.append(int(p.name))
        return out

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *rest):
        try:
            self.stop()
        except subprocess.TimeoutExpired:
            self.kill_all()
            if not kind:
                raise
        finally:
            if kind:
                print(f"--- log of the relay in {self.dir} ---\n{self.log()[-20000:]}")
            else:
                for bad in ("ERROR: AddressSanitizer", "runtime error:", "ThreadSanitizer", '"event":"bug"', "event=bug", "books.unbalanced"):
                    assert bad not in self.log(), self.log()
                shutil.rmtree(self.dir, ignore_errors=True)

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def events(self, event=None):
        out = []
        for line in self.log().splitlines():
            with contextlib.suppress(ValueError):
                row = json.loads(line)
                if isinstance(row, dict) and (event is None or row.get("event") == event):
                    out.append(row)
        return out

    def pss(self, what="Pss"):
        """Proportional memory of the whole tree in bytes; "Pss_Anon": without what is of files."""
        total = 0
        for pid in [self.process.pid] + [p for role in ("ingest", "convert", "ship") for p in self.pids(role)]:
            with contextlib.suppress(OSError):
                for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                    if line.startswith(what + ":"):
                        total += int(line.split()[1]) * 1024
        return total

    def get(self, path):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}{path}", timeout=10) as r:
                return r.status, r.read().decode()
        except urllib.error.HTTPError as e:
            return e.code, e.read().decode()

    def ready(self):
        return self.get("/-/ready")[0] == 200

    def metrics(self):
        """{name{labels}: value}; the label `role` stays in."""
        out = {}
        for line in self.get("/metrics")[1].splitlines():
            if line and not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                out[name] = float(value)
        return out

    def metric(self, name, **labels):
        """Sum over all series of this name that carry these labels."""
        want = [f'{k}="{v}"' for k, v in labels.items()]
        return sum(v for k, v in self.metrics().items() if k.split("{")[0] == name and all(w in k for w in want))

    def status(self):
        return json.loads(self.get("/status")[1])

    def cli(self, *args, check=True, errors=False):
        r = subprocess.run([self.bin / "standpipe", *args, "--config", self.config], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                           env=self.env, timeout=60)
        assert not check or r.returncode == 0, f"{args}: {r.returncode}\n{r.stdout}\n{r.stderr}"
        return r.stderr if errors else r.stdout

    def connect(self, timeout=60):
        if self.tls:
            context = ssl.create_default_context(cafile=str(self.tls[0]))
            return http.client.HTTPSConnection("localhost", self.port, timeout=timeout, context=context)
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def post(self, body, key=KEY, request_id="fresh", gzip=False, headers=None, path="/", connection=None, arn="arn:aws:firehose:eu-central-1:111122223333:deliverystream/test"):
        """One delivery, with the headers Firehose sends. request_id: a new one by default; None leaves the header out."""
        if request_id == "fresh":
            request_id = str(uuid.uuid4())
        h = {"X-Amz-Firehose-Protocol-Version": "1.0", "Content-Type": "application/json", "User-Agent": "Amazon Kinesis Data Firehose Agent/1.0",
             "X-Amz-Firehose-Source-Arn": arn}
        if request_id is not None:
            h["X-Amz-Firehose-Request-Id"] = request_id
        if key is not None:
            h["X-Amz-Firehose-Access-Key"] = key
        if gzip:
            h["Content-Encoding"] = "gzip"
        h.update(headers or {})
        c = connection or self.connect()
        try:
            try:
                c.request("POST", path, body, h, encode_chunked="Transfer-Encoding" in h)
            except (BrokenPipeError, ConnectionResetError):
                if c.sock is None:
                    raise
                # else refused before the body was read to its end: the answer is there all the same
            r = c.getresponse()
            return Answer(r.status, dict(r.getheaders()), r.read())
        finally:
            if not connection:
                c.close()

    def drained(self, timeout=60):
        """Waits until nothing waits in the spool."""
        wait_for(lambda: self.metric("standpipe_samples_spooled") == 0 and self.metric("standpipe_samples_accepted_total") > 0, timeout)

    def books(self, destination="main"):
        """P2's equation, from the metrics: (accepted, sum of everything it must equal)."""
        m = self.metrics()
        total = lambda name: sum(v for k, v in m.items() if k.split("{")[0] == name and f'destination="{destination}"' in k)
        rest = sum(total(f"standpipe_samples_{w}_total") for w in ("delivered", "expired", "dropped", "merged"))
        return total("standpipe_samples_accepted_total"), rest + total("standpipe_samples_spooled") + total("standpipe_samples_dead_lettered")


def merge(a, b):
    for k, v in b.items():
        a[k] = merge(a[k], v) if isinstance(v, dict) and isinstance(a.get(k), dict) else v
    return a


def certificate(where):
    """A self-signed certificate for localhost: (cert, key)."""
    cert, key = where / "tls.crt", where / "tls.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
                    "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", cert], check=True, capture_output=True)
    return cert, key
