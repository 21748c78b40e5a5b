"""Real receivers from Debian's packages: Prometheus and VictoriaMetrics, unpacked below build/deps; newer ones where STANDPIPE_NEWER_RECEIVERS says."""
import json
import os
import pathlib
import shutil
import subprocess
import urllib.parse
import urllib.request

from .relay import folder, free_port, wait_for

DEPS = pathlib.Path(os.environ.get("STANDPIPE_DEPS", "build/deps")).resolve()
NEWER = os.environ.get("STANDPIPE_NEWER_RECEIVERS")  # holds PACKAGE/usr/bin/PACKAGE of a later Debian


def fetch(url, data=None, timeout=60):
    with urllib.request.urlopen(urllib.request.Request(url, data=data), timeout=timeout) as r:
        return r.read()


def newer(package):
    """Its program; a test that needs it is skipped where it is not there."""
    import pytest  # the demo uses this file without it
    program = pathlib.Path(NEWER or "") / package / "usr/bin" / package
    if not NEWER or not program.exists():
        pytest.skip(f"no newer {package}: " + (f"{program} is missing" if NEWER else "STANDPIPE_NEWER_RECEIVERS is not set"))
    return program


class Process:
    """Starts at once, so that several start side by side; it answers when the block of `with` begins. files: {name: text} in its folder."""

    def __init__(self, name, argv, probe, files=None):
        self.dir, self.port, self.probe = folder(name), free_port(), probe
        for file, text in (files or {}).items():
            (self.dir / file).write_text(text)
        with open(self.dir / "log", "wb") as log:
            self.process = subprocess.Popen([str(a).format(dir=self.dir, port=self.port) for a in argv], stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    @property
    def base(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self):
        return self.base + "/api/v1/write"

    def __enter__(self):
        wait_for(lambda: self.process.poll() is not None or fetch(f"{self.base}{self.probe}"), 60)
        assert self.process.poll() is None, (self.dir / "log").read_text()[-2000:]
        return self

    def __exit__(self, kind, *rest):
        self.process.terminate()
        self.process.wait(30)
        if kind:
            print(f"--- log of {self.dir.name} ---\n" + (self.dir / "log").read_text(errors="replace")[-5000:])
        else:
            shutil.rmtree(self.dir, ignore_errors=True)


class Prometheus(Process):
    """window: out_of_order_time_window, or None for none. config: more of its configuration."""

    def __init__(self, window="87600h", binary=DEPS / "prometheus/usr/bin/prometheus", args=(), config=""):
        config += ("global: {scrape_interval: 1h}\n" + (f"storage: {{tsdb: {{out_of_order_time_window: {window}}}}}\n" if window else ""))
        super().__init__("prometheus", [binary, *args, "--config.file={dir}/prometheus.yml", "--storage.tsdb.path={dir}/data", "--storage.tsdb.retention.time=100y",
                                        "--web.enable-remote-write-receiver", "--web.listen-address=127.0.0.1:{port}"], "/-/ready", {"prometheus.yml": config})

    def samples(self, newest_ms, window="4h"):
        """{series: {timestamp: value}} of everything within the window before newest_ms."""
        query = urllib.parse.urlencode({"query": '{__name__=~".+"}[%s]' % window, "time": newest_ms / 1000 + 1})
        data = json.loads(fetch(f"{self.base}/api/v1/query?{query}"))["data"]["result"]
        return {tuple(sorted(r["metric"].items())): {round(t * 1000): float(v) for t, v in r["values"]} for r in data}


class VictoriaMetrics(Process):
    def __init__(self, binary=DEPS / "victoria-metrics/usr/bin/victoria-metrics"):
        super().__init__("victoria", [binary, "-storageDataPath={dir}/data", "-retentionPeriod=100y", "-httpListenAddr=127.0.0.1:{port}"], "/health")

    def samples(self, *_):
        fetch(f"{self.base}/internal/force_flush")
        query = urllib.parse.urlencode({"match[]": '{__name__!=""}'})
        out = {}
        for line in fetch(f"{self.base}/api/v1/export?{query}").splitlines():
            row = json.loads(line)
            out.setdefault(tuple(sorted(row["metric"].items())), {}).update(zip(row["timestamps"], map(float, row["values"])))
        return out
