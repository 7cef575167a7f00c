"""The agent and the watchers in one call: what it needs, and what it says when that is missing."""

import asyncio
from pathlib import Path

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from tests.free_ports import free_port
from tests.waiting import eventually
from trading_ops.agent import embed
from trading_ops.errors import SetupError
from trading_ops.instrument import BotMetrics


@pytest.fixture
def metrics() -> BotMetrics:
    return BotMetrics(CollectorRegistry(), version="1", mode="paper")


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    for name in ("metrics_token", "agent_token"):
        (tmp_path / name).write_text(f"{name}-of-a-test\n")
    return tmp_path


async def health(port: int) -> dict[str, object]:
    headers = {"Authorization": "Bearer agent_token-of-a-test"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.get(f"http://127.0.0.1:{port}/health") as answer,
    ):
        told: dict[str, object] = await answer.json()
        return told


async def test_health_and_progress_are_the_heartbeat(metrics: BotMetrics, secrets: Path) -> None:
    """Its folder is made, what the bot says is what the agent tells, and its stop is an end."""
    port = free_port()
    bot = embed(metrics, "alpha", port, secrets=secrets, state=secrets / "of" / "alpha")
    try:
        metrics.heartbeat()
        fresh = await health(port)
        assert (fresh["heartbeat_at"], fresh["status"]) == (metrics.heartbeat_at, "ok")
        metrics.heartbeat(1.0)
        assert (await health(port))["status"] == "failing"

        async def watched() -> bool:
            samples = metrics.registry.get_sample_value
            return samples("trading_component_stuck", {"component": "passes"}) == 0

        await eventually(watched, what="the watchers")
    finally:
        await asyncio.to_thread(bot.stop)
    with pytest.raises(aiohttp.ClientError):
        await health(port)


@pytest.mark.parametrize("name", ["metrics_token", "agent_token"])
async def test_a_missing_or_empty_token_is_named(
    metrics: BotMetrics, secrets: Path, name: str
) -> None:
    """With its file and the fix; nothing listens then."""
    for spoil in (lambda: (secrets / name).write_text("\n"), (secrets / name).unlink):
        spoil()
        with pytest.raises(SetupError, match=rf"{name} .*Fix:"):
            embed(metrics, "alpha", free_port(), secrets=secrets, state=secrets / "alpha")


async def test_a_folder_that_cannot_be_made_is_named(metrics: BotMetrics, secrets: Path) -> None:
    """Without it, a halt would not outlive the process."""
    (secrets / "file").write_text("")
    with pytest.raises(SetupError, match=r"file/alpha: Not a directory\. Fix:"):
        embed(metrics, "alpha", free_port(), secrets=secrets, state=secrets / "file" / "alpha")
