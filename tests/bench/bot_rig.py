"""A real bot in this process on a real venue in another, for the benches of the bot.

It makes passes as slowly as its settings allow, so that a bench makes them itself.
"""

import json
import logging
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.crash.bot_venue import BotVenue
from tests.waiting import eventually
from trading_ops import logs
from trading_ops_lab.paper.bot.bot import Bot
from trading_ops_lab.paper.bot.config import load_config

SEED = 11
QUIET = {
    "pass_interval_seconds": 3600.0,
    "holds_wait_seconds": 0,
    "reconcile_seconds": 3600.0,
    "probe_interval_seconds": 1.0,
    "dead_man_seconds": 3600,
    "order_lifetime_seconds": 3600.0,
    "stale_seconds": 3600.0,
    "protection": "none",
    "risk": {"orders": 1_000_000, "daily_loss": "1000", "total_drawdown": "1000"},
}
"""Nothing but the bench asks for orders, and no limit stands in its way; every check is made."""


@asynccontextmanager
async def bot_at_a_venue(**settings: object) -> AsyncIterator[tuple[Bot, BotVenue]]:
    """Run both until the context is left; the bot has recovered and has quotes when it begins."""
    logs.configure("bench", level=logging.getLevelName(logging.ERROR))
    with tempfile.TemporaryDirectory(prefix="bench-bot-") as name:
        world = BotVenue(Path(name) / "world", SEED)
        await world.start()
        try:
            path = world.folder / "bot.json"
            path.write_text(json.dumps(json.loads(path.read_text()) | QUIET | settings))
            bot = Bot(load_config(path))
            await bot.start()
            try:
                await eventually(lambda: is_ready(bot), within=60, what="the bot is ready")
                yield bot, world
            finally:
                await bot.stop()
        finally:
            await world.stop()


def is_ready(bot: Bot) -> bool:
    """Say whether it has recovered, and may trade."""
    symbols = {"BTC/USD", "ETH/USD"}
    watched = bot.risk.unknown_reason() is None
    return (
        bot.reconciliation.recovered and bot.broker.up and watched and symbols <= {*bot.feed.quotes}
    )
