"""Every entry of cases.yaml as one destination of one of two relays, all of them at the same time: what a receiver's answer leads to."""
import concurrent.futures
import contextlib
import json
import pathlib
import ssl
import sys
import threading
import time

import pytest

from lib import behaviours, cloudwatch, receiver, relay

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import policy  # noqa: E402

CASES = policy.load()
SETTINGS = {"shards": 1, "statistics": ["sum"], "remote_timeout": "1s", "backoff": {"min": "10ms", "unreachable_max": "100ms", "max": "200ms", "retry_after_max": "300ms"},
            "probe": {"min": "100ms", "max": "200ms"}}


def behaviour(expression):
    return behaviours.status(expression) if isinstance(expression, int) else eval(expression, vars(behaviours))


def read_slowly(handler):
    out = b""
    while len(out) < handler.length:
        if handler.path == "/slow":
            time.sleep(0.02)
        out += handler.rfile.read(min(32, handler.length - len(out)) if handler.path == "/slow" else handler.length)
    return out


class Stand:
    """One receiver that answers each path after the entry of that number, and one relay with as many destinations. which: numbers of entries."""

    def __init__(self, which):
        self.which = which
        self.answers = {i: behaviours.in_turn(*map(behaviour, CASES[i]["answers"])) for i in which if "answers" in CASES[i]}
        self.sink = receiver.Receiver(behave=self.answer, read=read_slowly)
        self.alone = receiver.Receiver(behave=lambda r: self.answers[self.number(r)](r))
        self.late = relay.free_port()  # of a receiver that is not there yet
        self.stranger = receiver.Receiver()
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*relay.certificate(relay.folder("policy")))
        self.stranger.server.socket = tls.wrap_socket(self.stranger.server.socket, server_side=True)
        urls = {"nobody": f"http://127.0.0.1:{self.late}/", "stranger": f"https://localhost:{self.stranger.port}/", "slow": f"http://127.0.0.1:{self.sink.port}/slow",
                "no_tls": f"https://127.0.0.1:{self.sink.port}/no_tls"}
        destinations = {}
        for i in which:
            c = CASES[i]
            sink = self.alone if c.get("url") == "alone" else self.sink
            d = destinations[f"case{i}"] = {"url": urls.get(c.get("url"), f"http://127.0.0.1:{sink.port}/{i}"), "match_attributes": {"case": str(i)}}
            relay.merge(relay.merge(d, json.loads(json.dumps(SETTINGS))), c.get("settings", {}))
        self.relay = relay.Relay(self.sink.url, {"destinations": destinations})
        self.sent = {i: [] for i in which}

    @staticmethod
    def number(r):
        return int(r.path[1:]) if r.path[1:].isdigit() else None

    def answer(self, r):
        """No connection is used twice: libcurl repeats by itself what fails on a used one, and the entries count requests."""
        a = self.answers[self.number(r)](r) if self.number(r) is not None else behaviours.OK
        return (a[0], {**a[1], "Connection": "close"}, a[2]) if isinstance(a, tuple) and len(a) == 3 else a

    def post(self, i, step):
        deliveries = CASES[i].get("send", ["good*5"])
        if step >= len(deliveries):
            return
        points = policy.points(deliveries[step], step)
        self.sent[i] += points
        record = [{"namespace": "N", "metric": "m", "unit": "", "dims": [["Id", id]], "account": "111122223333", "region": "eu-central-1", "start_ms": at - 60000,
                   "end_ms": at, "count": 1, "sum": value, "min": value, "max": value, "quantiles": []} for id, at, value in points]
        headers = {"X-Amz-Firehose-Common-Attributes": json.dumps({"commonAttributes": {"case": str(i)}})}
        assert self.relay.post(cloudwatch.body([cloudwatch.record(record, "otlp10")]), headers=headers).status == 200

    def open(self, metrics, i):
        """Does a batch of this entry wait in the spool?"""
        get = lambda what: metrics.get(f'standpipe_samples_{what}{{destination="case{i}",role="ship"}}', metrics.get(f'standpipe_samples_{what}{{role="ship",destination="case{i}"}}', 0))
        return get("accepted_total") < len(self.sent[i]) or get("spooled") > 0

    def settled(self, which):
        def look():
            metrics = self.relay.metrics()
            return not [i for i in which if CASES[i].get("url") not in ("stranger", "no_tls") and self.open(metrics, i)]
        relay.wait_for(look, 40, 0.05)

    def run(self):
        steps = max(len(c.get("send", [0])) for c in CASES)
        threading.Timer(0.5, lambda: setattr(self, "late", receiver.Receiver(self.late))).start()
        for step in range(steps):
            for i in self.which:
                self.post(i, step)
            if step < steps - 1:
                self.settled([i for i in self.which if CASES[i].get("step")])
        self.settled(self.which)
        relay.wait_for(lambda: self.relay.events("destination.paused"))


