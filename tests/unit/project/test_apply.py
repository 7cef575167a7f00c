"""What `config apply` writes for Prometheus and Alertmanager on each host."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from trading_ops.cli.tls import tls
from trading_ops.config.loading import load_settings
from trading_ops.config.settings import Settings
from trading_ops.config.targets import load_targets
from trading_ops.errors import SetupError
from trading_ops.project.apply import apply
from trading_ops.project.shipped import shipped

FAR = "10.0.0."


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new project folder with two reconcilers on two hosts."""
    for name, content in shipped().items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    kinds = ("prometheus", "alertmanager", "reconciler")
    listed = [
        {"name": kind, "kind": kind, "address": f"{FAR}4:{port}", "tls": True}
        for port, kind in enumerate(kinds, start=9000)
    ]
    second = {"name": "second", "kind": "reconciler", "address": f"{FAR}8:9002", "tls": True}
    registry = {"version": 1, "targets": [*listed, second]}
    (tmp_path / "targets.yml").write_text(yaml.safe_dump(registry))
    monkeypatch.setenv("TRADING_OPS_ROOT", str(tmp_path))
    done = CliRunner().invoke(tls, ["init"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return tmp_path


def applied(project: Path, **environ: str) -> Settings:
    settings = load_settings(project, environ)
    apply(settings, load_targets(settings.targets_file))
    return settings


def webhooks(settings: Settings) -> list[dict[str, Any]]:
    text = (settings.var / "alertmanager" / "alertmanager.yml").read_text(encoding="utf-8")
    receivers = {receiver["name"]: receiver for receiver in yaml.safe_load(text)["receivers"]}
    found: list[dict[str, Any]] = receivers["reconciler"]["webhook_configs"]
    return found


def test_alertmanager_notifies_each_reconciler_over_tls(project: Path) -> None:
    found = webhooks(applied(project))
    urls = [config.pop("url") for config in found]
    assert urls == [f"https://{FAR}{host}:9002/api/v1/webhook/alertmanager" for host in (4, 8)]
    assert found[0] == found[1]
    assert found[0]["http_config"]["tls_config"]["cert_file"] == "secrets/alertmanager.crt"
    assert found[0]["http_config"]["authorization"]["credentials_file"] == "secrets/webhook_token"


def test_the_host_of_a_second_reconciler_needs_no_other_certificate(project: Path) -> None:
    """It has neither the CA's key nor the certificates of Prometheus and Alertmanager."""
    certificates = project / "var" / "tls"
    for path in certificates.iterdir():
        if path.name != "ca.crt" and path.stem not in {"second", "operator"}:
            path.unlink()
    settings = applied(project, TRADING_OPS_RECONCILER="second")
    assert not (settings.var / "alertmanager" / "secrets" / "alertmanager.key").exists()


def test_a_missing_certificate_is_named(project: Path) -> None:
    (project / "var" / "tls" / "prometheus.crt").unlink()
    with pytest.raises(SetupError, match=r"prometheus\.crt.*tls init"):
        applied(project)
