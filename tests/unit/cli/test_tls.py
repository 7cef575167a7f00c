"""`trading-ops tls`: which certificates are issued, kept and renewed, and for whom they are."""

import json
import ssl
import stat
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.unit.stack.registries import REPOSITORY
from trading_ops.cli.tls import tls
from trading_ops.errors import ConfigError

FAR = """
  - name: host-1
    kind: node
    address: 10.0.0.5:8461
    tls: true
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    text = (REPOSITORY / "targets.yml").read_text(encoding="utf-8")
    (tmp_path / "targets.yml").write_text(text + FAR)
    monkeypatch.setenv("TRADING_OPS_ROOT", str(tmp_path))
    return tmp_path


def run(*arguments: str) -> str:
    done = CliRunner().invoke(tls, list(arguments), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def shown() -> dict[str, Any]:
    return {
        certificate["name"]: certificate
        for certificate in json.loads(run("show", "--output", "json"))
    }


def test_each_process_gets_what_it_needs(project: Path) -> None:
    """A node may not call; the reconciler, Prometheus, Alertmanager and the operator may."""
    run("init")
    found = shown()
    assert set(found) == {
        "ca", "reconciler", "prometheus", "alertmanager", "operator", "host-1",
    }  # fmt: skip
    assert found["host-1"]["hosts"] == ["host-1", "10.0.0.5"]
    callers = {
        name for name, certificate in found.items() if certificate["client"] and name != "ca"
    }
    assert callers == {"reconciler", "prometheus", "alertmanager", "operator"}
    folder = project / "var" / "tls"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for path in folder.iterdir():
        expected = 0o600 if path.suffix == ".key" else 0o644
        assert stat.S_IMODE(path.stat().st_mode) == expected, path
    context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    context.load_cert_chain(folder / "host-1.crt", folder / "host-1.key")


def test_what_is_there_is_kept_until_the_address_changes(project: Path) -> None:
    run("init")
    folder = project / "var" / "tls"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    run("init")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    targets = project / "targets.yml"
    targets.write_text(targets.read_text().replace("10.0.0.5", "10.0.0.6"))
    run("init")
    changed = {path.name for path in folder.iterdir() if path.read_bytes() != before[path.name]}
    assert changed == {"host-1.crt", "host-1.key"}
    assert "10.0.0.6" in shown()["host-1"]["hosts"]


def test_renewal_takes_what_expires_soon_or_is_named(project: Path) -> None:
    run("init", "--days", "40")
    assert "No certificate expires" in run("renew")
    before = shown()
    run("renew", "host-1")
    run("renew", "--within", "60")
    after = shown()
    assert after["ca"] == before["ca"]
    renewed = [name for name in before if before[name]["expires_at"] < after[name]["expires_at"]]
    assert renewed == [name for name in before if name != "ca"]
    assert after["host-1"]["hosts"] == before["host-1"]["hosts"]
    assert "Error" not in run("show")


def test_a_server_that_is_no_target_gets_a_certificate_that_is_renewed(project: Path) -> None:
    run("issue", "database", "10.0.0.7", "db.example", "--days", "10")
    found = shown()["database"]
    assert set(found["hosts"]) == {"database", "10.0.0.7", "db.example"}
    assert not found["client"]
    run("renew")
    assert shown()["database"]["expires_at"] > found["expires_at"]
    assert set(shown()["database"]["hosts"]) == set(found["hosts"])


@pytest.mark.parametrize("name", ["host-1", "ca", "operator", "../up"])
def test_the_certificate_of_a_target_is_not_replaced_by_name(project: Path, name: str) -> None:
    with pytest.raises(ConfigError):
        run("issue", name, "10.0.0.7")
