"""A trading bot whose connection to its records is renewed on command; its metrics tell."""

import asyncio
import contextlib
import sqlite3
import threading
from functools import partial

import pytest

from tests.service.bot.conftest import Control
from tests.service.botkit.conftest import sample, until
from trading_ops.botkit.records.sql import Session
from trading_ops_lab.paper.bot.bot import Bot
from trading_ops_lab.paper.bot.config import BotConfig

pytestmark = pytest.mark.processes


def made(bot: Bot) -> float:
    return sample(bot.metrics, "trading_database_pool_connections_made_total", pool="records")


def beaten_since(bot: Bot, at: float) -> bool:
    return sample(bot.metrics, "trading_bot_heartbeat_timestamp_seconds") > at


async def test_the_records_have_a_new_connection_and_the_bot_trades_on(
    bot: Bot, control: Control
) -> None:
    """By both commands; no pass fails for it."""
    for number, name in enumerate(("recycle_pool", "reconnect_database"), 2):
        reply = await control.command(name)
        assert reply["outcome"] == "succeeded", reply
        assert made(bot) == number
        beats = sample(bot.metrics, "trading_bot_heartbeat_timestamp_seconds")
        await until(partial(beaten_since, bot, beats))
    assert sample(bot.metrics, "trading_circuit_breaker_state", component="store") == 0


async def test_records_that_are_locked_by_others_are_not_called_reconnected(
    bot: Bot, control: Control, config: BotConfig
) -> None:
    """The lock is not the bot's: the command fails and says so, and when it ends all continues."""
    with contextlib.closing(sqlite3.connect(config.state_dir / "bot.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        reply = await control.command("reconnect_database")
        other.rollback()
    assert reply["outcome"] == "failed", reply
    assert "locked" in reply["detail"]
    await bot.store.set_fact("after", 1)
    assert await bot.store.fact("after", int) == 1


async def test_the_bot_takes_care_of_its_records(bot: Bot, control: Control) -> None:
    """On command; then there is nothing to do."""

    def fill(session: Session) -> None:
        for number in range(2000):
            session.execute("INSERT INTO nonces (key, ceiling) VALUES (?, ?)", (f"k{number}", 1))

    await bot.store.transact(fill)
    reply = await control.command("optimize_records")
    assert reply["outcome"] == "succeeded", reply
    assert "analyze nonces: 2" in reply["detail"]
    reply = await control.command("optimize_records")
    assert reply["detail"] == "nothing to do"


async def test_the_check_of_the_records_leaves_their_writer_alone(
    bot: Bot, control: Control
) -> None:
    """It answers while the writer is busy: a large table takes seconds to count."""
    busy, end = threading.Event(), threading.Event()

    def write(_session: Session) -> None:
        busy.set()
        end.wait(30)

    writing = asyncio.create_task(bot.store.transact(write))
    await asyncio.to_thread(busy.wait)
    try:
        reply = await control.command("optimize_records")
    finally:
        end.set()
    await writing
    assert (reply["outcome"], reply["detail"]) == ("succeeded", "nothing to do")
