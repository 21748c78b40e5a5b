"""What lies in deploy/ is well-formed; ./dev compose-test runs the compose stack for real."""
import pathlib
import shutil
import subprocess

import pytest
import yaml

from lib import relay

DEPLOY = pathlib.Path(__file__).parent.parent.parent / "deploy"


def test_units_verify_without_a_word(tmp_path):
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not here")
    units = sorted((DEPLOY / "systemd").iterdir())
    assert len(units) == 5
    for unit in units:  # the program is not installed here, and verify wants to see it
        (tmp_path / unit.name).write_text(unit.read_text().replace("/usr/bin/standpipe", "/bin/true"))
    names = [u.name.replace("@.", "@0.") for u in units]
    r = subprocess.run(["systemd-analyze", "verify", "--man=no", *(tmp_path / n for n in names)], capture_output=True, text=True)
    assert (r.returncode, r.stdout, r.stderr) == (0, "", "")


@pytest.mark.parametrize("path", ["compose/standpipe.yaml", "kubernetes/standpipe.yaml"])
def test_configurations_are_accepted(path, tmp_path):
    conf = yaml.safe_load((DEPLOY / path).read_text())
    (tmp_path / "key").write_text("key")
    conf["keys"]["firehose"]["file"] = str(tmp_path / "key")
    conf["spool"]["dir"] = str(relay.folder("deploy"))
    conf["runtime"]["dir"] = str(tmp_path / "run")
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(conf))
    r = subprocess.run([relay.BIN / "standpipe", "check", "--config", tmp_path / "c.yaml"], capture_output=True, text=True)
    assert r.returncode == 0, r.stdout + r.stderr


def test_the_pod_is_what_the_docs_say():
    docs = [d for f in (DEPLOY / "kubernetes").glob("*.yaml") for d in yaml.safe_load_all(f.read_text())]
    [pod] = [d["spec"]["template"]["spec"] for d in docs if d.get("kind") == "StatefulSet"]
    mounts = {c["name"]: {m["mountPath"] for m in c["volumeMounts"]} for c in pod["containers"]}
    assert sorted(mounts) == ["convert", "ingest", "ship"]
    assert [n for n, m in mounts.items() if "/var/lib/standpipe" in m] == ["ship"]
    assert [n for n, m in mounts.items() if "/etc/standpipe/keys" in m] == ["ingest"]
    assert all(c["securityContext"]["readOnlyRootFilesystem"] for c in pod["containers"])
