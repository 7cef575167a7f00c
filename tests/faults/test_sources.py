"""Sources that lie: old answers of a cache, a lost silence, samples from the future."""

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.rules.configuration import run_tool
from tests.rules.stored_history import HOUR, Series
from tests.stack import Stack, running_stack
from tests.waiting import eventually
from trading_ops import clock
from trading_ops.domain.target import Kind
from trading_ops.errors import TradingOpsError
from trading_ops_lab.drills.lab_clients import Scene, open_scene
from trading_ops_lab.drills.preflight import wait_until_calm

pytestmark = pytest.mark.faults

OLD_SECONDS = 15
"""Less than the 30 s in which an alert that only a notification reported may still appear."""


@asynccontextmanager
async def paused(scene: Scene) -> AsyncIterator[None]:
    """Nothing is remediated inside."""
    await scene.reconciler.pause(owner="test", reason="the fault comes first", seconds=900)
    try:
        yield
    finally:
        await scene.reconciler.resume(owner="test")


async def trades(stack: Stack, scene: Scene) -> bool:
    """Whether the bot runs, and is held by nothing."""
    try:
        health = await scene.directory.bot(scene.bot("alpha")).health()
    except TradingOpsError:
        return False
    return stack.processes()["bot-alpha"]["state"] == "ready" and health.state == "active"


async def opened(scene: Scene) -> list[str]:
    """Return the open incidents of the dead bot."""
    filters = {"alertname": "TradingBotDown", "open": "true"}
    return [incident.id for incident in await scene.reconciler.incidents(**filters)]


async def test_an_acknowledgement_outlives_the_data_of_alertmanager(
    stack: Stack, scene: Scene
) -> None:
    """Its silence is gone with the disk; the reconciler places it again."""
    await wait_until_calm(scene, scene.bot("alpha"))

    async def silenced_by() -> set[str]:
        return {
            silence.id
            for silence in await scene.alertmanager.silences()
            if incident in silence.comment
        }

    async with paused(scene):
        os.kill(stack.processes()["bot-alpha"]["pid"], signal.SIGKILL)
        (incident,) = await eventually(lambda: opened(scene), within=60)
        await scene.reconciler.acknowledge(incident, owner="anna", note="on it")
        before = await eventually(silenced_by, within=30)
        await asyncio.to_thread(stack.supervisor.stop, "alertmanager")
        shutil.rmtree(stack.settings.var / "alertmanager" / "data")
        await asyncio.to_thread(stack.supervisor.start, "alertmanager")

        async def back() -> bool:
            try:
                now = await silenced_by()
            except TradingOpsError:
                return False
            return bool(now) and not now & before

        await eventually(back, within=90)
        assert await opened(scene) == [incident]
        await scene.reconciler.unacknowledge(incident, owner="anna")
    await eventually(lambda: trades(stack, scene), within=90)


@dataclass
class Cache:
    """A caching proxy before one source; while `is_old`, it repeats what it answered before."""

    source: str = ""
    is_old: bool = False
    repeated: set[str] = field(default_factory=set)
    """The paths whose old answers were given."""

    _answers: dict[str, tuple[int, bytes, str]] = field(default_factory=dict)

    async def handle(self, request: web.Request) -> web.Response:
        if not self.source:
            raise web.HTTPServiceUnavailable
        key = request.path_qs
        if self.is_old and request.method == "GET" and key in self._answers:
            self.repeated.add(request.path)
        else:
            async with (
                aiohttp.ClientSession() as session,
                session.request(
                    request.method,
                    self.source + key,
                    data=await request.read(),
                    headers={"Content-Type": request.content_type},
                ) as answer,
            ):
                self._answers[key] = answer.status, await answer.read(), answer.content_type
        status, body, kind = self._answers[key]
        return web.Response(status=status, body=body, content_type=kind)

    def knows(self, path: str) -> bool:
        """Whether it has an answer to repeat."""
        return any(key.startswith(path) for key in self._answers)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.handle)
        async with TestServer(app, host="127.0.0.1") as server:
            yield f"http://127.0.0.1:{server.port}"


@asynccontextmanager
async def started(folder: Path, environ: dict[str, str]) -> AsyncIterator[Stack]:
    """Start a stack while this loop runs on, and stop it at the end."""
    running = running_stack(folder, environ=environ)
    stack = await asyncio.to_thread(running.__enter__)
    try:
        yield stack
    finally:
        await asyncio.to_thread(running.__exit__, None, None, None)


async def test_old_answers_of_a_cache_close_nothing(tmp_path: Path) -> None:
    """Both sources still show a healthy bot after the notification; then they tell the truth."""
    prometheus, alertmanager = Cache(), Cache()
    async with (
        prometheus.serving() as first,
        alertmanager.serving() as second,
        started(
            tmp_path,
            {"TRADING_OPS_PROMETHEUS_URL": first, "TRADING_OPS_ALERTMANAGER_URL": second},
        ) as stack,
        open_scene(stack.settings) as scene,
    ):
        prometheus.source = stack.registry.one(Kind.PROMETHEUS).url
        alertmanager.source = stack.registry.one(Kind.ALERTMANAGER).url
        await wait_until_calm(scene, scene.bot("alpha"))
        await eventually(
            lambda: prometheus.knows("/api/v1/alerts") and alertmanager.knows("/api/v2/alerts")
        )
        prometheus.is_old = alertmanager.is_old = True
        dead = stack.processes()["bot-alpha"]
        os.kill(dead["pid"], signal.SIGKILL)
        before = await eventually(lambda: opened(scene), within=60)
        await asyncio.sleep(OLD_SECONDS)
        assert await opened(scene) == before
        assert stack.processes()["bot-alpha"]["incarnation"] == dead["incarnation"]
        assert "/api/v1/alerts" in prometheus.repeated
        assert "/api/v2/alerts" in alertmanager.repeated
        prometheus.is_old = alertmanager.is_old = False
        await eventually(lambda: trades(stack, scene), within=60)


async def test_samples_from_the_future_are_mailed_as_a_clock_that_stepped(
    stack: Stack, scene: Scene, tmp_path: Path
) -> None:
    """Prometheus takes no new samples until then; the dead man's switch must notice too."""
    address = stack.registry.one(Kind.RECONCILER).address
    up = Series(
        name="up",
        labels={"job": "trading-reconciler", "instance": address},
        curve=lambda _age: 1.0,
        hours=2.0,
    )
    text = tmp_path / "future.txt"
    lines = up.lines(clock.timestamp() + HOUR)
    text.write_text("\n".join([*lines, "# EOF", ""]), encoding="utf-8")
    await asyncio.to_thread(stack.supervisor.stop, "prometheus")
    data = stack.settings.var / "prometheus" / "data"
    await asyncio.to_thread(
        run_tool, "promtool", "tsdb", "create-blocks-from", "openmetrics", text, data
    )
    await asyncio.to_thread(stack.supervisor.start, "prometheus")

    def mailed() -> bool:
        files = (stack.settings.var / "mail").glob("*.eml")
        mails = [path.read_text(errors="replace") for path in files]
        return any("[FIRING] TradingOpsClockStepped" in mail for mail in mails)

    await eventually(mailed, within=120)
    assert not (await scene.prometheus.view()).watchdog_seen
