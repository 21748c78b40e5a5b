"""`standpipe check --connect`: what each receiver takes, and what to change where it does not."""
import json
import os
import ssl
import subprocess

import pytest

from lib import aws, real, receiver, relay

PATH = "/workspaces/ws-1/api/v1/remote_write"
NOWHERE = {"HOME": "/nonexistent", "AWS_EC2_METADATA_DISABLED": "true"}


def check(tmp_path, destinations, *options, env=None, keys=None, status=0):
    """{destination or destination/lane: {step: (result, text)}}"""
    config = tmp_path / "standpipe.yaml"
    config.write_text(json.dumps({"ingest": {"listen": "127.0.0.1:1"}, "spool": {"dir": str(relay.SCRATCH)}, "destinations": destinations, "keys": keys or {}}))
    relay.SCRATCH.mkdir(parents=True, exist_ok=True)
    r = subprocess.run([relay.BIN / "standpipe", "check", "--connect", "--json", *options, "--config", config], capture_output=True, text=True, timeout=60,
                       env={**{k: v for k, v in os.environ.items() if not k.startswith("AWS_")}, **NOWHERE, **(env or {})})
    assert r.returncode == status, r.stdout + r.stderr
    if status not in (0, 1):
        return r.stderr
    return {"/".join(filter(None, (t["destination"], t.get("lane")))): {s["step"]: (s["result"], s["text"]) for s in t["steps"]}
            for t in json.loads(r.stdout)["targets"]}


def test_real_receivers_with_a_sample_now_and_an_older_one(tmp_path):
    with real.Prometheus(window=None) as strict, real.Prometheus() as window, real.VictoriaMetrics() as victoria:
        got = check(tmp_path, {"strict": {"receiver": "prometheus", "url": strict.url}, "victoria": {"receiver": "victoriametrics", "url": victoria.url},
                               "window": {"receiver": "prometheus", "url": window.url, "protocol": "auto", "external_labels": {"Z": "1", "a": "2"}},
                               "path": {"receiver": "prometheus", "url": strict.base + "/api/v1/wrote"}}, "--write-probe", status=1)
        for name in ("strict", "window", "victoria"):
            assert got[name]["remote write 1.0"][0] == got[name]["sample of now"][0] == "ok"
            assert "204, no Written header" in got[name]["remote write 2.0"][1]
        assert got["strict"]["sample out of order"] == ("warning", "400 out of order sample; CloudWatch's samples come late: raise storage.tsdb.out_of_order_time_window")
        assert got["window"]["sample out of order"][0] == got["victoria"]["sample out of order"][0] == "ok"
        assert got["path"]["remote write 1.0"][0] == "failed" and "is the path of the URL right?" in got["path"]["remote write 1.0"][1]
        labels = json.loads(real.fetch(window.base + "/api/v1/query?query=standpipe_probe"))["data"]["result"]
        assert [r["metric"] for r in labels] == [{"__name__": "standpipe_probe", "Z": "1", "a": "2"}]


def test_a_newer_prometheus_takes_2_0(tmp_path):
    with real.Prometheus(window=None, binary=real.newer("prometheus")) as p:
        got = check(tmp_path, {"main": {"receiver": "prometheus", "url": p.url, "protocol": "auto"}}, "--write-probe")["main"]
        assert got["remote write 2.0"] == ("ok", "taken") and got["sample of now"][0] == "ok" and got["sample out of order"][0] == "warning"


def test_lanes_and_tenants_each_and_nothing_is_written_unless_told(tmp_path):
    (tmp_path / "good").write_text("good-key\n")
    (tmp_path / "bad").write_text("bad-key\n")

    def judge(r):
        if r.headers.get("Authorization") == "Bearer good-key":
            return 200, {}, ""
        return {"a": (200, {}, ""), "b": (401, {}, "no such tenant"), None: (401, {}, "no org id")}.get(r.headers.get("X-Scope-OrgID"), (404, {}, ""))

    sink = receiver.Receiver(behave=judge)
    mimir = {"receiver": "mimir", "url": sink.url}
    got = check(tmp_path, {"none": mimir, "map": {**mimir, "lanes": {"by": "account", "map": {"1": "a", "2": "b"}, "default": "a"}}, "free": {**mimir, "lanes": {"by": "key"}},
                           "pass": {"url": sink.url, "lanes": {"by": "key", "token": "key"}}},
                keys={k: {"file": str(tmp_path / k)} for k in ("good", "bad")}, status=1)
    step = {name: got[name]["remote write 1.0"] for name in got}
    assert step.pop("none") == ("failed", "401 no org id; wrong credentials, or no tenant: headers or lanes.header")
    assert step.pop("map/2") == ("failed", "401 no such tenant; wrong or missing credentials")
    assert step.pop("free/standpipe_probe")[0] == "failed" and step.pop("pass/bad")[0] == "failed"
    assert {k: v[0] for k, v in step.items()} == {"map/1": "ok", "map/a": "ok", "pass/good": "ok"}
    assert all(len(r.body) <= 5 for r in sink.requests)  # no series in any of them
    sink.stop()


