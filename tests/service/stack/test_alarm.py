"""What the supervisor tells Alertmanager itself, and what tells Prometheus of the supervisor."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.rules.configuration import load_rules
from tests.service.stack.small_processes import PATIENCE_SECONDS, supervising, until
from tests.unit.stack.registries import settings_in
from trading_ops.agent.fence import FenceKeeper
from trading_ops.clients.http import Http
from trading_ops.domain.target import Kind, Registry, Target
from trading_ops.services.api import HEALTHY
from trading_ops_lab.supervisor.control import build
from trading_ops_lab.supervisor.direct_alerts import Alarm, watched


@dataclass
class World:
    """A Prometheus, a reconciler and an Alertmanager in one server."""

    answers: bool = True
    takes: bool = True
    posted: list[dict[str, Any]] = field(default_factory=list)

    async def healthy(self, _request: web.Request) -> web.Response:
        if not self.answers:
            raise web.HTTPServiceUnavailable
        return web.Response()

    async def alerts(self, request: web.Request) -> web.Response:
        if not self.takes:
            raise web.HTTPServiceUnavailable
        self.posted += await request.json()
        return web.Response()

    @contextlib.asynccontextmanager
    async def watching(self, down_seconds: float = 0.0) -> AsyncIterator[asyncio.Task[None]]:
        app = web.Application()
        app.add_routes(
            [web.get("/-/healthy", self.healthy), web.post("/api/v2/alerts", self.alerts)]
        )
        async with TestServer(app) as server, aiohttp.ClientSession() as session:
            address = f"127.0.0.1:{server.port}"
            names = watched(settings_in(Path("var")), registry(address))
            alertmanagers = [Http(session, f"http://{address}")]
            alarm = Alarm(
                session, names, alertmanagers, down_seconds=down_seconds, pause_seconds=0.01
            )
            task = asyncio.create_task(alarm.run())
            try:
                yield task
            finally:
                task.cancel()
                await asyncio.wait({task})


def registry(address: str) -> Registry:
    kinds = (Kind.PROMETHEUS, Kind.RECONCILER)
    return Registry(tuple(Target(name=kind, kind=kind, address=address) for kind in kinds))


def names(posted: list[dict[str, Any]]) -> set[str]:
    return {alert["labels"]["alertname"] for alert in posted}


async def test_silence_and_recovery_of_an_agent_are_reported() -> None:
    """Again and again while it is down, once when it answers."""
    world = World(answers=False)
    async with world.watching():
        await until(lambda: len(world.posted) >= 4)
        assert names(world.posted) == {"TradingOpsPrometheusDown", "TradingOpsReconcilerDown"}
        assert not any("endsAt" in alert for alert in world.posted)
        world.answers = True
        await until(lambda: len([alert for alert in world.posted if "endsAt" in alert]) == 2)


async def test_an_alertmanager_that_is_away_is_tried_again() -> None:
    """The watch continues until it takes the alert."""
    world = World(answers=False, takes=False)
    async with world.watching() as task:
        await asyncio.wait({task}, timeout=0.1)
        world.takes = True
        await until(lambda: bool(world.posted))


async def test_a_short_absence_is_not_reported() -> None:
    """A restart takes seconds."""
    world = World(answers=False)
    async with world.watching(down_seconds=PATIENCE_SECONDS) as task:
        await asyncio.wait({task}, timeout=0.3)
        assert not task.done()
        assert world.posted == []


@pytest.mark.parametrize("number", [0, 1])
def test_the_labels_are_those_of_the_rule(number: int) -> None:
    """So that Alertmanager takes both for one alert, and routes it as it routes the rule's."""
    labels = dict(watched(settings_in(Path("var")), registry("127.0.0.1:9090"))[number].labels)
    name = labels.pop("alertname")
    (rule,) = (rule for rule in load_rules() if rule.name == name)
    labels.pop("instance", None)  # the rule keeps it from its series
    assert labels == rule.labels


async def test_prometheus_sees_that_the_supervisor_answers(tmp_path: Path) -> None:
    """Without a token, and with no metrics but its own refusals."""
    async with supervising(tmp_path) as supervisor:
        application = build(supervisor, FenceKeeper(tmp_path / "fence.json"), "token")
        async with (
            TestServer(application) as server,
            aiohttp.ClientSession() as session,
            session.get(server.make_url(HEALTHY)) as answer,
        ):
            assert answer.status == 200
            samples = [line for line in (await answer.text()).splitlines() if line[0] != "#"]
            assert samples == ["trading_ops_node_refused_total 0.0"]
            assert answer.content_type == "text/plain"
