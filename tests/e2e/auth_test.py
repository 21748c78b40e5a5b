"""Whom requests are from: AWS access keys from every source, renewed in time, and what a 403 leads to."""
import contextlib
import signal
import threading
import time

import pytest

from lib import aws, cloudwatch, receiver, relay

QUICK = {"backoff": {"min": "20ms", "unreachable_max": "100ms", "max": "200ms"}, "probe": {"min": "200ms", "max": "300ms"}}


class Amp(receiver.Receiver):
    """Takes what is signed with keys that `aws` handed out; its clock is `ahead` seconds before ours."""

    def __init__(self, keys):
        self.keys, self.ahead, self.signers = keys, 0, []
        super().__init__(behave=self.judge)
        date = lambda *_: time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + self.ahead))
        self.server.RequestHandlerClass.date_time_string = date

    def judge(self, r):
        headers = {k.lower(): v for k, v in r.headers.items()}
        signer, words = aws.check("POST", "/workspaces/ws-1/api/v1/remote_write", headers, r.body, self.keys.secrets, "aps", lambda: time.time() + self.ahead)
        self.signers.append(signer)
        return (200, {}, "") if signer else (403, {}, '{"message":"%s; you sent %s"}' % (words, headers.get("x-amz-security-token")))

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/workspaces/ws-1/api/v1/remote_write"


@contextlib.contextmanager
def amp(lives=3600):
    keys = aws.Aws(lives)
    sink = Amp(keys)
    yield keys, sink
    sink.stop()
    keys.stop()


def settings(more=None):
    return {"destinations": {"main": {**QUICK, "shards": 1, "sigv4": {"region": "eu-west-1", **(more or {})}}}}


def deliver(r, minute, count=5):
    points = cloudwatch.some_points(count, 1700000040000 + minute * 60000)
    assert r.post(cloudwatch.body([cloudwatch.record(points, "otlp10")])).status == 200


def hidden(r, keys):
    """No secret is in the log, in /metrics or in what ps shows; what leads to secrets is in the environment of ship alone."""
    shown = r.log() + r.get("/metrics")[1] + r.get("/status")[1]
    shown += "".join(open(f"/proc/{p}/cmdline").read() for p in r.pids("ship"))
    environments = {role: b"".join(open(f"/proc/{p}/environ", "rb").read() for p in r.pids(role)) for role in ("ship", "convert", "ingest")}
    assert [role for role, e in environments.items() if b"AWS_" in e] == ["ship"]
    for n in range(1, keys.n + 1):
        assert f"token/{n}/" not in shown and f"secret/{n}+" not in shown


def test_keys_are_renewed_before_they_expire_and_nothing_is_refused():
    with amp(lives=8) as (keys, sink):
        env = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": keys.url + "/v1/credentials", "HOME": "/nonexistent"}
        with relay.Relay(sink.url, settings(), env=env) as r:
            minute = 0
            while keys.n < 3 or len(set(sink.signers)) < 3:
                deliver(r, minute)
                r.drained()
                minute += 1
                time.sleep(0.1)
            assert set(sink.signers) == {"ASIA1", "ASIA2", "ASIA3"}
            assert r.metric("standpipe_destination_credentials_expire_timestamp_seconds") > time.time() - 10
            hidden(r, keys)


def test_a_403_renews_the_keys_once_and_then_parks():
    with amp() as (keys, sink):
        env = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": keys.url + "/v1/credentials", "HOME": "/nonexistent"}
        with relay.Relay(sink.url, settings(), env=env) as r:
            deliver(r, 0)
            r.drained()
            keys.secrets.clear()  # expired, says the receiver, after it was away
            away = [(503, {}, "")]
            sink.behave = lambda q: away.pop() if away else sink.judge(q)
            deliver(r, 1)
            r.drained()
            assert sink.signers == ["ASIA1", None, "ASIA2"] and not r.events("destination.paused") + r.events("destination.clock_skew")

            grant, keys.grant = keys.grant, lambda: {**grant(), "SecretAccessKey": "wrong"}
            keys.secrets.clear()
            deliver(r, 2)
            relay.wait_for(lambda: r.events("destination.paused"))
            [paused] = r.events("destination.paused")
            assert paused["reason"] == "forbidden" and paused["http_status"] == 403 and "signature we calculated" in paused["answer"]
            assert sink.signers[3:5] == [None, None] and keys.n == 3
            hidden(r, keys)
            keys.grant = grant
            r.process.send_signal(signal.SIGHUP)  # an operator put it right: HUP
            sink.keys.secrets["ASIA3"] = "wrong"
            r.drained()
            accepted, rest = r.books()
            assert accepted == rest == r.metric("standpipe_samples_delivered_total")


