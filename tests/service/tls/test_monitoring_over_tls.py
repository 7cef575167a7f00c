"""Prometheus and Alertmanager behind TLS and passwords, as docs/security.md says, and all of ours.

Everything is made by the commands: the folder by `init`, the certificates by `tls init`, both
configurations by `config apply`. By hand come only the passwords.
"""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from tests.free_ports import free_port
from tests.rules.configuration import alertmanager_program
from tests.waiting import eventually
from trading_ops import clock
from trading_ops.cli.exit_codes import ExitCode
from trading_ops.cli.main import run
from trading_ops.clients.alertmanager import Alertmanager
from trading_ops.clients.http import Http, session_of
from trading_ops.clients.monitoring import Monitoring
from trading_ops.clients.prometheus import Prometheus
from trading_ops.config.loading import load_settings
from trading_ops.config.settings import Settings
from trading_ops.config.targets import load_targets
from trading_ops.domain.target import Kind, Registry
from trading_ops.errors import Refused, Unreachable
from trading_ops.project.folder import create
from trading_ops.project.shipped import shipped
from trading_ops.tls.contexts import TlsFiles, calling
from trading_ops_lab.supervisor.monitoring_passwords import bcrypt

pytestmark = pytest.mark.processes

MONITORING = ("prometheus", "alertmanager")
KINDS = ("reconciler", *MONITORING)
SHOWN = {
    'up{job=~"prometheus|alertmanager|.*reconciler"} == 1': len(KINDS),
    "trading_ops_watchdog_last_seen_timestamp_seconds > 0": 1,
    "trading_ops_poll_last_success_timestamp_seconds > 0": len(MONITORING),
}
"""Queries and how many series they have: scrapes, the webhook, and the polls of both."""


@dataclass(frozen=True)
class Protected:
    """The installation, and what asks in it as the command line does."""

    folder: Path
    settings: Settings
    registry: Registry
    session: aiohttp.ClientSession

    @property
    def monitoring(self) -> Monitoring:
        return Monitoring(self.session, self.settings, self.registry)

    async def command(self, *arguments: str) -> tuple[int, Any]:
        """Run a command; return its exit code and its JSON."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "trading_ops.cli.main", *arguments, "--output", "json"),
            env=_environment(self.folder),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, problem = await process.communicate()
        assert output, problem.decode()
        return process.returncode or 0, json.loads(output)


def _environment(folder: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "TRADING_OPS_ROOT": str(folder)}  # noqa: TID251


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Follow the documented steps."""
    create(tmp_path, shipped())
    targets = [
        {"name": kind, "kind": kind, "address": f"127.0.0.1:{free_port()}", "tls": True}
        for kind in KINDS
    ]
    (tmp_path / "targets.yml").write_text(yaml.safe_dump({"version": 1, "targets": targets}))
    prometheus = tmp_path / "prometheus" / "prometheus.yml"
    config = yaml.safe_load(prometheus.read_text())
    clients = [scrape for scrape in config["scrape_configs"] if scrape["job_name"] in MONITORING]
    for client in [*clients, *config["alerting"]["alertmanagers"]]:
        server = client.get("job_name", "alertmanager")
        client["basic_auth"] = {
            "username": "trading-ops",
            "password_file": f"secrets/{server}_password",
        }
    prometheus.write_text(yaml.safe_dump(config, sort_keys=False))
    monkeypatch.setenv("TRADING_OPS_ROOT", str(tmp_path))
    assert run(["tls", "init"]) == ExitCode.OK
    assert run(["config", "apply"]) == ExitCode.OK
    for server in MONITORING:
        password = f"of-{server}"
        for secrets in ("secrets", "prometheus/secrets"):
            file = tmp_path / "var" / secrets / f"{server}_password"
            file.write_text(password)
            file.chmod(0o600)
        web = tmp_path / "var" / server / "web.yml"
        users = {"basic_auth_users": {"trading-ops": bcrypt(password)}}
        web.write_text(web.read_text() + yaml.safe_dump(users))
    return tmp_path


