"""Tenants: access keys with destinations and labels of their own, that come, change, rotate and go while everything runs."""
import base64
import contextlib
import os
import re
import shutil
import signal
import subprocess
import threading
import time

import pytest

from lib import cloudwatch, receiver, relay

MINUTE = 1700000040000


def command(*args):
    return subprocess.run([relay.BIN / "standpipe", *map(str, args)], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)


def points(minute):
    return cloudwatch.body([cloudwatch.record(cloudwatch.some_points(5, MINUTE + minute * 60000, seed=minute), "otlp10")])


def arrived(sink, minute):
    """The label sets whose samples are of that minute; a sample has the time of its end."""
    return [dict(labels) for labels, samples in sink.samples().items() if any(t == MINUTE + (minute + 1) * 60000 for t, _ in samples)]


class Tenants:
    """A relay with two receivers `a` and `b`, a directory of keys, and the key `test` in the main file."""

    def __init__(self, settings=None):
        self.a, self.b = receiver.Receiver(), receiver.Receiver()
        self.dir = relay.folder("keys.d")
        conf = {"ingest": {"keys_dir": str(self.dir)}, "destinations": {"main": {"url": self.a.url}, "b": {"url": self.b.url}}}
        self.relay = relay.Relay(self.a.url, relay.merge(conf, settings or {}))

    def new(self, name, text=""):
        """Makes a key elsewhere, so that the file appears with all its settings at once; returns the key."""
        made = command("keys", "new", name, "--dir", self.relay.dir)
        assert made.returncode == 0, made.stderr
        self.put(name, (self.relay.dir / f"{name}.yaml").read_text() + text)
        return made.stdout.strip()

    def put(self, name, text):
        fresh = self.dir / ".fresh"
        fresh.write_text(text)
        os.rename(fresh, self.dir / f"{name}.yaml")

    def taken(self, key, minute):
        return relay.wait_for(lambda: self.relay.post(points(minute), key=key).status == 200)

    def deliver(self, key, minute):
        assert self.relay.post(points(minute), key=key).status == 200


@contextlib.contextmanager
def tenants(settings=None, **files):
    """files: what stands in each tenant's file beside its hash. Yields the tenants and their keys."""
    t = Tenants(settings)
    keys = {name: t.new(name, text) for name, text in files.items()}
    with t.relay:
        yield t, keys
    shutil.rmtree(t.dir)


def test_what_a_tenant_sends_arrives_at_its_destinations_with_its_labels():
    red, blue = "destinations: [main]\nlabels: {team: red, site: x}\n", "destinations: [b]\nlabels: {team: blue}\n"
    with tenants({"destinations": {"b": {"external_labels": {"site": "y"}}}}, red=red, blue=blue) as (t, keys):
        t.deliver(keys["red"], 0)
        t.deliver(keys["blue"], 1)
        t.deliver(relay.KEY, 2)
        t.relay.drained()
        assert len(arrived(t.a, 2)) == len(arrived(t.b, 2)) > 0
        assert arrived(t.b, 0) == arrived(t.a, 1) == []
        assert {(s["team"], s["site"]) for s in arrived(t.a, 0)} == {("red", "x")}
        assert {(s["team"], s["site"]) for s in arrived(t.b, 1)} == {("blue", "y")}
        assert {(s.get("team"), s.get("site")) for s in arrived(t.a, 2) + arrived(t.b, 2)} == {(None, None), (None, "y")}
        for d in ("main", "b"):
            accepted, rest = t.relay.books(d)
            assert accepted == rest > 0


