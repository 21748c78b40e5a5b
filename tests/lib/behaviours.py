"""What receivers do to their senders, for receiver.Receiver: each name here is one behaviour, or makes one.

A behaviour is a function of the request (and may keep a state): it returns what Receiver.behave returns. Series are told apart by the label
`id`, which begins with the word that the test gave them: "bad-3".
"""
import datetime
import email.utils
import socket
import struct
import threading
import time

OK = (204, {}, "")


def status(code, text="", **headers):
    """headers: Retry_After="1" and the like."""
    return lambda r: (code, {k.replace("_", "-"): v for k, v in headers.items()}, text)


def in_turn(*behaviours):
    """One after the other; the last one stays."""
    count = [0]

    def behave(r):
        count[0] += 1
        return behaviours[min(count[0], len(behaviours)) - 1](r)
    return behave


def for_seconds(seconds, first, then):
    """`first` until so long after the first request."""
    began = []

    def behave(r):
        began.append(r.at)
        return (first if r.at - began[0] < seconds else then)(r)
    return behave


def date_in(seconds):
    return email.utils.format_datetime(datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds), usegmt=True)


# ---- versions ----

def modern(r):
    """Takes both versions, and says how much it wrote."""
    return (204, {"X-Prometheus-Remote-Write-Samples-Written": str(sum(len(samples) for _, samples in r.series()))}, "")


def old(code):
    """Does not know 2.0; this is what it answers to it."""
    return lambda r: status(code)(r) if r.version == "2.0.0" else OK


def old_but_stores(code, receiver):
    """Stores a 2.0 body and yet answers so (Prometheus 2.54 to 3.5, told to take 1.0 only)."""
    def behave(r):
        answer = receiver(r)
        r.kept = r.version == "2.0.0"
        return status(code)(r) if r.kept else answer
    return behave


# ---- transport ----

def close(r):
    """The connection ends without an answer."""
    return "close"


def slow(seconds):
    def behave(r):
        time.sleep(seconds)
        return OK
    return behave


def lost(r):
    """Stores what it gets, but the answer never arrives."""
    r.kept = True
    return "close"


def raw(code, *parts, end="keep"):
    """Writes these bytes, a number being a pause in seconds, and then keeps, closes or resets the connection."""
    def write(handler):
        for part in parts:
            if isinstance(part, bytes):
                handler.wfile.write(part)
            else:
                time.sleep(part)
        if end == "reset":
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            handler.connection.close()
        handler.close_connection = end != "keep"
    return lambda r: (code, write)


silent = raw(0, 2, end="close")  # no answer at all; the sender must give up
reset = raw(0, end="reset")
reset_after_headers = raw(0, b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", end="reset")
endless_answer = raw(0, b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello", 2, end="close")
garbage = raw(0, b"\x00\xff not HTTP at all\r\n\r\n", end="close")
chunked = raw(200, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nyes\r\n0\r\n\r\n", end="close")
with_body = raw(204, b"HTTP/1.1 204 No Content\r\nContent-Length: 3\r\nConnection: close\r\n\r\nyes", end="close")
continues = raw(204, b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n", end="close")
only_interim = raw(0, b"HTTP/1.1 102 Processing\r\n\r\n", end="close")
switches = raw(0, b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n", end="close")
hangs_up = raw(204, b"HTTP/1.1 204 No Content\r\n\r\n", 0.05, end="close")  # keep-alive is promised, and not kept


# ---- data ----

def ids(r):
    return [dict(labels).get("id", "").split("-")[0] for labels, samples in r.series() for _ in samples]


def refuses(code, text="sample is not welcome", word="bad", stores_rest=False, **headers):
    """Refuses a request that holds a series of this word, as a whole or (stores_rest) all but those."""
    def behave(r):
        if word not in ids(r):
            return OK
        r.kept = "good" if stores_rest else False
        return status(code, text, **headers)(r)
    return behave


def at_most_bytes(most):
    return lambda r: OK if len(r.body) <= most else (413, {}, "body too large")


def at_most_samples(most):
    return lambda r: OK if len(ids(r)) <= most else (413, {}, "too many samples")


def stores_rest_of_2_0(r):
    """Takes 2.0, stores what is good and says how much that was."""
    good = len([word for word in ids(r) if word != "bad"])
    r.kept = "good" if good < len(ids(r)) else False
    return (400 if r.kept else 204, {"X-Prometheus-Remote-Write-Samples-Written": str(good)}, "some samples are not welcome" if r.kept else "")


class Prometheus:
    """What a 1.0 receiver without (window_ms=0) or with an out-of-order window takes; one bad sample refuses the whole request."""

    def __init__(self, window_ms=0, code=400):
        self.window_ms, self.code, self.newest, self.known = window_ms, code, {}, {}
        self.lock = threading.Lock()

    def refusal(self, series, at, value, newest):
        head = max(self.newest.values(), default=at)
        if self.known.get((series, at), value) != value:
            return "duplicate sample for timestamp"
        if at == newest.get(series) or at > newest.get(series, at - 1) and at >= head - max(self.window_ms, 3600000):
            return None
        if at >= head - self.window_ms and self.window_ms:
            return None
        return "out of order sample" if series in newest else "out of bounds"

    def __call__(self, r):
        with self.lock:  # shards send side by side
            return self.write(r)

    def write(self, r):
        newest, new = dict(self.newest), {}
        for labels, samples in r.series():
            for at, value in samples:
                why = self.refusal(labels, at, value, newest)
                if why:
                    return (self.code, {}, why)
                newest[labels] = max(at, newest.get(labels, at))
                new[labels, at] = value
        self.newest = newest
        self.known.update(new)
        return OK


def loses_answer(number, receiver):
    """The connection ends instead of the answer of that number, to something that is stored."""
    return in_turn(*[receiver] * (number - 1), lambda r: (receiver(r), lost(r))[1], receiver)
