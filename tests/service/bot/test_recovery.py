"""Crash and recovery on the real venue: what was missed is found, and what is wrong stops the bot.

The witness is what the venue itself knows of the account, past every fault.
"""

import signal
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.service.bot.conftest import Control, Venue
from tests.service.botkit.conftest import sample, until
from trading_ops.botkit import failpoints
from trading_ops.botkit.failpoints import BotFailpoint
from trading_ops.botkit.orders.order import new_client_id
from trading_ops.botkit.reconciliation import component
from trading_ops_lab.paper.bot.bot import Bot
from trading_ops_lab.paper.bot.config import BotConfig

pytestmark = pytest.mark.slow

Spawn = Callable[[], subprocess.Popen[bytes]]

NAMES = {"XXBT": "BTC", "XETH": "ETH", "ZUSD": "USD", "SOL": "SOL"}
BEGAN_WITH = {"BTC": Decimal(1), "ETH": Decimal(10)}


def rows(folder: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(folder / "bot" / "bot.db")) as connection:
        return connection.execute(query).fetchall()


def recorded(folder: Path) -> dict[str, Decimal]:
    found = rows(folder, "SELECT currency, amount FROM expected_balances")
    return {name: Decimal(amount) for name, amount in found}


def recoveries(folder: Path) -> list[dict[str, Any]]:
    query = "SELECT code, detail FROM events WHERE kind = 'RECOVERY' ORDER BY id"
    return [{"code": code, **msgspec.json.decode(text)} for code, text in rows(folder, query)]


def causes(folder: Path) -> set[str]:
    return {
        discrepancy["cause"]
        for event in recoveries(folder)
        for discrepancy in event.get("found", [])
    }


async def balances_at(venue: Venue) -> dict[str, Decimal]:
    balances = (await venue.account())["balances"]
    return {NAMES[name]: Decimal(amount) for name, amount in balances.items()}


async def agree(venue: Venue, bot: Bot) -> None:
    """Records and venue are the same, to the last digit, and so are positions."""
    there = await balances_at(venue)
    assert bot.book.expected == there
    for symbol, held in bot.book.positions.items():
        base = symbol.partition("/")[0]
        assert held.quantity == there[base] - BEGAN_WITH[base]


async def recovered(bot: Bot) -> None:
    await until(lambda: bot.reconciliation.recovered)


async def held(bot: Bot, hold_id: str) -> None:
    await until(lambda: hold_id in {hold.id for hold in bot.agent.holds.holds})


async def test_nothing_is_submitted_before_the_comparison(bot: Bot, venue: Venue) -> None:
    """The first order comes after the account was read, and the metrics say so."""
    await until(lambda: venue.journal("order_added"))
    assert bot.reconciliation.recovered
    assert sample(bot.metrics, "trading_recovery_complete") == 1
    assert sample(bot.metrics, "trading_reconciliations_total", result="clean") >= 1


async def test_killed_in_the_middle_of_trading(
    venue: Venue, spawn: Spawn, config: BotConfig, tmp_path: Path
) -> None:
    """What was filled after kill -9 is found by the next process, and counted once."""
    process = spawn()
    await until(lambda: venue.journal("order_filled"), within=60)
    await until(venue.open_orders, within=60)
    process.send_signal(signal.SIGKILL)
    process.wait()
    bot = Bot(config)
    await bot.start()
    await recovered(bot)
    await bot.orders.cancel_all()
    await bot.reconciliation.check_now()
    await agree(venue, bot)
    assert bot.agent.holds.holds == ()
    await bot.stop()


@pytest.mark.parametrize("instead", [None, "EService:Timeout"], ids=["cut", "an error"])
@pytest.mark.parametrize("count", [1, 5])
async def test_answers_that_are_lost(
    bot: Bot, venue: Venue, count: int, instead: str | None
) -> None:
    """An order whose answer is lost is found by asking, and is never sent twice."""
    await recovered(bot)
    await venue.break_("lost_answer", methods=["AddOrder"], count=count, instead=instead)
    await until(lambda: len(venue.journal("order_added")) > count, within=60)
    await bot.orders.cancel_all()
    await bot.reconciliation.check_now()
    sent = [entry["client_order_id"] for entry in venue.journal("order_added")]
    assert len(sent) == len(set(sent))
    await agree(venue, bot)