def test_a_tenant_comes_changes_and_goes_without_a_restart_or_a_dropped_connection():
    with tenants() as (t, _):
        pids = [t.relay.pids(role) for role in ("ingest", "convert", "ship")]
        connection = t.relay.connect()
        assert t.relay.post(points(0), connection=connection).status == 200
        began = time.monotonic()
        key = t.new("green", "destinations: [b]\nlabels: {team: green}\n")
        t.taken(key, 1)
        assert time.monotonic() - began < 5  # within 2 s, on a machine that has time
        # It is taken only once ship knows where it belongs: never for one of the keys without settings.
        t.relay.drained()
        assert {s["team"] for s in arrived(t.b, 1)} == {"green"} and arrived(t.a, 1) == []

        t.put("green", (t.dir / "green.yaml").read_text().replace("[b]", "[main]").replace("green", "lime"))
        relay.wait_for(lambda: [e for e in t.relay.events("plan.changed") if e["tenants"] == 2][1:])
        t.taken(key, 2)
        relay.wait_for(lambda: {s["team"] for s in arrived(t.a, 2)} == {"lime"})
        assert arrived(t.b, 2) == []

        (t.dir / "green.yaml").unlink()
        relay.wait_for(lambda: t.relay.post(points(3), key=key).status == 401)
        t.relay.drained()
        assert {s.get("team") for s in arrived(t.a, 3)} <= {"lime"} and arrived(t.b, 3) == []  # until then it was still its own
        assert t.relay.post(points(4), connection=connection).status == 200  # the connection of the beginning
        assert pids == [t.relay.pids(role) for role in ("ingest", "convert", "ship")]


class Load(threading.Thread):
    """Delivers with one key, again and again."""

    def __init__(self, t, key, minute):
        super().__init__(daemon=True)
        self.t, self.key, self.minute, self.statuses, self.over = t, key, minute, [], False
        self.start()

    def run(self):
        connection = self.t.relay.connect()
        while not self.over:
            self.statuses.append(self.t.relay.post(points(self.minute), key=self.key, connection=connection).status)
            if self.statuses[-1] != 200:
                connection = self.t.relay.connect()
            time.sleep(0.01)

    def stop(self):
        self.over = True
        self.join(30)
        return self.statuses


def test_rotating_a_key_under_load_refuses_no_delivery_with_a_valid_key():
    with tenants(red="labels: {team: red}\n") as (t, keys):
        old = Load(t, keys["red"], 0)
        other = Load(t, relay.KEY, 1)
        made = command("keys", "rotate", "red", "--config", t.relay.config)
        assert made.returncode == 0, made.stderr
        fresh = made.stdout.strip()
        assert fresh != keys["red"]
        t.taken(fresh, 2)
        new = Load(t, fresh, 3)
        time.sleep(1)  # both are valid
        assert set(old.stop()) == {200} and len(old.statuses) > 10
        assert command("keys", "retire", "red", "--dir", t.dir).returncode == 0
        relay.wait_for(lambda: t.relay.post(points(4), key=keys["red"]).status == 401)
        assert set(new.stop()) == set(other.stop()) == {200}
        t.relay.drained()
        assert {s["team"] for m in (0, 2, 3) for s in arrived(t.a, m)} == {"red"}
        assert [(e["key"], e["secrets"]) for e in t.relay.events("key.changed")] == [("red", 2), ("red", 1)]
        for secret in (fresh, keys["red"]):
            assert secret not in t.relay.log() + t.relay.get("/metrics")[1] + (t.dir / "red.yaml").read_text()


@pytest.mark.parametrize("text, line, words", [("hash: [sha256:12]\n", 1, "sha256"), ("labels: {team: other}\n", 1, "needs either"), ("labels:\n  1x: y\n", 2, "label"),
                                               ("destinations: [nowhere]\n", 1, "no such destination"), ("ratee: 1\n", 1, "rate"), ("hash: [\n", 2, "")])
