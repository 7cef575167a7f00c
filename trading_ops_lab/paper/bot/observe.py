"""Observe mode: the bot starts on a copy of its state, follows prices and sends nothing.

A restore test starts it alongside the bot that trades. It sends no account requests either: a
second user of the key, with the nonces of the copy, would disturb the first.
"""

import asyncio
import contextlib
from pathlib import Path

from msgspec.structs import replace

from trading_ops.errors import SetupError, StoreError
from trading_ops_lab.paper.bot.bot import Bot
from trading_ops_lab.paper.bot.config import BotConfig

COMPONENTS = ("store", "feed", "signals")
STORE_SECONDS = 20.0
PRICES_SECONDS = 5.0


async def observe(config: BotConfig, folder: Path) -> str:
    """Start the bot on a copy of its state folder, stop it, and return what it restored.

    Args:
        config: of the bot.
        folder: the copy, which is changed.

    Raises:
        TradingOpsError: it does not start; its records or holds cannot be read or written.
    """
    if config.records is not None:
        raise SetupError(
            f"the records of {config.name} are in PostgreSQL, not in {folder}. Fix: remove "
            "`restore_test` from its entry in targets.yml"
        )
    if not (folder / "bot.db").exists():
        raise StoreError(f"{folder}/bot.db is missing: the copy has no records of {config.name}")
    bot = Bot(replace(config, state_dir=folder, nonce_dir=None, log_dir=None))
    try:
        await bot.observe(*COMPONENTS)
        try:
            async with asyncio.timeout(STORE_SECONDS):
                await bot.store.wait_up()
        except TimeoutError as error:
            raise StoreError(f"{folder}/bot.db: {bot.store.detail}") from error
        with contextlib.suppress(TimeoutError):  # the venue may be down; the state is intact
            async with asyncio.timeout(PRICES_SECONDS):
                await bot.feed.wait_up()
        return _description(bot)
    finally:
        await bot.end_observing()


def _description(bot: Bot) -> str:
    positions = {symbol: held.quantity for symbol, held in bot.book.positions.items()}
    held = ", ".join(f"{amount} {symbol}" for symbol, amount in positions.items() if amount)
    return (
        f"{bot.agent.holds.state.value.lower()}, {len(bot.book.open_orders())} open orders, "
        f"position {held or 'flat'}, mode {'paper' if bot.mode.paper else 'live'}, "
        f"prices {'received' if bot.feed.up else 'not received'}"
    )
