"""The answers on the wire, byte for byte where it matters: raw requests against a real relay (Firehose HTTP endpoint specification 1.0, RFC 9112)."""
import contextlib
import gzip
import hashlib
import json
import re
import socket
import subprocess
import time
import uuid

import pytest

from lib import cloudwatch, receiver, relay

MINUTE = 1700000040000


def body():
    return cloudwatch.body([cloudwatch.record(cloudwatch.some_points(2, MINUTE), "otlp10")])


BODY = body()
HEAD = (b"Host: relay\r\nX-Amz-Firehose-Protocol-Version: 1.0\r\nX-Amz-Firehose-Access-Key: test-key\r\n"
        b"X-Amz-Firehose-Source-Arn: arn:aws:firehose:eu-central-1:111122223333:deliverystream/t\r\nContent-Type: application/json\r\n")


def request(extra=b"", content=BODY, line=b"POST / HTTP/1.1", head=HEAD, length=True, request_id=None):
    request_id = request_id or str(uuid.uuid4()).encode()
    size = b"Content-Length: %d\r\n" % len(content) if length else b""
    rid = b"" if request_id == b"-" else b"X-Amz-Firehose-Request-Id: %s\r\n" % request_id
    return line + b"\r\n" + head + rid + extra + size + b"\r\n" + content


@pytest.fixture(scope="module")
def stand():
    sink = receiver.Receiver()
    conf = {"ingest": {"header_timeout": "500ms", "body_stall": "500ms", "idle_timeout": "1s"}}
    with relay.Relay(sink.url, conf) as r:
        yield r


def answers(r, data, n=1, timeout=10, half_close=False):
    """Sends raw bytes; returns up to n (status, headers, body) and whether the relay closed afterwards."""
    out, buffer = [], b""
    with socket.create_connection(("127.0.0.1", r.port), timeout) as s:
        s.sendall(data)
        if half_close:
            s.shutdown(socket.SHUT_WR)
        closed = False
        s.settimeout(timeout)
        while len(out) < n and not closed:
            while b"\r\n\r\n" not in buffer and not closed:
                more = s.recv(65536)
                closed, buffer = not more, buffer + more
            if b"\r\n\r\n" not in buffer:
                break
            head, _, buffer = buffer.partition(b"\r\n\r\n")
            lines = head.decode().split("\r\n")
            headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines[1:])}
            status = int(lines[0].split()[1])
            size = int(headers.get("content-length", 0))
            while len(buffer) < size:
                buffer += s.recv(65536)
            if status != 100:
                out.append((status, headers, buffer[:size]))
            buffer = buffer[size:]
        if not closed and out and out[-1][1].get("connection") == "close":
            closed = s.recv(10) == b""
    return out, closed


def check_form(answer, request_id=None):
    status, headers, content = answer
    assert headers["content-type"] == "application/json" and "transfer-encoding" not in headers and "content-encoding" not in headers
    o = json.loads(content)
    assert set(o) == ({"requestId", "timestamp"} if status == 200 else {"requestId", "timestamp", "errorMessage"})
    assert isinstance(o["timestamp"], int) and abs(o["timestamp"] - time.time() * 1000) < 60000
    if status != 200:
        assert re.fullmatch(r"E_[A-Z]+: [ -~]{1,500}", o["errorMessage"])
    if request_id is not None:
        assert o["requestId"] == request_id
    return o.get("errorMessage", "").split(":")[0]


def test_success_is_exactly_what_firehose_wants(stand):
    [(status, headers, content)], _ = answers(stand, request(request_id=b"id-1"))
    assert status == 200 and sorted(headers) == ["content-length", "content-type"]
    assert re.fullmatch(rb'\{"requestId":"id-1","timestamp":\d{13}\}', content)


CHUNKED = b"".join(b"%x\r\n%s\r\n" % (len(BODY[i:i + 100]), BODY[i:i + 100]) for i in range(0, len(BODY), 100)) + b"0\r\n\r\n"
TE = b"Transfer-Encoding: chunked\r\n"