def test_a_broken_tenant_file_changes_nothing_and_is_refused_at_the_start(text, line, words):
    with tenants(red="labels: {team: red}\n") as (t, keys):
        good = (t.dir / "red.yaml").read_text()
        broken = text if "sha" in text or "team" in text or "[\n" in text else text + good.split("\n")[0] + "\n"
        t.put("red", broken)
        relay.wait_for(lambda: t.relay.metric("standpipe_keys_dir_bad_files") >= 1)
        blue = t.new("blue", "labels: {team: blue}\n")  # another file's fault holds up no other
        t.taken(blue, 1)
        t.deliver(keys["red"], 0)
        t.relay.drained()
        assert {s["team"] for s in arrived(t.a, 0)} == {"red"} and {s["team"] for s in arrived(t.a, 1)} == {"blue"}
        lines = t.relay.events("keys_dir.bad")
        assert lines and len(lines) == len({e["role"] for e in lines}) and all(e["key"] == "red" for e in lines)
        checked = command("check", "--config", t.relay.config)
        assert checked.returncode == 78 and re.search(rf"red.yaml:{line}\b.*{words}", checked.stdout), checked.stdout
        t.put("red", good)
        relay.wait_for(lambda: t.relay.metric("standpipe_keys_dir_bad_files") == 0)
        assert command("check", "--config", t.relay.config).returncode == 0
        t.put("red", broken)
        t.relay.stop()
        assert command("run", "--config", t.relay.config).returncode == 78


def test_a_role_that_dies_comes_back_without_the_tenant_whose_file_is_broken():
    with tenants(red="labels: {team: red}\n", blue="labels: {team: blue}\n") as (t, keys):
        t.put("red", "nonsense: 1\n")
        relay.wait_for(lambda: t.relay.metric("standpipe_keys_dir_bad_files") == 2)  # in both roles
        for role in ("ship", "ingest"):
            os.kill(t.relay.pids(role)[0], signal.SIGKILL)
        t.taken(keys["blue"], 0)
        assert t.relay.post(points(1), key=keys["red"]).status in (401, 503)
        t.relay.drained()
        assert {s["team"] for s in arrived(t.a, 0)} == {"blue"} and arrived(t.a, 1) == []
        relay.wait_for(lambda: [e["role"] for e in t.relay.events("keys_dir.bad")].count("ingest") == 2)
        assert t.relay.process.poll() is None


def test_a_key_is_made_once_and_kept_as_a_hash(tmp_path):
    made = command("keys", "new", "prod", "--dir", tmp_path)
    key, path = made.stdout, tmp_path / "prod.yaml"
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}\n", key) and len(base64.urlsafe_b64decode(key.strip() + "=")) == 32
    assert key.strip() not in made.stderr + path.read_text() and re.fullmatch(r"hash: \[sha256:[0-9a-f]{64}\]\n", path.read_text())
    assert path.stat().st_mode & 0o777 == 0o640
    before = path.read_text()
    again = command("keys", "new", "prod", "--dir", tmp_path)
    assert again.returncode != 0 and again.stdout == "" and "exists" in again.stderr and path.read_text() == before
    path.write_text(before + "# ours\nlabels: {team: x}\n")
    os.chmod(path, 0o600)
    assert command("keys", "rotate", "prod", "--dir", tmp_path).returncode == 0
    text = path.read_text()
    assert text.endswith("# ours\nlabels: {team: x}\n") and text.startswith(before.rstrip("]\n") + ", sha256:") and path.stat().st_mode & 0o777 == 0o600
    for _ in range(6):
        assert command("keys", "rotate", "prod", "--dir", tmp_path).returncode == 0
    full = command("keys", "rotate", "prod", "--dir", tmp_path)
    assert full.returncode != 0 and full.stdout == "" and "retire" in full.stderr
    newest = re.findall(r"sha256:\w+", path.read_text())[-1]
    assert command("keys", "retire", "prod", "--dir", tmp_path).returncode == 0
    assert path.read_text() == f"hash: [{newest}]\n# ours\nlabels: {{team: x}}\n"
    assert [p.name for p in tmp_path.iterdir()] == ["prod.yaml"]
    for args, status in ((("new", "Not-A-Name"), 78), (("rotate", "none"), 78), (("explode", "prod"), 64), (("new",), 64)):
        r = command("keys", *args, "--dir", tmp_path)
        assert r.returncode == status and r.stdout == "", r.stderr