def test_requests_that_are_out_with_expired_keys_renew_them_once_together():
    with amp() as (keys, sink):
        env = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": keys.url + "/v1/credentials", "HOME": "/nonexistent"}
        hour = {"destinations": {"main": {"shards": 4, "probe": {"min": "1h", "max": "1h"}}}}
        with relay.Relay(sink.url, relay.merge(settings(), hour), env=env) as r:
            for minute in range(4):  # after the first the number of requests out grows
                deliver(r, minute, 100)
                r.drained()
            together, before = threading.Barrier(4, timeout=30), len(sink.signers)

            def judge(q):
                if not together.broken and len(sink.signers) == before:
                    together.wait()
                    together.abort()
                return sink.judge(q)

            keys.secrets.clear()
            sink.behave = judge
            deliver(r, 5, 100)
            r.drained()
            assert sink.signers[before:] == [None] * 4 + ["ASIA2"] * 4 and keys.n == 2
            assert not r.events("destination.paused")


def test_a_wrong_clock_is_corrected_by_what_the_receiver_says():
    with amp() as (keys, sink):
        sink.ahead = 3600
        env = {"AWS_ACCESS_KEY_ID": "AKIDLONG", "AWS_SECRET_ACCESS_KEY": "long/secret"}
        with relay.Relay(sink.url, settings(), env=env) as r:
            for minute in range(2):
                deliver(r, minute)
                r.drained()
            assert sink.signers == [None, "AKIDLONG", "AKIDLONG"]
            [skew] = r.events("destination.clock_skew")
            assert abs(skew["seconds"] - 3600) < 30 and not r.events("destination.paused")


def test_a_wrong_clock_is_corrected_by_what_sts_says_too():
    with amp() as (keys, sink):
        sink.ahead = keys.ahead = 3600
        env = {"AWS_ACCESS_KEY_ID": "AKIDLONG", "AWS_SECRET_ACCESS_KEY": "long/secret", "AWS_ENDPOINT_URL_STS": keys.url}
        with relay.Relay(sink.url, settings({"role_arn": "arn:aws:iam::111122223333:role/relay"}), env=env) as r:
            deliver(r, 0)
            r.drained()
            assert [form["signed_by"] for _, form in keys.asked] == [None, "AKIDLONG"] and sink.signers == ["ASIA1"]


def test_a_reload_asks_for_keys_at_once():
    with amp() as (keys, sink):
        keys.refuse = lambda what: (500, "{}")
        env = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": keys.url + "/v1/credentials", "HOME": "/nonexistent"}
        slow = {"destinations": {"main": {"backoff": {"min": "10m", "unreachable_max": "10m", "max": "10m"}}}}
        with relay.Relay(sink.url, relay.merge(settings(), slow), env=env) as r:
            deliver(r, 0)
            relay.wait_for(lambda: r.events("destination.paused"))
            keys.refuse = None
            r.process.send_signal(signal.SIGHUP)
            r.drained()


def test_without_keys_the_data_waits_and_it_says_what_is_missing(tmp_path):
    with amp() as (keys, sink):
        file = tmp_path / "credentials"
        slow = {"destinations": {"main": {"backoff": {"min": "1m", "unreachable_max": "1m", "max": "1m"}}}}
        with relay.Relay(sink.url, relay.merge(settings({"credentials_file": str(file), "profile": "prod"}), slow)) as r:
            deliver(r, 0)
            relay.wait_for(lambda: r.events("destination.paused"))
            [paused] = r.events("destination.paused")
            assert paused["reason"] == "no_credentials" and str(file) in paused["answer"]
            assert r.status()["destinations"][0]["reason"] == "no_credentials"
            file.write_text("[prod]\naws_access_key_id = AKIDLONG\naws_secret_access_key = long/secret\n")
            r.process.send_signal(signal.SIGHUP)
            r.drained(10)
            keys.secrets["AKIDNEXT"] = "next"
            file.write_text("[prod]\naws_access_key_id = AKIDNEXT\naws_secret_access_key = next\n")
            relay.wait_for(lambda: len(r.events("destination.credentials")) == 2)
            deliver(r, 1)
            r.drained()
            assert sink.signers == ["AKIDLONG", "AKIDNEXT"]
            assert "long/secret" not in r.log()


def test_another_scheme_and_secret_headers_from_files(tmp_path):
    (tmp_path / "a").write_text("s3cret\n")
    (tmp_path / "k").write_text("k3y\n")
    sink = receiver.Receiver(behave=lambda q: (200 if q.headers.get("X-Api-Key") == "k3y" else 401, {}, ""))
    auth = {"authorization": {"type": "Token", "credentials_file": str(tmp_path / "a")}, "header_files": {"X-Api-Key": str(tmp_path / "k")}}
    with relay.Relay(sink.url, {"destinations": {"main": {**QUICK, **auth, "probe": {"min": "1h", "max": "1h"}}}}) as r:
        deliver(r, 0)
        r.drained()
        assert sink.requests[0].headers["Authorization"] == "Token s3cret"
        sink.behave = lambda q: (200 if q.headers.get("X-Api-Key") == "n3w" else 401, {}, "")
        deliver(r, 1)
        relay.wait_for(lambda: r.events("destination.paused"))
        (tmp_path / "k").write_text("n3w\n")
        r.drained()
    sink.stop()