ACCEPTED = {
    "chunked": request(TE, CHUNKED, length=False), "chunked with trailer": request(TE, CHUNKED[:-2] + b"X-T: 1\r\n\r\n", length=False),
    "chunk extensions": request(TE, CHUNKED.replace(b"\r\n", b";a=b\r\n", 1), length=False),
    "HTTP/1.0": request(line=b"POST / HTTP/1.0"), "query": request(line=b"POST /firehose?x=1 HTTP/1.1"), "expect": request(b"Expect: 100-continue\r\n"),
    "gzip": request(b"Content-Encoding: gzip\r\n", gzip.compress(BODY)), "GZIP": request(b"Content-Encoding: GZIP\r\n", gzip.compress(BODY)),
    "x-gzip": request(b"Content-Encoding: x-gzip\r\n", gzip.compress(BODY)), "identity": request(b"Content-Encoding: identity\r\n"),
    "gzip without header": request(content=gzip.compress(BODY)), "two members": request(b"Content-Encoding: gzip\r\n", gzip.compress(BODY[:50]) + gzip.compress(BODY[50:])),
    "type with parameters": request(head=HEAD.replace(b"application/json", b"application/json; charset=utf-8")), "no type": request(head=HEAD.replace(b"Content-Type: application/json\r\n", b"")),
    "no protocol version": request(head=HEAD.replace(b"X-Amz-Firehose-Protocol-Version: 1.0\r\n", b"")), "header id differs from the body's": request(request_id=b"other"),
    "id only in the body": request(request_id=b"-"), "no ARN": request(head=re.sub(rb"X-Amz-Firehose-Source-Arn[^\n]*\n", b"", HEAD)),
    "70 KB of attributes": request(b'X-Amz-Firehose-Common-Attributes: {"commonAttributes":{"a":"%s"}}\r\n' % (b"x" * 70000)),
    "broken attributes": request(b"X-Amz-Firehose-Common-Attributes: {nonsense\r\n"), "no records": request(content=b'{"requestId":"a","timestamp":1,"records":[]}'),
    "BOM": request(content=b"\xef\xbb\xbf" + BODY), "pretty printed": request(content=json.dumps(json.loads(BODY), indent=4).encode()),
    "reordered": request(content=json.dumps(dict(reversed(json.loads(BODY).items()))).encode()), "empty record": request(content=b'{"requestId":"a","timestamp":1,"records":[{"data":""}]}'),
    "demo data": request(content=cloudwatch.body([b'{"CHANGE":1,"PRICE":2,"TICKER_SYMBOL":"A","SECTOR":"B"}'])),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted(stand, name):
    [answer], _ = answers(stand, ACCEPTED[name])
    assert answer[0] == 200, answer
    check_form(answer)


REFUSED = {
    "both lengths": (request(TE, CHUNKED), 400, "E_HTTP"), "two lengths": (request(b"Content-Length: 3\r\n"), 400, "E_HTTP"),
    "signed length": (request(b"Content-Length: +3\r\n", b"abc", length=False), 400, "E_HTTP"),
    "other coding before chunked": (request(b"Transfer-Encoding: gzip, chunked\r\n", CHUNKED, length=False), 400, "E_HTTP"),
    "blank before colon": (request(b"X-A : 1\r\n"), 400, "E_HTTP"), "folded line": (request(b"X-A: 1\r\n 2\r\n"), 400, "E_HTTP"), "NUL": (request(b"X-A: \0\r\n"), 400, "E_HTTP"),
    "control byte": (request(b"X-A: \x01\r\n"), 400, "E_HTTP"), "bare LF": (request(b"X-A: 1\nX-B: 2\r\n"), 400, "E_HTTP"), "no host": (request(head=HEAD[13:]), 400, "E_HTTP"),
    "two hosts": (request(b"Host: b\r\n"), 400, "E_HTTP"), "two keys": (request(b"X-Amz-Firehose-Access-Key: test-key\r\n"), 400, "E_HTTP"),
    "bad chunk size": (request(TE, b"zz\r\n", length=False), 400, "E_HTTP"), "chunked in HTTP/1.0": (request(TE, CHUNKED, b"POST / HTTP/1.0", length=False), 400, "E_HTTP"),
    "garbage": (b"hello\r\n\r\n", 400, "E_HTTP"), "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "E_HTTP"), "HTTP/3.0": (request(line=b"POST / HTTP/3.0"), 505, "E_HTTP"),
    "long request line": (b"POST /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n", 414, "E_URI"), "header over 128 KiB": (request(b"X-A: " + b"a" * 140_000 + b"\r\n"), 431, "E_HEADERS"),
    "headers over 256 KiB": (request(b"".join(b"X-%d: %s\r\n" % (i, b"a" * 90_000) for i in range(4))), 431, "E_HEADERS"),
    "129 headers": (request(b"".join(b"X-%d: a\r\n" % i for i in range(129))), 431, "E_HEADERS"),
    "PUT": (request(line=b"PUT / HTTP/1.1"), 405, "E_METHOD"), "path": (request(line=b"POST /x HTTP/1.1"), 404, "E_PATH"), "expect other": (request(b"Expect: x\r\n"), 417, "E_EXPECT"),
    "no length": (request(length=False, content=b""), 411, "E_LENGTH"), "empty": (request(content=b""), 400, "E_BODY"), "empty chunked": (request(TE, b"0\r\n\r\n", length=False), 400, "E_BODY"),
    "key missing": (request(head=HEAD.replace(b"X-Amz-Firehose-Access-Key: test-key\r\n", b"")), 401, "E_AUTH"), "key wrong": (request(head=HEAD.replace(b"test-key", b"test-kez")), 401, "E_AUTH"),
    "key with more": (request(head=HEAD.replace(b"test-key", b"test-keyy")), 401, "E_AUTH"),
    "protocol 2.0": (request(head=HEAD.replace(b"Version: 1.0", b"Version: 2.0")), 400, "E_VERSION"), "long id": (request(request_id=b"a" * 257), 400, "E_REQID"),
    "no id at all": (request(request_id=b"-", content=b'{"records":[]}'), 400, "E_REQID"), "text": (request(head=HEAD.replace(b"application/json", b"text/plain")), 415, "E_TYPE"),
    "brotli": (request(b"Content-Encoding: br\r\n"), 415, "E_ENCODING"), "gzip twice": (request(b"Content-Encoding: gzip, gzip\r\n"), 415, "E_ENCODING"),
    "plain called gzip": (request(b"Content-Encoding: gzip\r\n"), 400, "E_GZIP"), "cut gzip": (request(b"Content-Encoding: gzip\r\n", gzip.compress(BODY)[:-4]), 400, "E_GZIP"),
    "gzip of nothing": (request(b"Content-Encoding: gzip\r\n", gzip.compress(b"")), 400, "E_BODY"), "cut JSON": (request(content=BODY[:-2]), 400, "E_JSON"),
    "trailing data": (request(content=BODY + b"x"), 400, "E_JSON"), "array": (request(content=b"[1]"), 400, "E_JSON"), "no records key": (request(content=b'{"requestId":"a"}'), 400, "E_RECORDS"),
    "records no array": (request(content=b'{"requestId":"a","records":1}'), 400, "E_RECORDS"), "10,000 deep": (request(content=b'{"requestId":"a","x":' + b"[" * 10000), 400, "E_JSON"),
    "97 MiB announced": (request(b"Content-Length: %d\r\n" % (97 << 20), b"", length=False), 400, "E_SIZE"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(stand, name):
    data, status, code = REFUSED[name]
    [answer], _ = answers(stand, data, half_close=name == "97 MiB announced")
    assert (answer[0], check_form(answer)) == (status, code), answer


def test_pipelined_requests_are_answered_in_order(stand):
    got, _ = answers(stand, b"".join(request(request_id=b"p%d" % i) for i in range(5)), n=5)
    assert [json.loads(c)["requestId"] for _, _, c in got] == [f"p{i}" for i in range(5)] and {s for s, _, _ in got} == {200}


def test_what_follows_a_request_without_a_body_is_the_next_request(stand):
    for first, status in ((b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", 200), (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 405)):
        got, _ = answers(stand, first + request(request_id=b"second"), n=2)
        assert [s for s, _, _ in got] == [status, 200] and json.loads(got[1][2])["requestId"] == "second"


def test_what_follows_a_long_chunked_body_is_answered_or_the_connection_ends(stand):
    long = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY) + 90_000, BODY + b" " * 90_000)
    got, closed = answers(stand, request(TE, long, length=False) + request(request_id=b"next"), n=2)
    assert {s for s, _, _ in got} == {200} and (len(got) == 2 or closed)


def test_bytes_behind_a_body_spoil_only_what_follows(stand):
    got, closed = answers(stand, request(request_id=b"good") + b"garbage\r\n\r\n", n=2)
    assert [s for s, _, _ in got] == [200, 400] and closed


def test_100_continue_comes_before_the_body(stand):
    with socket.create_connection(("127.0.0.1", stand.port), 10) as s:
        s.sendall(request(b"Expect: 100-continue\r\n", b"", length=False)[:-2] + b"Content-Length: %d\r\n\r\n" % len(BODY))
        assert s.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        s.sendall(BODY)
        assert s.recv(1000).startswith(b"HTTP/1.1 200 ")
    with socket.create_connection(("127.0.0.1", stand.port), 10) as s:
        s.sendall(request(b"Expect: 100-continue\r\n", b"", head=HEAD.replace(b"test-key", b"wrong"), length=False)[:-2] + b"Content-Length: 9\r\n\r\n")
        assert s.recv(1000).startswith(b"HTTP/1.1 401 ")


def test_time_limits_have_answers(stand):
    for data in (b"POST / HTTP/1.1\r\nHost:", request(content=BODY)[:-1], request(TE, CHUNKED[:-5], length=False)):
        [answer], closed = answers(stand, data)
        assert (answer[0], check_form(answer), closed) == (408, "E_TIMEOUT", True)
    got, closed = answers(stand, b"")
    assert got == [] and closed


def test_large_heads_share_a_bounded_memory_and_small_ones_need_none_of_it():
    conf = {"runtime": {"memory": "32MiB"}, "ingest": {"max_body": "16MiB"}}
    large = b"X-A: %s\r\n" % (b"a" * 100_000)
    with relay.Relay("http://127.0.0.1:9/", conf) as r, contextlib.ExitStack() as open_ones:
        limit = r.metric("standpipe_ingest_heads_limit_bytes")
        assert limit == 2 << 20
        for _ in range(40):  # 4 MB of heads that do not end
            s = open_ones.enter_context(socket.create_connection(("127.0.0.1", r.port), 10))
            s.sendall(b"POST / HTTP/1.1\r\n" + large)
        relay.wait_for(lambda: r.metric("standpipe_ingest_requests_total", code="503") >= 1)
        assert limit / 2 < r.metric("standpipe_ingest_heads_bytes") <= limit
        assert s.recv(1000).startswith(b"HTTP/1.1 503 ")
        [answer], closed = answers(r, request(large))
        assert (answer[0], check_form(answer), closed) == (503, "E_BUSY", True)
        assert r.post(BODY).status == 200
        open_ones.close()
        relay.wait_for(lambda: r.metric("standpipe_ingest_heads_bytes") == 0)
        got, _ = answers(r, request(large) * 2, n=2)
        assert [s for s, _, _ in got] == [200, 200]


def test_an_old_connection_ends_after_whatever_answer_and_when_idle():
    with relay.Relay("http://127.0.0.1:9/", {"ingest": {"max_connection_age": "1s"}}) as r:
        refused = request(head=HEAD.replace(b"test-key", b"wrong"), content=b"", line=b"PUT / HTTP/1.1")
        for data, status in ((b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", b"200"), (refused, b"405"), (request(request_id=b"same"), b"200")):
            with socket.create_connection(("127.0.0.1", r.port), 10) as s:
                start, answer = time.monotonic(), b""
                while b"Connection: close" not in answer:
                    assert time.monotonic() - start < 5, answer
                    s.sendall(data)
                    answer = s.recv(1000)
                    assert answer.startswith(b"HTTP/1.1 " + status)
                    time.sleep(0.05)
                assert time.monotonic() - start > 0.7 and s.recv(10) == b""
        with socket.create_connection(("127.0.0.1", r.port), 5) as s:
            s.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
            assert s.recv(1000).startswith(b"HTTP/1.1 200 ")
            assert s.recv(10) == b""  # long before idle_timeout


def test_a_refused_sender_is_heard_out_for_one_max_body_at_most():
    with relay.Relay("http://127.0.0.1:9/", {"ingest": {"max_body": "64KiB"}}) as r, socket.create_connection(("127.0.0.1", r.port), 10) as s:
        s.sendall(request(b"Content-Length: 60000\r\n", b"", length=False, head=HEAD.replace(b"test-key", b"wrong")))
        assert s.recv(1000).startswith(b"HTTP/1.1 401 ")
        s.sendall(bytes(60_000))
        time.sleep(0.5)
        assert r.metric("standpipe_ingest_connections") == 1
        s.sendall(bytes(40_000))
        relay.wait_for(lambda: r.metric("standpipe_ingest_connections") == 0, timeout=3)


def test_health_needs_no_firehose_headers(stand):
    for path in (b"/healthz", b"/readyz", b"/-/healthy", b"/-/ready"):
        for method in (b"GET", b"HEAD"):
            with socket.create_connection(("127.0.0.1", stand.port), 10) as s:
                s.sendall(method + b" " + path + b" HTTP/1.1\r\nHost: a\r\n\r\n")
                assert s.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_repeated_delivery_is_answered_and_not_stored_again(stand):
    data = request(request_id=b"twice-" + str(uuid.uuid4()).encode())
    answers(stand, data)
    accepted = stand.metric("standpipe_samples_accepted_total")
    [answer], _ = answers(stand, data)
    assert answer[0] == 200 and stand.metric("standpipe_samples_accepted_total") == accepted
    assert stand.events("delivery")[-1]["outcome"] == "duplicate"


def test_two_keys_are_valid_while_one_replaces_the_other_and_files_are_read_again():
    where = relay.folder("keys")
    (where / "old").write_text("old-key-1\n")
    (where / "new").write_text("new-key-1\n")
    conf = {"keys": {"old": {"file": str(where / "old")}, "new": {"file": str(where / "new")}}}
    with relay.Relay("http://127.0.0.1:9/", conf) as r:
        assert [r.post(BODY, key=k).status for k in ("old-key-1", "new-key-1", "old-key-2")] == [200, 200, 401]
        (where / "old").write_text("old-key-2\n")
        relay.wait_for(lambda: r.post(BODY, key="old-key-2").status == 200)
        assert r.post(BODY, key="old-key-1").status == 401
        deliveries = r.events("delivery")
        assert {d["key"] for d in deliveries} == {"old", "new"}
        assert not any(secret in r.log() + r.get("/metrics")[1] for secret in ("old-key", "new-key"))


def test_a_changed_certificate_is_served_without_a_restart():
    import ssl
    where = relay.folder("tls")
    cert, key = relay.certificate(where)
    with relay.Relay("http://127.0.0.1:9/", tls=(cert, key)) as r:
        assert r.post(BODY).status == 200
        before = ssl.get_server_certificate(("127.0.0.1", r.port))
        relay.certificate(where)
        relay.wait_for(lambda: ssl.get_server_certificate(("127.0.0.1", r.port)) != before)
        assert r.post(BODY).status == 200
        with socket.create_connection(("127.0.0.1", r.port), 10) as s:
            s.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")  # plain HTTP on the TLS port
            try:
                assert not s.recv(1000).startswith(b"HTTP/1.1 200")
            except ConnectionResetError:
                pass
        relay.wait_for(lambda: r.metric("standpipe_ingest_tls_failures_total") >= 1)


ARN = "arn:aws:firehose:eu-central-1:111122223333:deliverystream/"
LONGEST_KEY = '{"k": "' + "a b=" * 1022  # 4095 bytes, JSON and blanks inside


def sha256(secret):
    return "sha256:" + hashlib.sha256(secret.encode()).hexdigest()


@pytest.fixture(scope="module")
def keyed():
    keys = {"listed": {"value": "listed-key", "source_arns": [ARN + "metrics-*"]}, "hashed": {"hash": [sha256("hashed-old"), sha256("hashed-new")]},
            "often": {"value": "often-key", "rate": 1}, "much": {"value": "much-key", "bytes_per_second": f"{len(BODY) // 20}B"}, "longest": {"value": LONGEST_KEY + "c"}}
    with relay.Relay("http://127.0.0.1:9/", {"keys": keys}) as r:
        yield r


def head_only(key, arn):
    """A request whose body never comes: whoever waits for it does not answer."""
    return request(b"Content-Length: 9\r\n", b"", length=False, head=HEAD.replace(b"test-key", key).replace(ARN.encode() + b"t", arn))


def test_a_stream_that_is_not_allowed_gets_403_before_its_body(keyed):
    assert keyed.post(BODY, key="listed-key", arn=ARN + "metrics-1").status == 200
    for arn in (ARN + "other", ARN.replace("1111", "9999") + "metrics-1", "", "metrics-1"):
        [answer], closed = answers(keyed, head_only(b"listed-key", arn.encode()))
        assert (answer[0], check_form(answer), closed) == (403, "E_ARN", True)
    [answer], _ = answers(keyed, request(head=re.sub(rb"X-Amz-Firehose-Source-Arn[^\n]*\n", b"", HEAD.replace(b"test-key", b"listed-key"))))
    assert (answer[0], check_form(answer)) == (403, "E_ARN")  # without an ARN nobody knows


def test_both_hashes_of_a_key_are_good_and_a_hash_is_no_key(keyed):
    assert [keyed.post(BODY, key=k).status for k in ("hashed-old", "hashed-new", sha256("hashed-new"), "hashed")] == [200, 200, 401, 401]
    assert keyed.events("delivery")[-1]["key"] == "hashed"


def test_a_key_of_4096_bytes_is_good_and_a_longer_one_is_not(keyed):
    assert [keyed.post(BODY, key=LONGEST_KEY + end).status for end in ("c", "cd", "d", "")] == [200, 401, 401, 401]


@pytest.mark.parametrize("key, limit, code, least", [("often", "rate", "E_RATE", 60), ("much", "bytes_per_second", "E_QUOTA", 3)])
def test_a_key_over_its_quota_gets_429_before_the_body_until_there_is_room_again(keyed, key, limit, code, least):
    connection, taken = keyed.connect(), 0
    while keyed.post(BODY, key=f"{key}-key", request_id="same", connection=connection).status == 200:
        taken += 1
        assert taken < 1000
    assert taken >= least
    for _ in range(5):
        [answer], _ = answers(keyed, head_only(f"{key}-key".encode(), b"x"))
        if answer[0] == 429:
            break
        relay.wait_for(lambda: keyed.post(BODY, key=f"{key}-key", request_id="same").status == 429)
    assert (answer[0], check_form(answer)) == (429, code)
    assert keyed.metric("standpipe_ingest_key_limited_total", key=key, limit=limit) >= 2
    assert [e["limit"] for e in keyed.events("key.over_limit") if e["key"] == key] == [limit]
    relay.wait_for(lambda: keyed.post(BODY, key=f"{key}-key", request_id="same").status == 200)
    assert keyed.post(BODY, key="hashed-new").status == 200  # others have their own


def test_send_uses_the_newest_key_of_a_file(keyed):
    path = relay.folder("send") / "key"
    path.write_text("hashed-gone\nhashed-new\n")
    (path.parent / "body.json").write_bytes(BODY)
    done = subprocess.run([relay.BIN / "standpipe", "send", f"http://127.0.0.1:{keyed.port}/", "--insecure", "--key-file", path, path.parent / "body.json"],
                          capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr


def test_refusals_are_logged_once_a_minute_for_each_stream(keyed):
    for _ in range(3):
        for stream in ("one", "two"):
            assert keyed.post(BODY, key="no-such-key", arn=ARN + stream).status == 401
    assert keyed.post(BODY, key="listed-key", arn=ARN + "one").status == 403
    lines = [(e["source_arn"].rsplit("/", 1)[1], e["error"]) for e in keyed.events("request.refused") if e.get("source_arn", "").endswith(("/one", "/two"))]
    assert sorted(lines) == [("one", "E_ARN"), ("one", "E_AUTH"), ("two", "E_AUTH")]
    assert "no-such-key" not in keyed.log()
