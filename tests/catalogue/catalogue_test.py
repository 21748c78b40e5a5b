"""Every entry of inputs.yaml through a real relay: what is answered, kept, set aside, counted and delivered."""
import contextlib
import copy
import json
import math
import os
import pathlib
import re
import signal
import socket
import ssl
import subprocess
import sys
import time

import pytest

from lib import receiver, relay

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import inputs  # noqa: E402

ENTRIES = inputs.load()
CASES = [({**{k: v for k, v in e.items() if k != "cases"}, **c}, f"{e['n']}" + (f"-{i + 1}" if "cases" in e else ""))
         for e in ENTRIES for i, c in enumerate(e.get("cases", [{}]))]
seen = {}  # name of a case -> (case, what was observed)


# ---- relays, one for each configuration ----

def configuration(name):
    where = relay.folder("catalogue")
    for key, text in {"old": "old-key", "new": "new-key", "fenced": "fenced", "long": '{"a": "b c"}' + "x" * 4083 + "\n"}.items():
        (where / key).write_text(text)
    arn = "arn:aws:firehose:*:111122223333:deliverystream/*"
    keys = {k: {"file": str(where / k)} for k in ("old", "new", "long")} | {"fenced": {"file": str(where / "fenced"), "source_arns": [arn]}}
    return {
        "plain": {"ingest": {"header_timeout": "500ms", "body_stall": "500ms"},
                  "destinations": {"main": {"common_attributes": ["env", "stage", "team", "instance_id", "__name__"]}}},
        "tls": {"ingest": {"handshake_timeout": "500ms"}}, "small": {"ingest": {"max_body": "1MiB"}}, "keys": {"keys": keys},
        "full": {"spool": {"max": "4MiB"}}, "tight": {"runtime": {"memory": "32MiB"}, "ingest": {"max_body": "16MiB"}},
        "slow": {"ingest": {"deadline": "1s"}}}[name]


class Stand:
    def __init__(self, name, stack):
        self.sink = receiver.Receiver()
        url = "http://127.0.0.1:9/" if name == "full" else self.sink.url
        tls = relay.certificate(relay.folder("tls")) if name == "tls" else None
        self.relay = stack.enter_context(relay.Relay(url, configuration(name), tls=tls))
        if name == "full":
            def fill():
                ids = [os.urandom(400).hex() for _ in range(40)]
                return self.relay.post(inputs.body(*[inputs.otlp10(dims=(("Id", i),)) for i in ids])).status == 503 and not self.relay.ready()
            relay.wait_for(fill)

    def connect(self, timeout=10):
        return socket.create_connection(("127.0.0.1", self.relay.port), timeout)

    def refuses(self):
        try:
            self.connect().close()
        except ConnectionRefusedError:
            return True
        return False


@pytest.fixture(scope="module")
def stands():
    """The relay of a name, started when it is first asked for."""
    with contextlib.ExitStack() as stack:
        there = {}
        yield lambda name: there.get(name) or there.setdefault(name, Stand(name, stack))


# ---- what is asked, and what comes back ----

def read_answer(s, buffer, bodiless=False):
    """One answer (status, headers, body), or None when the connection ends first; what is left of the buffer stays in it."""
    while b"\r\n\r\n" not in buffer:
        more = s.recv(65536)
        if not more:
            return None
        buffer += more
    head, _, rest = bytes(buffer).partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = {k.lower(): v for k, v in (x.split(": ", 1) for x in lines[1:])}
    status, size = int(lines[0].split()[1]), 0 if bodiless else int(headers.get("content-length", 0))
    while len(rest) < size and (more := s.recv(65536)):
        rest += more
    buffer[:] = rest[size:]
    return read_answer(s, buffer) if status == 100 else (status, headers, rest[:size])


def converse(stand, data, answers=1):
    out, buffer = [], bytearray()
    with stand.connect() as s:
        with contextlib.suppress(ConnectionError):
            s.sendall(data)
        for _ in range(answers):
            with contextlib.suppress(ConnectionError):
                if (a := read_answer(s, buffer, data.startswith(b"HEAD"))) is None:
                    break
                out.append(a)
    return out