@asynccontextmanager
async def protected(folder: Path) -> AsyncIterator[Protected]:
    """Run all three of them."""
    settings = load_settings(folder, {})
    registry = load_targets(settings.targets_file)
    where = {kind: registry.one(kind) for kind in (Kind.PROMETHEUS, Kind.ALERTMANAGER)}
    programs = {
        "alertmanager": (alertmanager_program(), "--storage.path", "--cluster.listen-address="),
        "prometheus": ("prometheus", "--storage.tsdb.path"),
    }
    async with AsyncExitStack() as stack:
        for name, (program, data, *more) in programs.items():
            own = folder / "var" / name
            flags = (
                f"--config.file={own / name}.yml",
                f"--web.config.file={own / 'web.yml'}",
                f"--web.listen-address={where[Kind(name)].address}",
                f"{data}={own / 'data'}",
            )
            await stack.enter_async_context(_running(folder, name, program, *flags, *more))
        await stack.enter_async_context(
            _running(folder, "reconciler", sys.executable, "-m", "trading_ops.app")
        )
        session = await stack.enter_async_context(session_of(settings))
        yield Protected(folder, settings, registry, session)


@asynccontextmanager
async def _running(folder: Path, name: str, *argv: str) -> AsyncIterator[None]:
    with (folder / f"{name}.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *argv, env=_environment(folder), stdout=log, stderr=log
        )
    try:
        yield
    finally:
        process.terminate()
        await process.wait()


async def test_all_of_ours_go_through_and_no_one_else(folder: Path) -> None:
    """Polls, webhooks, silences and commands; a stranger fails at TLS or at the password."""
    async with protected(folder) as scene:
        prometheus = Prometheus(scene.monitoring.prometheus())
        (reached,) = scene.monitoring.alertmanagers()
        alertmanager = Alertmanager(reached)

        async def delivered() -> bool:
            try:
                return any(
                    alert.labels.get("alertname") == "Watchdog"
                    for alert in (await alertmanager.alerts()).values()
                )
            except Unreachable:
                return False

        await eventually(delivered, within=30, what=f"the Watchdog; see {folder}/*.log")

        for query, number in SHOWN.items():

            async def is_shown(query: str = query, number: int = number) -> bool:
                return len(await prometheus.query(query)) == number

            await eventually(is_shown, within=30, what=f"{query}; see {folder}/*.log")
        await _silences_work(alertmanager)
        await _commands_work(scene)
        await _strangers_are_refused(scene)


async def _silences_work(alertmanager: Alertmanager) -> None:
    now = clock.now()
    key = await alertmanager.silence(
        {"alertname": "TradingBotDown"},
        starts=now,
        ends=now + timedelta(hours=1),
        owner="anna",
        comment="a test",
    )
    assert [silence.id for silence in await alertmanager.silences()] == [key]
    await alertmanager.expire(key)
    assert await alertmanager.silences() == []


async def _commands_work(scene: Protected) -> None:
    _, found = await scene.command("doctor")
    checks = {check["name"]: check["ok"] for check in found["checks"]}
    assert all(checks[f"{kind} {kind}"] for kind in KINDS), checks
    for name in ("Prometheus", "rules in Prometheus", "alerts to Alertmanager", "Alertmanager"):
        assert checks[name], found
    assert checks["receiver in Alertmanager"], found
    code, found = await scene.command("status")
    assert code == ExitCode.OK, found


async def _strangers_are_refused(scene: Protected) -> None:
    own = calling(TlsFiles(scene.settings.tls, "operator"))
    for server, path in (
        ("prometheus", "/api/v1/query?query=up"),
        ("alertmanager", "/api/v2/status"),
    ):
        url = scene.registry.one(Kind(server)).url
        with pytest.raises(Refused, match="401"):
            await Http(scene.session, url, tls=own).get(path)
        async with aiohttp.ClientSession() as stranger:
            with pytest.raises(Unreachable):
                await Http(stranger, url, basic=f"trading-ops:of-{server}").get(path)
