"""`config apply`, `status` and `doctor` in a production folder, against what answers there."""

import asyncio
import contextlib
import json
import os
import stat
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from tests.free_ports import free_port
from trading_ops import clock
from trading_ops.cli.exit_codes import ExitCode
from trading_ops.cli.main import run
from trading_ops.config.loading import load_settings
from trading_ops.project.folder import create
from trading_ops.project.shipped import shipped
from trading_ops.reports.runbook_check import read_rules

pytestmark = pytest.mark.processes

TARGETS = """
version: 1
targets:
  - {{name: reconciler, kind: reconciler, address: "127.0.0.1:{0}"}}
  - {{name: prometheus, kind: prometheus, address: "127.0.0.1:{1}"}}
  - {{name: alertmanager, kind: alertmanager, address: "127.0.0.1:{2}"}}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    create(tmp_path, shipped())
    ports = free_port(), free_port(), free_port()
    (tmp_path / "targets.yml").write_text(TARGETS.format(*ports))
    return tmp_path


async def command(project: Path, *arguments: str) -> tuple[int, Any]:
    """Run a command with --output json, as a process; return its exit code and its object."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "trading_ops.cli.main", *arguments, "--output", "json"),
        cwd=project,
        env={"PATH": os.defpath, "TRADING_OPS_ROOT": str(project)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, problem = await process.communicate()
    assert output, problem.decode()
    return process.returncode or 0, json.loads(output)


@contextlib.asynccontextmanager
async def answering(
    address: str, answers: dict[str, Any], asked: list[str] | None = None
) -> AsyncIterator[None]:
    """Serve fixed JSON objects; note the paths that were asked for."""

    async def handle(request: web.Request) -> web.Response:
        if asked is not None:
            asked.append(request.path)
        if request.path not in answers:
            raise web.HTTPNotFound
        return web.json_response(answers[request.path])

    application = web.Application()
    application.router.add_get("/{path:.*}", handle)
    runner = web.AppRunner(application)
    await runner.setup()
    host, _, port = address.rpartition(":")
    await web.TCPSite(runner, host, int(port)).start()
    try:
        yield
    finally:
        await runner.cleanup()


def test_apply_writes_what_prometheus_and_alertmanager_need(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Repeated, it changes no token; the copies are for the group, the originals for the owner."""
    monkeypatch.setenv("TRADING_OPS_ROOT", str(project))
    assert run(["config", "apply"]) == ExitCode.OK
    var = project / "var"
    token = (var / "secrets" / "metrics_token").read_text()
    copy = var / "prometheus" / "secrets" / "metrics_token"
    assert run(["config", "apply"]) == ExitCode.OK
    assert (var / "secrets" / "metrics_token").read_text() == token == copy.read_text()
    assert stat.S_IMODE(copy.stat().st_mode) == 0o640
    assert {stat.S_IMODE(path.stat().st_mode) for path in (var / "secrets").iterdir()} == {0o600}
    assert stat.S_IMODE((var / "secrets").stat().st_mode) == 0o700
    assert (var / "prometheus" / "rules" / "bot.yml").is_file()
    found = json.loads((var / "prometheus" / "targets" / "reconcilers.json").read_text())
    assert found[0]["targets"] == [load_address(project, 0)]


def test_apply_gives_prometheus_and_alertmanager_their_certificates(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prometheus does not read `__scheme__` of Alertmanagers; a job's own tls_config is kept."""
    monkeypatch.setenv("TRADING_OPS_ROOT", str(project))
    own = {"job_name": "mine", "scheme": "https", "static_configs": [{"targets": ["mine:1"]}]}
    shipped_yml = project / "prometheus" / "prometheus.yml"
    config = yaml.safe_load(shipped_yml.read_text())
    config["scrape_configs"].append(own)
    shipped_yml.write_text(yaml.safe_dump(config))
    over_tls = TARGETS.format(8431, 9090, 9093).replace("127.0.0.1", "10.0.0.4")
    (project / "targets.yml").write_text(over_tls.replace("}", ", tls: true}"))

    assert run(["config", "apply"]) == ExitCode.SETUP  # no certificates yet
    assert run(["tls", "init"]) == ExitCode.OK
    assert run(["config", "apply"]) == ExitCode.OK

    folders = {name: project / "var" / name for name in ("prometheus", "alertmanager")}
    for name, folder in folders.items():
        web = yaml.safe_load((folder / "web.yml").read_text())["tls_server_config"]
        assert web["client_auth_type"] == "RequireAndVerifyClientCert"
        for key in ("cert_file", "key_file", "client_ca_file"):
            assert stat.S_IMODE((folder / web[key]).stat().st_mode) == 0o640
        assert name in web["cert_file"]
    config = yaml.safe_load((folders["prometheus"] / "prometheus.yml").read_text())
    certificate = "secrets/prometheus.crt"
    *jobs, last = config["scrape_configs"]
    assert {job["tls_config"]["cert_file"] for job in jobs} == {certificate}
    assert last == own
    (alerting,) = config["alerting"]["alertmanagers"]
    assert (alerting["scheme"], alerting["tls_config"]["cert_file"]) == ("https", certificate)
    routes = yaml.safe_load((folders["alertmanager"] / "alertmanager.yml").read_text())
    (webhook,) = routes["receivers"][0]["webhook_configs"]
    assert webhook["url"] == "https://10.0.0.4:8431/api/v1/webhook/alertmanager"
    assert webhook["http_config"]["tls_config"]["cert_file"] == "secrets/alertmanager.crt"


def load_address(project: Path, number: int) -> str:
    return (project / "targets.yml").read_text().split('"')[2 * number + 1]


async def test_status_says_who_does_not_answer(project: Path) -> None:
    """No one: code 3. A reconciler alone: 1."""
    code, found = await command(project, "status")
    assert code == ExitCode.NOT_RUNNING
    assert {target["name"]: target["ok"] for target in found["targets"]} == {
        "reconciler": False,
        "prometheus": False,
        "alertmanager": False,
    }
    async with answering(load_address(project, 0), {"/-/healthy": {}}):
        code, found = await command(project, "status")
    assert code == ExitCode.FAILED
    assert [target["name"] for target in found["targets"] if target["ok"]] == ["reconciler"]


BOTS = ("well", "down", "silent", "absent", "new")
NOW = -3600.0
"""Seconds ago: an answer that is not old, however slow the machine is."""


def agent(ago: float, **more: Any) -> dict[str, Any]:
    at = (clock.now() - timedelta(seconds=ago)).isoformat()
    parts = {"feed": True, "broker": "status" not in more}
    return {"state": "active", "status": "ok", "answered_at": at, "components": parts, **more}


async def test_the_states_of_bots_take_one_request(project: Path) -> None:
    """The reconciler asks each bot anyway; a bot is asked directly only without a reconciler."""
    fleet = "".join(
        f'  - {{name: {bot}, kind: bot, venue: paper, address: "127.0.0.1:{free_port()}"}}\n'
        for bot in BOTS
    )
    targets = project / "targets.yml"
    targets.write_text(
        targets.read_text()
        + f'  - {{name: paper, kind: venue, address: "127.0.0.1:{free_port()}"}}\n'
        + fleet
    )
    known = {
        "well": agent(NOW),
        "down": agent(NOW, status="degraded"),
        "silent": agent(60),
        "absent": None,
    }
    answers = {
        "/-/healthy": {},
        "/api/v1/status": {
            "version": "1", "pause": None, "incidents_open": 2, "open_incidents": [],
            "notifications_waiting": 0, "notifications_quarantined": 0,
        },
        "/api/v1/targets": {
            "targets": [{"name": name, "holds": [], "agent": got} for name, got in known.items()]
        },
        "/api/v1/maintenance": {"maintenance": []},
    }  # fmt: skip
    secrets = project / "var" / "secrets"
    secrets.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name in ("operator_token", *(f"agent_token_{bot}" for bot in BOTS)):
        (secrets / name).write_text(f"{name}\n")
        (secrets / name).chmod(0o600)
    listed = yaml.safe_load(targets.read_text())["targets"]
    (well,) = (target["address"] for target in listed if target["name"] == "well")
    asked, of_bot = list[str](), list[str]()
    async with (
        answering(load_address(project, 0), answers, asked),
        answering(well, {"/health": {}}, of_bot),
    ):
        _, found = await command(project, "status")
    states = {target["name"]: (target["ok"], target["state"]) for target in found["targets"]}
    assert states["well"] == (True, "ok, trading is active")
    assert [name for name in BOTS if states[name][0]] == ["well"]
    assert "broker" in states["down"][1]
    assert "no answer" in states["silent"][1]
    assert sorted(asked) == sorted(answers)
    assert of_bot == []
    assert "2" in found["automation"][0]

    async with answering(well, {"/health": {}}, of_bot):
        await command(project, "status")
    assert of_bot == ["/health"]


async def test_doctor_finds_what_is_missing_in_the_peers(project: Path) -> None:
    """Prometheus lacks one alert, Alertmanager is too old and routes nothing to us."""
    alerts = [
        rule.alert for rule in read_rules(load_settings(project, {}).prometheus_config / "rules")
    ]
    rules = [{"name": name} for name in alerts if name != "TradingBotDown"]
    prometheus = {
        "/-/ready": {},
        "/api/v1/status/buildinfo": {"data": {"version": "3.14.0"}},
        "/api/v1/rules": {"data": {"groups": [{"rules": rules}]}},
        "/api/v1/alertmanagers": {"data": {"activeAlertmanagers": []}},
        "/api/v1/status/flags": {"data": {"web.cors.origin": ".*"}},
    }
    config = "receivers: [{name: people}]\nroute: {receiver: people}\n"
    alertmanager = {
        "/-/ready": {},
        "/api/v2/status": {"versionInfo": {"version": "0.24.0"}, "config": {"original": config}},
    }
    async with (
        answering(load_address(project, 1), prometheus),
        answering(load_address(project, 2), alertmanager),
    ):
        code, found = await command(project, "doctor")
    assert code == ExitCode.FAILED
    checks = {check["name"]: check for check in found["checks"]}
    assert checks["targets"]["ok"]
    assert checks["prometheus prometheus"]["ok"]
    assert checks["Prometheus"]["ok"]
    assert "TradingBotDown" in checks["rules in Prometheus"]["detail"]
    assert not checks["alerts to Alertmanager"]["ok"]
    assert "--web.cors.origin=none" in checks["flags of Prometheus"]["fix"]
    assert not checks["Alertmanager"]["ok"]
    assert not checks["receiver in Alertmanager"]["ok"]
    assert not checks["reconciler reconciler"]["ok"]
    assert not checks["secrets"]["ok"]
    assert all(check["fix"] for check in found["checks"] if not check["ok"])