def plain_on_tls(stand):
    return [a for a in converse(stand, b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n") if a[0] == 200]


def old_tls(stand):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with stand.connect() as s, pytest.raises((ssl.SSLError, ConnectionError)):
        context.wrap_socket(s)
    return []


def silent_tls(stand):
    with stand.connect() as s:
        assert s.recv(1) == b""
    return []


def hang_up_within_the_body(stand):
    before = stand.relay.metric("standpipe_ingest_aborted_total")
    with stand.connect() as s:
        s.sendall(inputs.request()[:-10])
    relay.wait_for(lambda: stand.relay.metric("standpipe_ingest_aborted_total") > before)
    return []


def hang_up_and_repeat(stand):
    data = inputs.request(id="cut-" + inputs.account)
    with stand.connect() as s:
        s.sendall(data)
    return converse(stand, data)


def the_same_again(stand):
    data = inputs.request(id="again-" + inputs.account)
    return converse(stand, data) + converse(stand, data)


def two_large_bodies(stand):
    with stand.connect() as first:
        first.sendall(inputs.request(b"x" * 100, length=15 << 20))
        relay.wait_for(lambda: stand.relay.metric("standpipe_ingest_budget_bytes") > 0)
        return converse(stand, inputs.request(b"", length=15 << 20))


@contextlib.contextmanager
def ship_stopped(stand):
    [pid] = stand.relay.pids("ship")
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def slow_ship(stand):
    data = inputs.request(id="slow-" + inputs.account)
    with ship_stopped(stand):
        first = converse(stand, data)
    relay.wait_for(lambda: stand.relay.ready())
    return first + converse(stand, data)


def retry_in_work(stand):
    data = inputs.request(id="retry-" + inputs.account)
    with stand.connect() as one, stand.connect() as two:
        with ship_stopped(stand):
            one.sendall(data)
            two.sendall(data)
            time.sleep(0.3)  # both are there now; if not, the second is recognised all the same
        return [read_answer(one, bytearray()), read_answer(two, bytearray())]


def ingest_alone(stand):
    """The role by itself, as in a container whose workers have not come yet."""
    r = relay.Relay(stand.sink.url)
    r.write_config()
    with open(r.log_path, "ab") as log:
        role = subprocess.Popen([r.bin / "standpipe", "ingest", "--config", r.config], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        relay.wait_for(lambda: r.connect().connect() is None)
        stand = copy.copy(stand)
        stand.relay = r
        return converse(stand, inputs.request())
    finally:
        role.terminate()
        role.wait(20)


def while_stopping(stand):
    """One delivery is on its way, so that ingest waits for it; meanwhile another connection asks."""
    with relay.Relay(stand.sink.url, {"ingest": {"drain": "3s"}}) as r:
        stand = copy.copy(stand)
        stand.relay = r
        with stand.connect() as busy, stand.connect() as idle:
            busy.sendall(inputs.request()[:-10])
            data = inputs.request()
            idle.sendall(data[:40])
            relay.wait_for(lambda: r.metric("standpipe_ingest_connections") == 2)
            [pid] = r.pids("ingest")
            os.kill(pid, signal.SIGTERM)
            relay.wait_for(lambda: stand.refuses())
            idle.sendall(data[40:])
            return [read_answer(idle, bytearray())]


def ask(stand, case):
    if "drive" in case:
        return globals()[case["drive"]](stand)
    names = {**vars(inputs), "now": int(time.time() * 1000)}
    if "send" in case:
        data = eval(case["send"], names)
    elif "body" in case:
        data = inputs.request(eval(case["body"], names))
    else:
        data = inputs.request(inputs.body(*[eval(r, names) for r in case["records"]]))
    status = case.get("status", 200)
    return converse(stand, data, len(status) if isinstance(status, list) else 1)


# ---- what is observed, and what is expected of it ----

def fault_of_form(answer, case):
    status, headers, content = answer
    if case.get("form") == "text":
        return None if content and not content.startswith(b"{") else "no text"
    if case.get("form") == "none":
        return None if content == b"" else "a body"
    if headers.get("content-type") != "application/json" or {"transfer-encoding", "content-encoding"} & set(headers):
        return f"headers {headers}"
    o = json.loads(content)
    if set(o) != {"requestId", "timestamp"} | ({"errorMessage"} if status != 200 else set()) or not isinstance(o["requestId"], str):
        return f"keys {sorted(o)}"
    if not isinstance(o["timestamp"], int) or abs(o["timestamp"] - time.time() * 1000) > 600000:
        return f"timestamp {o['timestamp']}"
    if status != 200 and not re.fullmatch(r"E_[A-Z]+: [ -~]{1,500}", o["errorMessage"]):
        return f"errorMessage {o['errorMessage']!r}"
    return None


def matching(metrics, pattern):
    """The sum of all series of a metric that carry the labels of the pattern: name{label="x"}."""
    name, _, labels = pattern.partition("{")
    want = [x for x in labels.rstrip("}").split(",") if x]
    return sum(v for k, v in metrics.items() if k.split("{")[0] == name and all(w in k for w in want))


def by_reason(metrics):
    out = {}
    for k, v in metrics.items():
        if k.startswith("standpipe_convert_quarantined_total"):
            reason = re.search('reason="([^"]*)"', k)[1]
            out[reason] = out.get(reason, 0) + v
    return out


def observe(stand, case):
    before = stand.relay.metrics()
    answers = ask(stand, case)
    if any(a[0] == 200 and "form" not in case for a in answers):
        relay.wait_for(lambda: stand.relay.metric("standpipe_samples_spooled") == 0)
    after = stand.relay.metrics()
    reasons, had = by_reason(after), by_reason(before)
    series, at, longest, labels_of, accounts = {}, {}, 0, {}, set()
    for key, samples in stand.sink.samples().items():
        labels = dict(key)
        if not labels.get("account_id", "").startswith(inputs.account) and labels.get("id") != inputs.account and case["n"] != 142:
            continue
        accounts.add(labels.pop("account_id", None))
        name = labels.pop("__name__")
        labels_of[name] = len(labels) + 1
        longest = max([longest, *map(len, labels.values())])
        for dropped in ("job", "region"):
            labels.pop(dropped, None)
        text = name + "{" + ",".join(f'{k}="{v}"' for k, v in sorted(labels.items())) + "}"
        series.setdefault(text, []).extend(v for _, v in samples)
        at[text] = samples[-1][0] - inputs.MINUTE
    last = answers[-1] if answers else None
    said = [json.loads(a[2]) for a in answers if a[1].get("content-type") == "application/json"]
    return {"status": [a[0] for a in answers], "form": [f for f in (fault_of_form(a, case) for a in answers) if f],
            "code": next((o["errorMessage"].split(":")[0] for o in said if "errorMessage" in o), None), "id": said[-1]["requestId"] if said else None,
            "header": last[1] if last else {}, "points": matching(after, "standpipe_convert_points_total") - matching(before, "standpipe_convert_points_total"),
            "quarantined": {k: v - had.get(k, 0) for k, v in reasons.items() if v > had.get(k, 0)},
            "counters": {k: matching(after, k) - matching(before, k) for k in case.get("counters", {})}, "series": series, "at": at,
            "labels": labels_of, "longest": longest, "accounts": len(accounts)}


def same_value(want, got):
    want = want if isinstance(want, list) else [want]
    return got is not None and len(want) == len(got) and all(math.copysign(1, a) == math.copysign(1, b) and a == b for a, b in zip(want, got))


def compare(case, got, account):
    """Every difference between what the entry expects and what was observed, as a list of sentences."""
    status = case.get("status", 200)
    want = [] if status == "closed" else status if isinstance(status, list) else [status]
    wrong = [f"{f} of an answer" for f in got["form"]]

    def equal(what, a, b):
        if a != b:
            wrong.append(f"{what}: wanted {a!r}, got {b!r}")

    equal("status", want, got["status"])
    equal("code", case.get("code"), got["code"])
    equal("points", case.get("points", 0), got["points"])
    equal("quarantined", case.get("quarantined", {}), got["quarantined"])
    for key in ("longest", "accounts"):
        if key in case:
            equal(key, case[key], got[key])
    if "id" in case:
        equal("requestId", case["id"].replace("{account}", account), got["id"])
    for name, value in case.get("header", {}).items():
        equal(name, value, got["header"].get(name))
    for kind in ("counters", "at", "labels"):
        for name, value in case.get(kind, {}).items():
            equal(name, value, got[kind].get(name))
    for name, value in case.get("series", {}).items():
        if value is None:
            equal(name, None, got["series"].get(name))
        elif not same_value(value, got["series"].get(name)):
            wrong.append(f"{name}: wanted {value!r}, got {got['series'].get(name)!r} of {sorted(got['series'])}")
    return wrong


@pytest.mark.parametrize("case, name", CASES, ids=[name for _, name in CASES])
def test_input(stands, case, name):
    inputs.account = f"{CASES.index((case, name)) + 1:04}"
    stand = stands(case.get("relay", "plain"))
    got = observe(stand, case)
    seen[name] = (case, got, inputs.account)
    assert compare(case, got, inputs.account) == []


# ---- each expectation is looked at ----

def mutations(case):
    """The case with one expectation changed, for each of them."""
    yield "status", {**case, "status": 418}
    yield "code", {**case, "code": "E_OTHER"}
    yield "points", {**case, "points": case.get("points", 0) + 1}
    yield "quarantined", {**case, "quarantined": {**case.get("quarantined", {}), "other": 1}}
    for kind in ("id", "longest", "accounts"):
        if kind in case:
            yield kind, {**case, kind: "other" if kind == "id" else case[kind] + 1}
    for kind in ("quarantined", "counters", "series", "at", "labels", "header"):
        for name, value in case.get(kind, {}).items():
            other = [-12345.5] if value is None or isinstance(value, list) else value + "x" if isinstance(value, str) else -12345.5
            yield f"{kind} {name}", {**case, kind: {**case[kind], name: other}}


@pytest.mark.parametrize("name", [name for _, name in CASES])
def test_a_changed_expectation_fails(name):
    if name not in seen:
        pytest.skip("the input itself was not run: this compares with what was observed then")
    case, got, account = seen[name]
    for what, changed in mutations(case):
        assert compare(changed, got, account), f"nobody looks at {what}"


def test_the_catalogue_is_complete_and_documented():
    assert [e["n"] for e in ENTRIES] == list(range(1, 163))
    docs = pathlib.Path(__file__).parent.parent.parent / "docs/reference.md"
    assert docs.read_text().endswith(inputs.table(ENTRIES)), "run ./dev docs"