def test_samples_go_in_the_version_that_is_taken_and_only_where_data_will_be(tmp_path):
    sink = receiver.Receiver(behave=lambda r: (204, {"X-Prometheus-Remote-Write-Samples-Written": str(len(r.series()))}, ""))
    to = lambda name: {"receiver": "mimir", "url": f"http://127.0.0.1:{sink.port}/{name}"}
    got = check(tmp_path, {"auto": {**to("auto"), "protocol": "auto"}, "old": to("old"), "free": {**to("free"), "lanes": {"by": "key"}}}, "--write-probe")
    assert got["auto"]["remote write 2.0"] == ("ok", "taken") and "protocol: 2.0 would carry" in got["old"]["remote write 2.0"][1]
    assert got["free/standpipe_probe"]["samples"] == ("warning", "not written: no lane is known before data comes (lanes.map, lanes.default)")
    assert [(r.path, r.version) for r in sink.requests if r.series()] == 2 * [("/auto", "2.0.0")] + 2 * [("/old", "0.1.0")]
    sink.stop()


ORDER = {"prometheus": "storage.tsdb.out_of_order_time_window", "mimir": "limits.out_of_order_time_window", "thanos": "--tsdb.out-of-order.time-window",
         "amp": "outOfOrderTimeWindowInSeconds", "grafana-cloud": "out_of_order_time_window", "generic": "out_of_order_time_window"}


def test_each_kind_of_receiver_has_a_setting_for_late_samples(tmp_path):
    newest = {}

    def judge(r):
        for series, samples in r.series() if r.body else ():
            for at, _ in samples:
                if at < newest.setdefault((r.path, series), at):
                    return 400, {}, "the sample was rejected (err-mimir-sample-out-of-order)"
        return 200, {}, ""

    sink = receiver.Receiver(behave=judge)
    destinations = {kind.replace("-", "_"): {"receiver": kind, "url": f"http://127.0.0.1:{sink.port}/{kind}", "external_labels": {"Z": "1", "a": "2"}} for kind in ORDER}
    got = check(tmp_path, destinations, "--write-probe")
    for kind, setting in ORDER.items():
        steps = got[kind.replace("-", "_")]
        assert steps["sample of now"][0] == "ok" and steps["sample out of order"][0] == "warning"
        assert steps["sample out of order"][1].startswith("400 the sample was rejected (err-mimir-sample-out-of-order); ") and setting in steps["sample out of order"][1]
    probes = [s for r in sink.requests for s in r.series()]
    assert {labels for labels, _ in probes} == {(("Z", "1"), ("__name__", "standpipe_probe"), ("a", "2"))} and len(probes) == 2 * len(ORDER)
    assert {a[0][0] - b[0][0] for (_, a), (_, b) in zip(probes[::2], probes[1::2])} == {60000}
    text = subprocess.run([relay.BIN / "standpipe", "check", "--connect", "--write-probe", "--config", tmp_path / "standpipe.yaml"], capture_output=True, text=True, timeout=60)
    assert text.returncode == 0 and text.stdout.count("warning  sample out of order: 400 ") == len(ORDER) and f"0 of {len(ORDER)} failed, {len(ORDER)} warnings" in text.stdout
    sink.stop()


def test_certificates(tmp_path):
    cert, key = relay.certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=cert)
    context.load_cert_chain(cert, key)
    context.verify_mode = ssl.CERT_REQUIRED
    sink = receiver.Receiver()
    sink.server.socket = context.wrap_socket(sink.server.socket, server_side=True)
    url = f"https://localhost:{sink.port}/"
    ours = {"cert_file": str(cert), "key_file": str(key)}
    got = check(tmp_path, {"good": {"url": url, "tls_config": {"ca_file": str(cert), **ours}}, "stranger": {"url": url, "tls_config": ours},
                           "name": {"url": url, "tls_config": {"ca_file": str(cert), "server_name": "other", **ours}},
                           "bare": {"url": url, "tls_config": {"ca_file": str(cert)}}}, status=1)
    assert got["good"]["authentication"][1] == "none, client certificate" and "its certificate is good" in got["good"]["remote write 1.0"][1]
    assert got["stranger"]["connection"][1].startswith("bad_certificate: SSL certificate problem")
    assert "bad_certificate" in got["name"]["connection"][1] and got["bare"]["connection"][0] == "failed"
    sink.stop()


def test_a_configuration_that_is_wrong_asks_nobody(tmp_path):
    assert check(tmp_path, {"main": {"receiver": "logzio"}})["main"]["url"][0] == "warning"
    assert "cannot open /nonexistent/token" in check(tmp_path, {"main": {"url": "http://127.0.0.1:1/", "bearer_token_file": "/nonexistent/token"}}, status=78)


@pytest.fixture(scope="module")
def keys():
    a = aws.Aws()
    yield a
    a.stop()


