"""Balances on the real venue while its endpoint, its feed or both fail."""

from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from tests.service.bot.account_harness import Desk, desk_at
from tests.service.bot.conftest import SYMBOLS, Venue
from tests.service.botkit.conftest import sample, stays, until
from trading_ops.agent import Side
from trading_ops_lab.paper.bot.bot import Bot
from trading_ops_lab.paper.bot.config import BotConfig

pytestmark = pytest.mark.processes


@pytest.fixture
async def desk(venue: Venue, tmp_path: Path) -> AsyncIterator[Desk]:
    async with desk_at(venue, tmp_path) as desk:
        yield desk


def shown(desk: Desk) -> str:
    """Return the tier in use as Prometheus would see it."""
    tiers = ("websocket", "rest", "last_good")
    return "".join(
        tier for tier in tiers if sample(desk.metrics, "trading_balance_source", source=tier)
    )


async def test_rest_fails_alone_and_nothing_else_does(desk: Desk, venue: Venue) -> None:
    """The feed's balances are used, the broker stays up, and orders continue."""
    await venue.break_("balance", where="rest")
    await until(lambda: desk.requests("BalanceEx", "unavailable") > 2)
    await stays(lambda: desk.broker.up and shown(desk) == "websocket", during=2)
    await desk.place(Side.BUY, "0.1")
    await desk.settled()
    await until(lambda: desk.broker.balances.get("BTC") == desk.book.expected["BTC"])
    at = desk.broker.balances_at
    assert at is not None
    await until(lambda: (desk.broker.balances_at or 0) > at)
    await venue.clear_faults()


async def test_a_balance_endpoint_that_hangs_leaves_room_for_orders(
    desk: Desk, venue: Venue
) -> None:
    """It is asked ever less often: an order does not wait for each attempt."""
    await venue.break_("hang", methods=["balances"])
    await until(lambda: desk.requests("BalanceEx", "timeout") >= 5, within=40)
    await desk.place(Side.BUY, "0.1")
    await desk.settled()
    assert desk.broker.up
    before = desk.requests("BalanceEx", "timeout")
    await stays(lambda: desk.broker.up, during=4)
    assert desk.requests("BalanceEx", "timeout") - before <= 1
    await venue.clear_faults()


async def test_the_feed_fails_alone_and_rest_is_used(desk: Desk, venue: Venue) -> None:
    """A feed that continues without its changes is found out by REST, and used again when fixed."""
    await venue.break_("balance", where="websocket")
    await desk.place(Side.BUY, "0.1")
    await until(lambda: shown(desk) == "rest", within=10)
    assert sample(desk.metrics, "trading_balance_contradictions_total") == 1
    await until(lambda: desk.broker.balances == desk.book.expected)
    assert desk.feed.up, "executions are reported as before"
    await venue.clear_faults()
    await until(lambda: shown(desk) == "websocket", within=30)
    await until(lambda: desk.broker.balances == desk.book.expected)


async def test_both_fail_and_what_was_last_good_grows_old(desk: Desk, venue: Venue) -> None:
    """Then the age tells the truth, and each tier returns on its own."""
    await venue.break_("balance", where="both")
    await desk.supervisor.restart("account_feed", within=10)
    await until(lambda: shown(desk) == "last_good", within=10)
    at = desk.broker.balances_at
    await stays(lambda: desk.broker.balances_at == at, during=2)
    assert sample(desk.metrics, "trading_balance_timestamp_seconds") == at
    assert desk.broker.up
    await venue.clear_faults()
    await until(lambda: shown(desk) == "websocket", within=30)
    assert desk.broker.balances == await desk.there()


async def test_gaps_of_balances_begin_again(desk: Desk, venue: Venue) -> None:
    """After each gap the tier is REST until a snapshot has come; at the end all is exact."""
    await venue.break_("gapped_feed", channels=["balances"], probability=0.5, seed=3)
    for _ in range(4):
        await desk.place(Side.BUY, "0.05")
    await venue.clear_faults()
    await desk.place(Side.BUY, "0.05")
    await desk.settled()
    await until(lambda: shown(desk) == "websocket", within=30)
    await until(lambda: desk.broker.balances == desk.book.expected)
    assert sample(desk.metrics, "trading_account_feed_gaps_total", channel="balances") > 0


async def test_late_money_over_the_feed_is_not_believed(desk: Desk, venue: Venue) -> None:
    """REST has the money of a fill at once; the feed's older word does not come back later."""
    await venue.break_("fill_late", delay_seconds=2.5)
    await desk.place(Side.BUY, "0.1")
    there = await desk.there()
    await until(lambda: desk.broker.balances == there, within=10)
    await desk.settled()
    await until(lambda: shown(desk) == "websocket", within=30)
    assert desk.broker.balances == there


async def test_a_restart_knows_what_was_last_good(config: BotConfig, venue: Venue) -> None:
    """With the venue away from the start, there are the balances of the earlier life."""
    bot = Bot(config)
    await bot.start()
    await until(lambda: bot.heartbeat.beat_at, within=20)
    await until(lambda: bot.broker.balances.get("USD"))
    await bot.stop()
    kept = dict(bot.broker.balances)
    venue.stop()
    again = Bot(config)
    await again.start()
    try:
        assert set(SYMBOLS[0].split("/")) <= again.broker.balances.keys()
        assert again.broker.balances.keys() == kept.keys()
        assert again.broker.funds.source == "last_good"
        value = again.metrics.registry.get_sample_value
        assert value("trading_balance", {"currency": "USD"}) == float(again.broker.balances["USD"])
        assert again.broker.balances_at is not None
        assert again.broker.balances["USD"] > Decimal(0)
    finally:
        await again.stop()


async def test_orders_on_old_balances_are_denied(config: BotConfig, venue: Venue) -> None:
    """With both tiers away, every new entry is denied as `balance_stale`, until they return."""
    risk = msgspec.structs.replace(config.risk, balance_seconds=2.0)
    bot = Bot(msgspec.structs.replace(config, risk=risk))
    await bot.start()
    try:
        await until(lambda: bot.heartbeat.beat_at, within=20)
        await until(lambda: bot.reconciliation.recovered, within=20)
        await venue.break_("balance", where="both")
        await bot.supervisor.restart("account_feed", within=10)

        def denied() -> float:
            return sample(bot.metrics, "trading_order_denials_total", code="balance_stale")

        await until(lambda: denied() > 0, within=30)
        sent = len(venue.journal("order_added"))
        before = denied()
        await until(lambda: denied() > before + 3, within=30)
        buys = [entry for entry in venue.journal("order_added")[sent:] if entry["side"] == "buy"]
        assert buys == []
        await venue.clear_faults()
        await until(lambda: bot.broker.funds.source == "websocket", within=30)
        count = len(venue.journal("order_added"))
        await until(lambda: len(venue.journal("order_added")) > count, within=40)
    finally:
        await bot.stop()
