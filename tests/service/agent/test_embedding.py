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
    (tmp_path / "metrics_token").write_text("metrics_token-of-a-test\n")
    (tmp_path / "agent_token_alpha").write_text("agent_token-of-a-test\n")
    return tmp_path


async def health(port: int) -> dict[str, object]:
    headers = {"Authorization": "Bearer agent_token-of-a-test"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.get(f"http://127.0.0.1:{port}/health") as answer,
    ):
        reply: dict[str, object] = await answer.json()
        return reply


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


async def refused(metrics: BotMetrics, secrets: Path, file: str) -> None:
    with pytest.raises(SetupError, match=rf"{file} .*Fix:"):
        embed(metrics, "alpha", free_port(), secrets=secrets, state=secrets / "alpha")


async def test_a_missing_or_empty_token_is_named(metrics: BotMetrics, secrets: Path) -> None:
    """With its file and the fix; nothing listens then."""
    (secrets / "agent_token_alpha").write_text("\n")
    await refused(metrics, secrets, "agent_token_alpha")
    for spoil in (
        lambda: (secrets / "metrics_token").write_text("\n"),
        (secrets / "metrics_token").unlink,
    ):
        spoil()
        await refused(metrics, secrets, "metrics_token")


async def test_the_first_start_writes_the_bots_own_token(
    metrics: BotMetrics, secrets: Path
) -> None:
    """For this user only. With the shared one of an older version, the bot keeps that."""
    own, shared = secrets / "agent_token_alpha", secrets / "agent_token"
    own.unlink()
    shared.write_text("agent_token-of-a-test")
    port = free_port()
    bot = embed(metrics, "alpha", port, secrets=secrets, state=secrets / "alpha")
    try:
        assert (await health(port))["bot"] == "alpha"
        assert not own.exists()
    finally:
        await asyncio.to_thread(bot.stop)
    shared.unlink()
    again = BotMetrics(CollectorRegistry(), version="1", mode="paper")
    bot = embed(again, "alpha", free_port(), secrets=secrets, state=secrets / "alpha")
    await asyncio.to_thread(bot.stop)
    assert len(own.read_text()) == 64
    assert own.stat().st_mode & 0o777 == 0o600


async def test_a_folder_that_cannot_be_made_is_named(metrics: BotMetrics, secrets: Path) -> None:
    """Without it, a halt would not outlive the process."""
    (secrets / "file").write_text("")
    with pytest.raises(SetupError, match=r"file/alpha: Not a directory\. Fix:"):
        embed(metrics, "alpha", free_port(), secrets=secrets, state=secrets / "file" / "alpha")