def test_the_usual_configuration_says_where_keys_are_kept(tmp_path):
    config = tmp_path / "c.yaml"
    config.write_text(f"ingest: {{keys_dir: {tmp_path}/d}}\n")
    (tmp_path / "d").mkdir()
    assert command("keys", "new", "prod", "--config", config).returncode == 0 and (tmp_path / "d/prod.yaml").exists()
    config.write_text("ingest: {listen: ':1'}\n")
    r = command("keys", "new", "other", "--config", config)
    assert r.returncode == 78 and "ingest.keys_dir" in r.stderr


def test_labels_of_accounts_follow_their_file():
    path = relay.folder("accounts") / "accounts.yaml"
    path.write_text("'111122223333': {team: one}\n")
    with tenants({"convert": {"account_labels_file": str(path)}}) as (t, _):
        t.deliver(relay.KEY, 0)
        relay.wait_for(lambda: arrived(t.a, 0))
        assert {s["team"] for s in arrived(t.a, 0) if s["account_id"] == "111122223333"} == {"one"}
        path.write_text("'111122223333': {team: two, name: the account}\n")
        relay.wait_for(lambda: len(t.relay.events("plan.changed")) == 2)
        path.write_text("'111122223333': {1x: three}\n")
        relay.wait_for(lambda: t.relay.metric("standpipe_ship_account_labels_bad") == 1)
        time.sleep(1.1)
        t.deliver(relay.KEY, 1)
        relay.wait_for(lambda: arrived(t.a, 1))
        assert {(s["team"], s["name"]) for s in arrived(t.a, 1) if s["account_id"] == "111122223333"} == {("two", "the account")}
        assert len(t.relay.events("accounts.bad")) == 1
        assert command("check", "--config", t.relay.config).returncode == 78


def test_a_common_attribute_chooses_among_the_destinations_that_are_configured():
    """The predecessor sent a delivery to whatever address its attribute CUSTOM_LISTENER named; here it must be a destination's choice."""
    chosen, usual = receiver.Receiver(), receiver.Receiver()
    own = {"url": chosen.url, "match_attributes": {"CUSTOM_LISTENER": "https://listener.example:8053"}}
    with relay.Relay(usual.url, {"destinations": {"own": own}}) as r:
        for minute, listener in enumerate(("https://listener.example:8053", "https://elsewhere.example/", None)):
            pairs = "" if listener is None else f'"custom_listener": "{listener}"'
            header = {"X-Amz-Firehose-Common-Attributes": '{"commonAttributes": {%s}}' % pairs}
            assert r.post(points(minute), headers=header).status == 200
        assert r.post(points(3), headers={"X-Amz-Firehose-Common-Attributes": "nonsense"}).status == 200
        r.drained()
        assert [bool(arrived(chosen, m)) for m in range(4)] == [True, False, False, False]
        assert [bool(arrived(usual, m)) for m in range(4)] == [False, True, True, True]
        [warning] = r.events("attributes.left_out")
        assert warning["attributes"] == 1 and warning["source_arn"].startswith("arn:")
        assert r.books("own")[0] == r.books("own")[1] > 0


def test_decode_shows_what_a_tenant_of_the_directory_gets(tmp_path):
    (tmp_path / "keys.d").mkdir()
    (tmp_path / "keys.d" / "core.yaml").write_text(f'hash: ["sha256:{"0" * 64}"]\nlabels: {{team: core}}\n')
    (tmp_path / "accounts.yaml").write_text('"111122223333": {account_name: shop}\n')
    (tmp_path / "c.yaml").write_text(f"ingest: {{keys_dir: {tmp_path}/keys.d}}\nconvert: {{account_labels_file: {tmp_path}/accounts.yaml}}\n"
                                     "destinations: {main: {url: 'http://127.0.0.1:9/'}}\n")
    (tmp_path / "body").write_bytes(points(0))
    shown = command("decode", "--config", tmp_path / "c.yaml", "--key", "core", tmp_path / "body").stdout
    assert 'account_name="shop"' in shown and 'team="core"' in shown
    assert 'team="core"' not in command("decode", "--config", tmp_path / "c.yaml", tmp_path / "body").stdout