@pytest.fixture(scope="module")
def sink(keys):
    def judge(r):
        signer, words = aws.check("POST", PATH, {k.lower(): v for k, v in r.headers.items()}, r.body, keys.secrets, "aps")
        return (200, {}, "") if signer else (403, {}, words)

    sink = receiver.Receiver(behave=judge)
    yield sink
    sink.stop()


@pytest.fixture
def ask(tmp_path, keys, sink):
    """The step `authentication`; the receiver has taken what was signed."""
    def ask(env, status=0, **sigv4):
        keys.asked.clear()
        url = f"http://127.0.0.1:{sink.port}{PATH}"
        got = check(tmp_path, {"main": {"receiver": "amp", "url": url, "sigv4": {"region": "eu-west-1", **sigv4}}}, env=env, status=status)["main"]
        assert status or got["remote write 1.0"][0] == "ok"
        return got["authentication"][1]
    return ask


LONG = {"AWS_ACCESS_KEY_ID": "AKIDLONG", "AWS_SECRET_ACCESS_KEY": "long/secret"}
ROLE = "arn:aws:iam::111122223333:role/relay"


def test_keys_of_every_source(ask, keys, tmp_path):
    (tmp_path / "jwt").write_text("a.jwt+/=\n")
    (tmp_path / "credentials").write_text("[default]\naws_access_key_id = AKIDLONG\naws_secret_access_key = long/secret\n")
    (tmp_path / "pod-token").write_text("pod-token\n")
    assert "(environment), region eu-west-1" in ask(LONG) and keys.asked == []

    web = {"AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "jwt"), "AWS_ROLE_ARN": ROLE, "AWS_ENDPOINT_URL_STS": keys.url}
    assert "(web identity)" in ask(web)
    [(what, form)] = keys.asked
    assert what == "AssumeRoleWithWebIdentity" and form["WebIdentityToken"] == "a.jwt+/=" and form["RoleArn"] == ROLE and form["RoleSessionName"] == "standpipe"

    assert "(shared file)" in ask({"AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials")})
    pod = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": keys.url + "/v1/credentials", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(tmp_path / "pod-token")}
    assert "(container endpoint)" in ask(pod) and keys.asked == [("container", {"authorization": "pod-token"})]
    (tmp_path / "config").write_text("[default]\nregion = eu-west-1\n")
    assert "(container endpoint)" in ask({**pod, "AWS_CONFIG_FILE": str(tmp_path / "config")})
    instance = {"AWS_EC2_METADATA_DISABLED": "false", "AWS_EC2_METADATA_SERVICE_ENDPOINT": keys.url + "/"}
    assert "(instance metadata)" in ask(instance) and [w for w, _ in keys.asked] == ["imds-token", "imds", "imds"]

    assert f"(environment, as {ROLE})" in ask({**LONG, "AWS_ENDPOINT_URL_STS": keys.url}, role_arn=ROLE, external_id="x=1&y")
    [(what, form)] = keys.asked
    assert what == "AssumeRole" and form["signed_by"] == "AKIDLONG" and form["ExternalId"] == "x=1&y" and form["RoleArn"] == ROLE


def test_a_source_that_fails_says_what_is_missing(ask, keys, tmp_path):
    said = ask({}, status=1)
    for what in ("AWS_ACCESS_KEY_ID is not set", "AWS_WEB_IDENTITY_TOKEN_FILE is not set", "there is no /nonexistent/.aws/credentials",
                 "AWS_CONTAINER_CREDENTIALS_FULL_URI is not set", "AWS_EC2_METADATA_DISABLED is true"):
        assert what in said
    assert "AWS_SECRET_ACCESS_KEY is not" in ask({"AWS_ACCESS_KEY_ID": "x"}, status=1)
    assert "cannot open /nonexistent/jwt" in ask({"AWS_WEB_IDENTITY_TOKEN_FILE": "/nonexistent/jwt", "AWS_ROLE_ARN": ROLE}, status=1)
    assert "AWS_ROLE_ARN is not" in ask({"AWS_WEB_IDENTITY_TOKEN_FILE": "/nonexistent/jwt"}, status=1)
    (tmp_path / "credentials").write_text("[sso]\nsso_session = x\n")
    assert "profile sso has no aws_access_key_id" in ask({}, status=1, credentials_file=str(tmp_path / "credentials"), profile="sso")
    assert "no profile other" in ask(LONG, status=1, credentials_file=str(tmp_path / "credentials"), profile="other")
    assert "plain http only to this host" in ask({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.99/"}, status=1)
    closed = {"AWS_EC2_METADATA_DISABLED": "false", "AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:1"}
    assert "instance metadata gives no token" in ask(closed, status=1)
    keys.refuse = lambda what: (403, "<ErrorResponse><Error><Code>AccessDenied</Code><Message>not you</Message></Error></ErrorResponse>")
    assert f"does not give out the role {ROLE}: 403 AccessDenied: not you" in ask({**LONG, "AWS_ENDPOINT_URL_STS": keys.url}, status=1, role_arn=ROLE)
    keys.refuse = None
