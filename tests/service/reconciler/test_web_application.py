"""A bot inside a web application, remediated through the application's own port."""

import asyncio
import contextlib
from pathlib import Path

from tests.fakes import FakeWorld
from tests.service.examples.price_source import PriceSource
from tests.service.examples.running import AGENT_TOKEN, Example, running
from tests.service.reconciler.conftest import RUNBOOK, Start
from tests.waiting import eventually
from trading_ops.config.settings import Settings

TICKS = "trading_market_data_messages_total"
RESTART_FEED = (
    "  - {action: restart_component, with: {component: feed}, timeout: 60s, verify_within: 60s}"
)


async def test_a_stuck_feed_is_restarted(
    start: Start, world: FakeWorld, settings: Settings, tmp_path: Path
) -> None:
    """The alert lasts until the feed of the FastAPI example moves again."""
    (settings.runbooks / "BotSick.md").write_text(
        RUNBOOK.format(alert="BotSick", steps=RESTART_FEED)
    )
    (settings.secrets / "agent_token_alpha").write_text(AGENT_TOKEN)
    async with (
        PriceSource() as source,
        running("fastapi_bot.py", tmp_path / "bot", source.url) as example,
        start(bot=example.address) as reconciler,
    ):
        await example.until(TICKS, symbol="BTC/USD")
        source.hang()
        await eventually(source.has_hanging_request, what="a request that gets no answer")
        watching = asyncio.create_task(_end_with_a_tick(example, world))
        await reconciler.break_it()
        await eventually(reconciler.closed)
        timeline = await reconciler.timeline()
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
    (attempt,) = timeline["attempts"]
    assert (attempt["action"], attempt["state"]) == ("restart_component", "verified")
    assert world.commands == []


async def _end_with_a_tick(example: Example, world: FakeWorld) -> None:
    """End the alert when the feed moves, as Prometheus does."""
    before = await example.value(TICKS, symbol="BTC/USD") or 0

    async def moves() -> bool:
        return (await example.value(TICKS, symbol="BTC/USD") or 0) > before

    await eventually(moves, within=120, what="a tick")
    world.firing = False
