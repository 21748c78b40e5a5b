"""Pass-through: the receiver gets each tenant's access key as its token, and who has one that it does not accept hears so. Beside it a
destination whose tenants are told apart by a common attribute."""
import json
import re
import shutil

import pytest

from lib import cloudwatch, receiver, relay

MINUTE = 1700000040000
KEYS = {name: f"access-key-of-{name}-0123456789" for name in ("one", "two", "late")}


def points(minute):
    return cloudwatch.body([cloudwatch.record(cloudwatch.some_points(5, MINUTE + minute * 60000, seed=minute), "otlp10")])


def minutes(sink, header="Authorization"):
    """{value of the header: minutes whose samples arrived with it}."""
    out = {}
    for r in sink.stored():
        times = {(t - MINUTE) // 60000 - 1 for _, samples in r.series() for t, _ in samples}
        out.setdefault(r.headers[header], set()).update(times)
    return out


class Tenants:
    def __init__(self):
        self.refused = set()
        self.sink = receiver.Receiver(behave=lambda r: (401, {}, "who?") if r.headers.get("Authorization") in self.refused else (204, {}, ""))
        self.teams = receiver.Receiver()
        self.keys_dir = relay.folder("keys.d")
        self.relay = relay.Relay(self.sink.url, {
            "ingest": {"keys_dir": str(self.keys_dir)},
            "destinations": {"main": {"lanes": {"by": "key", "token": "key"}, "probe": {"min": "1m", "max": "1m"}},
                             "teams": {"url": self.teams.url, "statistics": ["sum"], "lanes": {
                                 "by": "attribute:team", "header": "X-Scope-OrgID", "map": {"core": "42"}, "default": "rest"}}}})
        for name in ("one", "two"):
            self.relay.conf["keys"][name] = {"file": self.put(name, KEYS[name])}

    def put(self, name, text):
        fresh, path = self.relay.dir / "fresh", self.relay.dir / f"{name}.key"
        fresh.write_text(text + "\n")
        fresh.rename(path)
        return str(path)

    def post(self, key, minute):
        return self.relay.post(points(minute), key=key)

    def lane(self, name):
        return next(d for d in self.relay.status()["destinations"] if d["name"] == f"main/{name}")


@pytest.fixture(scope="module")
def tenants():
    t = Tenants()
    with t.relay:
        yield t
    t.sink.stop()
    t.teams.stop()
    shutil.rmtree(t.keys_dir)


def test_each_tenant_s_samples_carry_its_own_key(tenants):
    for minute, key in enumerate((KEYS["one"], KEYS["two"], relay.KEY)):
        assert tenants.post(key, minute).status == 200
    tenants.relay.drained()
    assert minutes(tenants.sink) == {f"Bearer {KEYS['one']}": {0}, f"Bearer {KEYS['two']}": {1}, f"Bearer {relay.KEY}": {2}}


def test_a_key_that_the_receiver_does_not_accept_is_refused_here_too_until_there_is_a_good_one(tenants):
    old, new = KEYS["one"], "another-access-key-of-one-987654321"
    tenants.refused.add(f"Bearer {old}")
    assert tenants.post(old, 10).status == 200  # nobody knew yet: it waits
    relay.wait_for(lambda: tenants.post(old, 11).status == 401)
    assert "E_TOKEN" in tenants.post(old, 11).error()
    assert (tenants.lane("one")["state"], tenants.lane("one")["reason"]) == ("paused", "unauthorized")
    assert tenants.post(KEYS["two"], 12).status == 200  # the others do not notice
    relay.wait_for(lambda: 12 in minutes(tenants.sink)[f"Bearer {KEYS['two']}"])
    asked = len(tenants.sink.requests)

    tenants.put("one", f"{new}\n{old}")
    relay.wait_for(lambda: tenants.post(new, 13).status == 200)
    relay.wait_for(lambda: tenants.post(old, 14).status == 200)  # the stream may have the old one for a while
    tenants.relay.drained()
    assert {10, 13, 14} <= minutes(tenants.sink)[f"Bearer {new}"]
    assert minutes(tenants.sink)[f"Bearer {old}"] == {0}
    assert asked < len(tenants.sink.requests) < asked + 20  # one good token, not a probe after another
    for lane in ("one", "two"):
        accepted, rest = tenants.relay.books(f"main\",lane=\"{lane}")
        assert accepted == rest > 0


def test_a_tenant_that_comes_while_running_is_passed_through_when_its_key_is_known(tenants):
    path = tenants.put("late", KEYS["late"])
    (tenants.keys_dir / "late.yaml").write_text(f"file: {path}\n")
    relay.wait_for(lambda: tenants.post(KEYS["late"], 20).status == 200)
    relay.wait_for(lambda: 20 in minutes(tenants.sink).get(f"Bearer {KEYS['late']}", ()))

    (tenants.keys_dir / "hashed.yaml").write_text("hash: ['sha256:" + "0" * 64 + "']\n")
    relay.wait_for(lambda: [e for e in tenants.relay.events("keys_dir.bad") if "lanes.token" in e["reason"]])


def test_a_common_attribute_says_whose_lane_it_is(tenants):
    for minute, team in ((30, {"team": "core"}), (31, {"Team": "core"}), (32, {"team": "new"}), (33, {"team": "a\nb"}), (34, {})):
        headers = {"X-Amz-Firehose-Common-Attributes": json.dumps({"commonAttributes": team})}
        assert tenants.relay.post(points(minute), key=KEYS["two"], headers=headers).status == 200
    relay.wait_for(lambda: {30, 31} <= minutes(tenants.teams, "X-Scope-OrgID").get("42", set()) and
                   {32, 33, 34} <= minutes(tenants.teams, "X-Scope-OrgID")["rest"])
    assert minutes(tenants.teams, "X-Scope-OrgID").keys() == {"42", "rest"}


def test_the_keys_are_told_to_nobody_else(tenants):
    relay_ = tenants.relay
    texts = [relay_.log(), relay_.get("/metrics")[1], relay_.get("/status")[1]]
    texts += [p.read_bytes().decode("latin-1") for p in (relay_.dir / "spool").rglob("*") if p.is_file()]
    for role in ("ingest", "convert", "ship"):
        for pid in relay_.pids(role):
            texts += [open(f"/proc/{pid}/{what}", "rb").read().decode("latin-1") for what in ("cmdline", "environ")]
    for text in texts:
        assert not re.search("|".join([*KEYS.values(), "another-access-key", relay.KEY]), text)
