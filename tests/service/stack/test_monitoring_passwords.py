"""`monitoring_passwords: true`: no access to Prometheus or Alertmanager without the password."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.free_ports import free_port
from tests.stack import PORT
from tests.unit.stack.registries import REPOSITORY
from tests.waiting import eventually
from trading_ops.clients.alertmanager import Alertmanager
from trading_ops.clients.http import session_of
from trading_ops.clients.monitoring import Monitoring
from trading_ops.clients.prometheus import Prometheus
from trading_ops.config.loading import load_settings
from trading_ops.config.settings import Settings
from trading_ops.config.targets import parse_targets
from trading_ops.domain.target import Kind, Registry
from trading_ops.errors import Refused
from trading_ops_lab.supervisor.layout import lay_out
from trading_ops_lab.supervisor.processes import processes
from trading_ops_lab.supervisor.readiness import until_ready

pytestmark = pytest.mark.slow

MONITORING = (Kind.ALERTMANAGER, Kind.PROMETHEUS)
ALERT = {"labels": {"alertname": "TradingBotDown", "bot": "alpha", "severity": "critical"}}
SILENCE = {
    "matchers": [{"name": "bot", "value": ".*", "isRegex": True}],
    "startsAt": "2026-01-01T00:00:00Z",
    "endsAt": "2099-01-01T00:00:00Z",
    "createdBy": "a stranger",
    "comment": "all quiet",
}


@dataclass
class Protected:
    """Prometheus and Alertmanager as the lab starts them."""

    settings: Settings
    registry: Registry
    session: aiohttp.ClientSession

    @property
    def monitoring(self) -> Monitoring:
        return Monitoring(self.session, self.settings, self.registry)

    async def as_stranger(self, kind: Kind, method: str, path: str, body: Any = None) -> int:
        async with (
            aiohttp.ClientSession() as stranger,
            stranger.request(method, self.registry.one(kind).url + path, json=body) as answer,
        ):
            return answer.status


@asynccontextmanager
async def protected(folder: Path) -> AsyncIterator[Protected]:
    """Start both with the arguments and files of the lab."""
    text = (REPOSITORY / "targets.yml").read_text(encoding="utf-8")
    moved = PORT.sub(lambda _: f"127.0.0.1:{free_port()}", text)
    registry = parse_targets(moved, where="targets.yml")
    environ = {"TRADING_OPS_VAR": str(folder), "TRADING_OPS_MONITORING_PASSWORDS": "true"}
    settings = load_settings(REPOSITORY, environ)
    lay_out(settings, registry)
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(session_of(settings))
        for plan in processes(settings, registry):
            if plan.unit in set(MONITORING):
                await stack.enter_async_context(_running(plan.argv, folder / f"{plan.unit}.log"))
                await asyncio.wait_for(until_ready(plan.ready, session), 60)
        yield Protected(settings, registry, session)


@asynccontextmanager
async def _running(argv: Sequence[str], log: Path) -> AsyncIterator[None]:
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(*argv, stdout=output, stderr=output)
    try:
        yield
    finally:
        process.terminate()
        await process.wait()


async def test_a_stranger_is_refused_and_ours_go_through(tmp_path: Path) -> None:
    async with protected(tmp_path) as scene:
        for kind, method, path, body in (
            (Kind.ALERTMANAGER, "POST", "/api/v2/alerts", [ALERT]),
            (Kind.ALERTMANAGER, "POST", "/api/v2/silences", SILENCE),
            (Kind.ALERTMANAGER, "POST", "/-/reload", None),
            (Kind.ALERTMANAGER, "GET", "/api/v2/status", None),
            (Kind.PROMETHEUS, "GET", "/api/v1/query?query=up", None),
        ):
            assert await scene.as_stranger(kind, method, path, body) == 401, path

        alertmanager = Alertmanager(scene.monitoring.alertmanagers()[0])
        prometheus = Prometheus(scene.monitoring.prometheus())

        async def delivered() -> bool:
            alerts = (await alertmanager.alerts()).values()
            return any(alert.labels.get("alertname") == "Watchdog" for alert in alerts)

        # Prometheus shows its password to Alertmanager, and both take ours.
        await eventually(delivered, within=30, what="the Watchdog at Alertmanager")

        async def scraped() -> bool:
            up = await prometheus.query('up{job=~"prometheus|alertmanager"} == 1')
            return len(up) == len(MONITORING)

        await eventually(scraped, within=40, what="Prometheus scrapes both")
        wrong = tmp_path / "wrong"
        wrong.write_text("not the password")
        wrong.chmod(0o600)
        settings = load_settings(
            REPOSITORY,
            {
                "TRADING_OPS_VAR": str(tmp_path),
                "TRADING_OPS_PROMETHEUS_PASSWORD_FILE": str(wrong),
            },
        )
        refused = Monitoring(scene.session, settings, scene.registry).prometheus()
        with pytest.raises(Refused, match="401"):
            await Prometheus(refused).query("up")