def observe(stand, dead, events, metrics, i):
    case, name = CASES[i], f"case{i}"
    sink = {"nobody": stand.late, "stranger": stand.stranger, "alone": stand.alone}.get(case.get("url"), stand.sink)
    requests = [r for r in sink.requests if sink is not stand.sink or r.path == ("/slow" if case.get("url") == "slow" else f"/{i}")]
    requests.sort(key=lambda r: r.at)
    taken = [r for r in requests if r.kept or 200 <= (r.status or 0) < 300]
    stored = {(dict(labels)["id"], at): value for r in taken for labels, samples in r.series() for at, value in samples
              if not (r.kept == "good" and dict(labels)["id"].startswith("bad"))}
    good = {(id, at): value for id, at, value in stand.sent[i] if id.startswith("good")}
    sent = {(id, at, value) for id, at, value in stand.sent[i]}
    of = lambda what: sum(v for k, v in metrics.items() if k.startswith(what + "{") and f'"{name}"' in k)
    first = taken[0].at if taken else 0
    return {"missing": {k for k, v in good.items() if stored.get(k) != v} if case["expect"]["delivered"] else set(),
            "invented": {(id, at, v) for (id, at), v in stored.items()} - sent,
            "faults": [f for r in taken for f in receiver.remote_write.faults(r.series())],
            "balance": of("standpipe_samples_accepted_total") - sum(of(f"standpipe_samples_{w}") for w in ("delivered_total", "spooled", "dead_lettered", "expired_total",
                                                                                                   "dropped_total", "merged_total")),
            "delivered": of("standpipe_samples_delivered_total"), "requests": len(requests),
            "dead": {d["reason"]: sum(e["samples"] for e in dead if e["destination"] == name and e["reason"] == d["reason"]) for d in dead if d["destination"] == name},
            "answer": " ".join(d["answer"] for d in dead if d["destination"] == name),
            "states": [f"{e['event'].split('.')[1]} {e['reason']}" for e in events if e.get("destination") == name and e["event"] in ("destination.paused", "destination.backing_off")],
            "pauses": [b.at - a.at for a, b in zip(requests, requests[1:])], "attempt": requests[-1].headers.get("Retry-Attempt") if requests else None,
            "first": len([r for r in taken if r.at - first < 0.045])}


def compare(want, got):
    """Every difference between what the entry expects and what was observed, as a list of sentences."""
    wrong = [f"{what}: {sorted(got[what], key=str)[:5]}" for what in ("missing", "invented", "faults") if got[what]]
    wrong += [f"the books are off by {got['balance']}"] if got["balance"] else []
    within = lambda a, b: a[0] <= b <= a[1] if isinstance(a, list) else a == b
    for what in ("delivered", "requests", "dead", "states"):
        expected = want.get(what, {"dead": {}, "states": []}.get(what))
        if not within(expected, got[what]) if what == "requests" else expected != got[what]:
            wrong.append(f"{what}: wanted {expected!r}, got {got[what]!r}")
    for n, bounds in enumerate(want.get("pauses", [])):
        if n >= len(got["pauses"]) or not within(bounds, got["pauses"][n]):
            wrong.append(f"pause {n + 1}: wanted {bounds}, got {got['pauses']}")
    for what in ("attempt", "first"):
        if what in want and want[what] != got[what]:
            wrong.append(f"{what}: wanted {want[what]!r}, got {got[what]!r}")
    if want.get("answer", "") not in got["answer"]:
        wrong.append(f"words: wanted {want['answer']!r}, got {got['answer']!r}")
    return wrong


@pytest.fixture(scope="module")
def observed():
    stands = [Stand(range(n, len(CASES), 2)) for n in range(2)]
    seen = {}
    with contextlib.ExitStack() as stack, concurrent.futures.ThreadPoolExecutor() as threads:
        for stand in stands:
            stack.enter_context(stand.relay)
        list(threads.map(Stand.run, stands))
        for stand in stands:
            r = stand.relay
            dead = list(map(json.loads, r.cli("deadletter", "ls", "--json").splitlines()))
            events, metrics = r.events(), r.metrics()
            seen.update({i: observe(stand, dead, events, metrics, i) for i in stand.which})
        yield seen


@pytest.mark.parametrize("i", range(len(CASES)), ids=[c["name"] for c in CASES])
def test_what_an_answer_means(observed, i):
    assert compare(CASES[i]["expect"], observed[i]) == []


def mutations(want):
    """The expectation with one thing changed, for each of them."""
    yield "delivered", {**want, "delivered": want["delivered"] + 1}
    yield "requests", {**want, "requests": 1000}
    yield "dead", {**want, "dead": {**want.get("dead", {}), "other": 1}}
    yield "states", {**want, "states": want.get("states", []) + ["paused other"]}
    for n in range(len(want.get("pauses", []))):
        yield f"pause {n + 1}", {**want, "pauses": want["pauses"][:n] + [[100, 200]] + want["pauses"][n + 1:]}
    for what in {"attempt", "first", "answer"} & set(want):
        yield what, {**want, what: "other"}


@pytest.mark.parametrize("i", range(len(CASES)), ids=[c["name"] for c in CASES])
def test_a_changed_row_fails(observed, i):
    for what, changed in mutations(CASES[i]["expect"]):
        assert compare(changed, observed[i]), f"nobody looks at {what}"


def test_the_documentation_shows_these_rows():
    docs = pathlib.Path(__file__).parent.parent.parent / "docs/operations.md"
    assert policy.table(CASES) in docs.read_text(), "put the output of tests/policy/policy.py there"
