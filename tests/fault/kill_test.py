"""SIGKILL anywhere, any time: what was answered 200 arrives, and nothing is spooled twice."""
import os
import queue
import random
import signal
import threading
import time
import uuid

from lib import cloudwatch, mapping, receiver, relay

STREAMS, POINTS, PER_SECOND = 4, 200, 4000  # a tenth of the points is left out, and restarts take their time


class Load:
    """A client that behaves as Firehose does: each stream posts its minutes one after the other, the same bytes and id until 200."""

    def __init__(self, r):
        self.relay, self.stopped, self.failed = r, threading.Event(), queue.Queue()
        self.acknowledged = []  # points of each delivery that got 200
        self.retries = 0
        self.threads = [threading.Thread(target=self.stream, args=(i,), daemon=True) for i in range(STREAMS)]
        for t in self.threads:
            t.start()

    def stream(self, number):
        minute, start = 0, time.monotonic()
        arn = f"arn:aws:firehose:eu-central-1:111122223333:deliverystream/s{number}"
        try:
            while not self.stopped.is_set():
                points = cloudwatch.some_points(POINTS, 1700000040000 + minute * 60000, seed=number)
                points = [p for p in points if p["dims"]]  # the others are one series, and the streams' values would differ
                for i, p in enumerate(points):
                    p["sum"] = float(minute * 1000 + i)
                body, request_id = cloudwatch.body([cloudwatch.record(points, "otlp10")]), str(uuid.uuid4())
                self.until_200(body, request_id, arn)
                self.acknowledged.append(points)
                minute += 1
                pause = start + minute * POINTS * STREAMS / PER_SECOND - time.monotonic()
                if pause > 0:
                    time.sleep(pause)
        except Exception as e:  # shown by stop()
            self.failed.put(e)

    def until_200(self, body, request_id, arn):
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                if self.relay.post(body, request_id=request_id, arn=arn).status == 200:
                    return
            except OSError:
                pass
            except Exception as e:
                if type(e).__module__ != "http.client":
                    raise
            self.retries += 1
            time.sleep(0.05)
        raise AssertionError("no 200 within 60 s")

    def stop(self):
        self.stopped.set()
        for t in self.threads:
            t.join(90)
        assert self.failed.empty(), self.failed.get()


def settle_and_check(r, sink, load):
    load.stop()
    r.wait_ready()
    r.drained(120)
    want = mapping.expected([p for points in load.acknowledged for p in points])
    got = sink.samples()
    lost = [(s, t) for s, samples in want.items() for t in samples if t not in dict(got.get(s, []))]
    assert not lost, f"{len(lost)} samples lost, e.g. {lost[:3]}"
    for series, samples in got.items():
        assert all(want[series][t] == v for t, v in samples), series
    accepted, accounted = r.books()
    assert accepted == accounted
    # Every delivery got its 200 in the end, so anything more than their samples was spooled twice.
    assert accepted == sum(map(len, want.values())), "spooled twice, or not at all"


def kill(pid):
    os.kill(pid, signal.SIGKILL)


def test_kills_at_random_moments_lose_nothing():
    """24 kills: ingest, a worker, ship, everything at once."""
    rng = random.Random(int(os.environ.get("STANDPIPE_SEED", "1")))
    sink = receiver.Receiver()
    r = relay.Relay(sink.url, {"destinations": {"main": {"backoff": {"min": "10ms"}}}})
    with r:
        load, began = Load(r), time.monotonic()
        for target in ["ingest", "convert", "ship", "all"] * 6:
            time.sleep(rng.uniform(0.3, 1.0))
            if target == "all":
                r.kill_all()
                r.start(ready=False)
            else:
                relay.wait_for(lambda: r.pids(target))
                kill(rng.choice(r.pids(target)))
            r.wait_ready()
        time.sleep(0.5)
        seconds = time.monotonic() - began
        settle_and_check(r, sink, load)
    points = sum(map(len, load.acknowledged))
    print(f"24 kills, {len(load.acknowledged)} deliveries, {points / seconds:.0f} points/s, {load.retries} retries")



def crash_run(role, point, kills):
    """Lets one role die again and again at a named place, then runs without that; returns how many times it died there."""
    sink = receiver.Receiver()
    env = {"STANDPIPE_CRASH_ROLE": role, "STANDPIPE_CRASH_AT": f"{point}:25"}
    with relay.Relay(sink.url, {"destinations": {"main": {"backoff": {"min": "10ms"}}}}, env=env) as r:
        load = Load(r)
        deaths = lambda: len([e for e in r.events("role.exited") if e["name"] == role and e["signal"] == signal.SIGKILL])
        relay.wait_for(lambda: deaths() >= kills, 90, every=0.2)
        died = deaths()
        r.kill_all()
        del r.env["STANDPIPE_CRASH_AT"]
        r.start()
        settle_and_check(r, sink, load)
        return died


def test_kills_between_commit_and_200_lose_nothing():
    """The window that matters most, entered on purpose: committed, but the 200 is not out yet."""
    fell = {p: crash_run(role, p, 3) for role, p in (("ship", "ship.after_commit_before_ack"), ("ingest", "ingest.after_done_before_200"))}
    print(f"kills that fell between commit and 200: {fell}")
    assert sum(fell.values()) >= 6 and all(fell.values())
