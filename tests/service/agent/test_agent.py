"""Metrics, health, holds and the agent's own life."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest

from tests.service.agent.conftest import AGENT_TOKEN, METRICS_TOKEN, Asker, Bot
from trading_ops import clock
from trading_ops.agent import Agent, ComponentHealth, Health
from trading_ops.agent.incarnation import incarnation
from trading_ops.errors import SetupError
from trading_ops.instrument import BotMetrics


@pytest.mark.parametrize("token", [METRICS_TOKEN, AGENT_TOKEN])
async def test_metrics_come_in_three_cuts(ask: Asker, token: str) -> None:
    """Either token reads everything, the vital few, or everything but those."""
    _, everything = await ask.get("/metrics", token)
    _, vital = await ask.get("/metrics/vital", token)
    _, rest = await ask.get("/metrics?exclude=vital", token)
    assert "trading_component_up{" in everything
    assert "trading_component_up{" in vital
    assert "trading_component_up{" not in rest
    assert "process_resident_memory_bytes" not in vital
    assert "process_resident_memory_bytes" in rest


async def test_metrics_follow_the_accept_header(ask: Asker) -> None:
    """Prometheus gets OpenMetrics with the content type that says so."""
    headers = {
        "Authorization": f"Bearer {METRICS_TOKEN}",
        "Accept": "application/openmetrics-text;version=1.0.0",
    }
    async with ask.http.get(f"{ask.url}/metrics", headers=headers) as answer:
        assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
        assert (await answer.read()).endswith(b"# EOF\n")


async def test_health_reports_what_the_bot_says(ask: Asker, bot: Bot, metrics: BotMetrics) -> None:
    """Health carries the process's identity, the state and each component."""
    beat = clock.timestamp()
    bot.health = Health(
        heartbeat_at=beat,
        components={"broker": ComponentHealth(up=True, last_success_at=beat, detail="well")},
    )
    _, health = await ask.get("/health", METRICS_TOKEN)
    assert (health.pop("events")["head"], health["bot"]) == (0, "alpha")
    assert health == {
        "bot": "alpha",
        "status": "ok",
        "incarnation": incarnation(os.getpid()),
        "started_at": metrics.started_at,
        "heartbeat_at": beat,
        "state": "active",
        "holds": [],
        "released": [],
        "awaiting_holds": False,
        "role": None,
        "recovered": None,
        "components": {"broker": {"up": True, "last_success_at": beat, "detail": "well"}},
    }


@pytest.mark.parametrize(
    ("age", "up", "status"),
    [(0, True, "ok"), (0, False, "degraded"), (60, True, "failing"), (60, False, "failing")],
)
async def test_status_follows_heartbeat_then_components(
    ask: Asker, bot: Bot, age: float, up: bool, status: str
) -> None:
    """An old heartbeat outweighs components that are up."""
    bot.health = Health(
        heartbeat_at=clock.timestamp() - age, components={"feed": ComponentHealth(up=up)}
    )
    assert (await ask.get("/health"))[1]["status"] == status


async def test_health_that_raises_is_failing(ask: Asker, bot: Bot) -> None:
    """A bot that cannot tell its health is not healthy, and the answer still comes."""
    bot.health = None  # type: ignore[assignment]  # what a broken callable may give
    status, health = await ask.get("/health")
    assert (status, health["status"], health["components"]) == (200, "failing", {})


async def test_most_restrictive_hold_wins_and_survives(
    ask: Asker,
    agent: Agent,
    metrics: BotMetrics,
    start: Callable[[], Agent],
    http: aiohttp.ClientSession,
) -> None:
    """A halt outweighs a reduce, outlives a restart, and ends only when released by name."""

    def exported() -> str:
        values = {
            state: metrics.registry.get_sample_value("trading_state", {"state": state})
            for state in ("active", "reducing", "halted")
        }
        assert sum(value or 0 for value in values.values()) == 1
        return max(values, key=lambda state: values[state] or 0)

    assert exported() == "active"
    await ask.command("reduce", owner="risk", reason="drawdown", id="r1")
    assert (agent.holds.state, exported()) == ("reducing", "reducing")
    await ask.command("halt", owner="anna", reason="strange prices", id="h1")
    await ask.command("halt", owner="anna", reason="strange prices", id="h1")
    assert exported() == "halted"
    restarted = start()
    assert restarted.holds.state == "halted"
    again = Asker(http, f"http://127.0.0.1:{restarted.port}")
    _, health = await again.get("/health")
    assert [hold["id"] for hold in health["holds"]] == ["r1", "h1"]
    _, answer = await again.command("resume", owner="bert", reason="looked at it", holds="h1")
    assert answer["detail"] == "1 holds were released by bert; the state is reducing"
    assert exported() == "reducing"
    await again.command("resume", owner="bert", reason="all well", holds="all")
    assert restarted.holds.state == "active"
    assert start().holds.state == "active"


async def test_taken_port_is_a_clear_sentence(agent: Agent, bot: Bot, tmp_path: Path) -> None:
    """An agent whose port is taken says so, and stopping it afterwards is harmless."""
    folder = tmp_path / "other"
    folder.mkdir()
    second = Agent(
        name="beta",
        address=("127.0.0.1", agent.port),
        metrics=BotMetrics(version="1", mode="paper"),
        health=Health,
        commands={},
        state_dir=folder,
        metrics_token=METRICS_TOKEN,
        agent_token=AGENT_TOKEN,
    )
    with pytest.raises(SetupError, match=rf"cannot listen on 127.0.0.1:{agent.port}"):
        second.start()
    second.stop()


async def test_stopped_agent_is_gone(agent: Agent, ask: Asker) -> None:
    """After stop the port is closed; stopping twice does nothing."""
    await asyncio.to_thread(agent.stop)
    agent.stop()
    with pytest.raises(aiohttp.ClientConnectionError):
        await ask.get("/health")


async def test_wrong_tokens_are_counted(ask: Asker) -> None:
    """A request without any token is not: browsers and health checks send those."""
    for path in ("/health", "/events", "/metrics"):
        assert (await ask.get(path, "guessed"))[0] == 401
    async with ask.http.get(ask.url + "/health") as answer:
        assert answer.status == 401
    _, text = await ask.get("/metrics")
    assert "\ntrading_agent_refused_total 3\n" in text