async def test_deposit_is_counted_and_trading_goes_on(bot: Bot, venue: Venue) -> None:
    """A deposit is explained by the venue's ledger."""
    await recovered(bot)
    await venue.deposit("USD", "250.5")
    await bot.reconciliation.check_now()
    await until(lambda: not bot.agent.holds.holds and bot.book.expected["USD"] > 100_000)
    assert sample(bot.metrics, "trading_discrepancies_total", cause="balance") == 1


async def test_someone_trades_on_the_account(bot: Bot, venue: Venue, tmp_path: Path) -> None:
    """It is counted at once, and an operator must say that it was meant."""
    await recovered(bot)
    await venue.by_hand(pair="XBTUSD", type="sell", ordertype="market", volume="0.1")
    await bot.reconciliation.check_now()
    await held(bot, "recovery-external_trade-BTC/USD")
    assert "external_trade" in causes(tmp_path)
    await bot.orders.cancel_all()
    await bot.reconciliation.check_now()
    assert bot.book.expected == await balances_at(venue)
    assert sample(bot.metrics, "trading_position_drift", symbol="BTC/USD") == 0


async def test_order_that_the_records_do_not_know(bot: Bot, venue: Venue, tmp_path: Path) -> None:
    """It is ours by its id: it is recorded, cancelled, and reported as an orphan."""
    await recovered(bot)
    order = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit"}
    order |= {"volume": "0.01", "price": "10000", "cl_ord_id": new_client_id("alpha")}
    placed = await venue.by_hand(**order)
    await until(lambda: placed["order"] not in venue.open_orders())
    await until(lambda: "orphaned_order" in causes(tmp_path))
    assert bot.agent.holds.holds == ()


async def test_records_that_are_gone(
    venue: Venue, spawn: Spawn, config: BotConfig, tmp_path: Path
) -> None:
    """Without its database the bot finds its own trades in the venue's history."""
    process = spawn()
    await until(lambda: venue.journal("order_filled"), within=60)
    process.send_signal(signal.SIGKILL)
    process.wait()
    # Nothing rests at the venue any more, so nothing fills while the bot starts.
    await until(lambda: venue.journal("dead_man_fired") or not venue.open_orders(), within=30)
    for path in (tmp_path / "bot").glob("bot.db*"):
        path.unlink()
    bot = Bot(config)
    await bot.start()
    await recovered(bot)
    await bot.orders.cancel_all()
    await bot.reconciliation.check_now()
    await agree(venue, bot)
    assert causes(tmp_path) or bot.book.positions
    await bot.stop()


async def test_a_crash_while_records_are_begun(
    venue: Venue, config: BotConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the account was opened with, long ago, is in the balances and is not counted again."""
    monkeypatch.setattr(component, "OVERLAP_SECONDS", 0.0)  # so that "long ago" is before now
    left = [BotFailpoint.BALANCES_ADOPTED]

    def crash(place: BotFailpoint) -> None:
        if place in left:
            left.remove(place)
            raise RuntimeError("a crash at this place")

    monkeypatch.setattr(failpoints, "_watchers", [crash])
    bot = Bot(config)
    await bot.start()
    await until(lambda: bot.reconciliation.recovered, within=60)
    assert not left
    await bot.orders.cancel_all()
    await bot.reconciliation.check_now()
    await agree(venue, bot)
    assert bot.agent.holds.holds == ()
    await bot.stop()


async def test_what_nothing_explains_is_a_persons_matter(
    bot: Bot, venue: Venue, control: Control, config: BotConfig
) -> None:
    """The bot halts, stays halted over a restart, and continues when an operator has settled it."""
    await recovered(bot)
    await bot.orders.cancel_all()
    # No one can take money out of the venue without an entry: so ours are made wrong instead.
    await bot.book.adopt_balances({**bot.book.expected, "USD": bot.book.expected["USD"] + 7})
    for _ in range(2):
        await bot.reconciliation.check_now()
    await held(bot, "recovery-balance-USD")
    assert sample(bot.metrics, "trading_balance_drift", currency="USD") == 7
    await bot.stop()
    again = Bot(config)
    await again.start()
    await until(lambda: "operator" in again.reconciliation.detail)
    assert not again.reconciliation.recovered
    assert sample(again.metrics, "trading_recovery_complete") == 0
    assert [hold.id for hold in again.agent.holds.holds] == ["recovery-balance-USD"]
    await control.command("accept_venue", owner="anna", reason="fees of June")
    await control.command("resume", owner="anna", reason="settled", holds="recovery-balance-USD")
    await recovered(again)
    seq = venue.last_seq()
    await until(lambda: venue.journal("order_added", after=seq), within=60)
    await again.stop()
