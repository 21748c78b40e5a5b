"""What strangers may send: each gets its answer, none costs memory beyond the budget, none disturbs the good ones."""
import gzip
import http.client
import json
import socket
import subprocess
import threading

import pytest

from lib import cloudwatch, mapping, receiver, relay

MIB = 1 << 20
MINUTE = 1700000040000


@pytest.fixture(scope="module")
def stand():
    """A release build: its memory is what a user sees."""
    sink = receiver.Receiver()
    conf = {"ingest": {"header_timeout": "1s", "body_stall": "1s", "idle_timeout": "2s"}, "runtime": {"memory": "256MiB"}}
    with relay.Relay(sink.url, conf, bin=relay.RELEASE_BIN) as r:
        yield r, sink


def is_refusal(answer, status, code):
    assert answer.status == status, answer.body
    assert set(answer.json) == {"requestId", "timestamp", "errorMessage"} and isinstance(answer.json["timestamp"], int)
    assert answer.error().startswith(code + ": "), answer.error()
    assert answer.headers["Content-Type"] == "application/json" and int(answer.headers["Content-Length"]) == len(answer.body)
    assert "Content-Encoding" not in answer.headers and "Transfer-Encoding" not in answer.headers


GOOD = cloudwatch.body([cloudwatch.record(cloudwatch.some_points(3, MINUTE), "otlp10")])


@pytest.mark.parametrize("post, status, code", [
    (dict(key="wrong"), 401, "E_AUTH"), (dict(key=None), 401, "E_AUTH"), (dict(key="x" * 5000), 401, "E_AUTH"),
    (dict(body=b"no json"), 400, "E_JSON"), (dict(body=GOOD[:-20]), 400, "E_JSON"), (dict(body=b"{}"), 400, "E_RECORDS"),
    (dict(body=b"[]"), 400, "E_JSON"), (dict(body=b""), 400, "E_BODY"), (dict(body=b"plain", gzip=True), 400, "E_GZIP"),
    (dict(body=gzip.compress(GOOD)[:-9], gzip=True), 400, "E_GZIP"), (dict(path="/nowhere"), 404, "E_PATH"),
    (dict(headers={"Content-Type": "text/plain"}), 415, "E_TYPE"), (dict(headers={"Content-Encoding": "br"}), 415, "E_ENCODING"),
    (dict(headers={"X-Amz-Firehose-Protocol-Version": "2.0"}), 400, "E_VERSION")])
def test_each_refusal_has_firehoses_form(stand, post, status, code):
    r, _ = stand
    is_refusal(r.post(**{"body": GOOD, **post}), status, code)


def test_a_gzip_bomb_is_cut_off(stand):
    r, _ = stand
    bomb = gzip.compress(b'{"requestId":"x","timestamp":1,"records":[' + b" " * (200 * MIB) + b"]}")
    is_refusal(r.post(bomb, gzip=True), 400, "E_SIZE")


def big_body(size):
    """A legal delivery of about `size` bytes: unknown keys are ignored."""
    points = cloudwatch.some_points(5, MINUTE, seed=size)
    body = json.loads(cloudwatch.body([cloudwatch.record(points, "json")]))
    body["padding"] = "x" * (size - len(GOOD))
    return points, json.dumps(body).encode()


def test_65_mib_pass_and_97_mib_do_not(stand):
    r, sink = stand
    points, body = big_body(65 * MIB)
    assert r.post(body).status == 200
    r.drained()
    got = sink.samples()
    assert all(got[s] for s in mapping.expected(points))
    _, body = big_body(97 * MIB)
    is_refusal(r.post(body), 400, "E_SIZE")
    is_refusal(r.post(iter([body[:MIB]] * 97), headers={"Transfer-Encoding": "chunked"}), 400, "E_SIZE")
    is_refusal(r.post(gzip.compress(body), gzip=True), 400, "E_SIZE")


@pytest.mark.parametrize("fmt", ["otlp07", "otlp10", "json"])
def test_the_largest_delivery_that_firehose_makes_is_taken(stand, fmt):
    r, _ = stand
    before = r.metric("standpipe_convert_points_total")
    out = subprocess.run([r.bin / "standpipe", "send", f"http://127.0.0.1:{r.port}/", "--insecure", "--key", relay.KEY, "--size", "64MiB", "--format", fmt, "--json",
                          "--retry-for", "0s", "--start", "1600000020000"], capture_output=True, text=True)
    assert out.returncode == 0, out.stdout + out.stderr
    assert r.metric("standpipe_convert_points_total") - before == json.loads(out.stdout)["points"] > 120_000


def test_slow_clients_are_dropped_while_good_ones_are_served(stand):
    r, _ = stand
    slow = []
    for text in (b"", b"POST / HTTP/1.1\r\nHost: a\r\nX-", b"POST / HTTP/1.1\r\nHost: a\r\nX-Amz-Firehose-Access-Key: test-key\r\n"
                 b"X-Amz-Firehose-Request-Id: a\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"):
        for _ in range(20):
            s = socket.create_connection(("127.0.0.1", r.port), 10)
            s.sendall(text)
            slow.append((text, s))
    assert r.post(GOOD).status == 200
    for text, s in slow:
        answer = b"".join(iter(lambda: s.recv(65536), b""))
        assert not text or answer.startswith(b"HTTP/1.1 408 ") and b"E_TIMEOUT" in answer, (text, answer)
        s.close()


def test_memory_stays_within_the_budget_under_all_of_it(stand):
    r, _ = stand
    peak, stop = [0], threading.Event()

    def watch():
        while not stop.wait(0.05):
            peak[0] = max(peak[0], r.pss())

    def storm():
        _, body = big_body(40 * MIB)
        for _ in range(3):
            try:
                r.post(body)
            except (OSError, http.client.HTTPException):
                pass

    watcher = threading.Thread(target=watch)
    watcher.start()
    storms = [threading.Thread(target=storm) for _ in range(6)]
    for t in storms:
        t.start()
    for t in storms:
        t.join()
    stop.set()
    watcher.join()
    print(f"peak PSS of the tree: {peak[0] / MIB:.0f} MiB")
    assert peak[0] < (256 + 64) * MIB
    assert r.post(GOOD).status == 200
