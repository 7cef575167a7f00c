"""The bot on the real venue under each fault: what it fixes itself, and what it must not."""

import asyncio
import re
from asyncio.subprocess import PIPE
from dataclasses import replace
from decimal import Decimal
from typing import cast

import pytest

from tests.service.bot.conftest import SYMBOLS, Control, Venue
from tests.service.botkit.conftest import stays, until
from trading_ops import clock
from trading_ops.agent import CommandFailed, Side
from trading_ops.botkit.orders.order import Order, OrderStatus, new_client_id
from trading_ops.botkit.venue.errors import VenueRefused
from trading_ops_lab.paper.bot.bot import Bot

pytestmark = pytest.mark.slow


def up(bot: Bot, component: str) -> bool:
    """Return the component's state as Prometheus would see it."""
    value = bot.metrics.registry.get_sample_value("trading_component_up", {"component": component})
    return value == 1.0


def sample(bot: Bot, name: str, **labels: str) -> float:
    value = bot.metrics.registry.get_sample_value(name, labels)
    assert value is not None
    return value


async def test_trades_and_reports(bot: Bot, venue: Venue, control: Control) -> None:
    """Orders are placed and filled, and the venue's journal and the bot's books agree."""
    await until(lambda: venue.journal("order_filled"), within=30)
    await until(lambda: sample(bot, "trading_orders_total", outcome="filled") > 0, within=30)
    await until(lambda: all(part.up for part in bot.health().components.values()))
    health = await control.get("/health")
    assert health["status"] == "ok"
    text = await control.get("/metrics")
    check = await asyncio.create_subprocess_exec(
        "promtool", "check", "metrics", stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    assert await check.communicate(text.encode()) == (b"", b"")
    assert check.returncode == 0
    assert sample(bot, "trading_equity", currency="USD") > 100_000
    assert sample(bot, "trading_market_data_messages_total", symbol="BTC/USD") > 0
    armed = venue.journal("dead_man_armed")
    assert {entry["timeout"] for entry in armed} == {3}
    await bot.stop()
    assert venue.unattended() == set()
    filled = dict.fromkeys(SYMBOLS, 0.0)
    for entry in venue.journal("order_filled"):
        sign = 1 if entry["side"] == Side.BUY else -1
        filled[entry["symbol"]] += sign * float(entry["fill_volume"])
    for symbol, quantity in filled.items():
        assert float(bot.book.position(symbol).quantity) == pytest.approx(quantity)


async def test_a_dead_session_stays_dead_until_released(
    bot: Bot, venue: Venue, control: Control
) -> None:
    """A dropped session takes the broker down until a new one is ordered, and no longer."""
    before = venue.last_seq()
    await venue.break_("disconnect")
    await until(lambda: not up(bot, "broker"), within=2.5)
    beat = bot.heartbeat.beat_at
    await stays(lambda: not up(bot, "broker"), during=3)
    assert bot.heartbeat.beat_at == beat
    health = await control.get("/health")
    assert health["status"] == "failing"
    assert "unavailable" in health["components"]["broker"]["detail"]
    assert sample(bot, "trading_circuit_breaker_state", component="broker") in {1, 2}
    assert venue.journal("session_opened", after=before) == []
    answer = await control.command("reconnect_broker")
    assert answer["outcome"] == "succeeded", answer
    assert up(bot, "broker")
    # The venue tells of a session when its cookie comes back, with the second request on it.
    await until(lambda: venue.journal("session_opened", after=before))
    assert sample(bot, "trading_venue_session_restarts_total") == 1
    await until(lambda: bot.heartbeat.beat_at != beat)


async def test_restarting_the_broker_fixes_it_too(bot: Bot, venue: Venue, control: Control) -> None:
    """The next step of the runbook makes a new session as well."""
    await venue.break_("disconnect")
    await until(lambda: not up(bot, "broker"), within=2.5)
    answer = await control.command("restart_component", component="broker")
    assert answer["outcome"] == "succeeded", answer
    assert up(bot, "broker")
    assert sample(bot, "trading_component_restarts_total", component="broker") == 1


@pytest.mark.parametrize("kind", ["refuse", "http_5xx", "http_429", "hang"])
async def test_plain_outage_is_waited_out(bot: Bot, venue: Venue, kind: str) -> None:
    """A venue that is away and comes back needs no help, and no new session."""
    await venue.break_(kind)
    await until(lambda: not up(bot, "broker"), within=6)
    loop_lag = sample(bot, "trading_event_loop_lag_seconds")
    assert loop_lag < 1
    await venue.clear_faults()
    await until(lambda: up(bot, "broker"))
    beat = bot.heartbeat.beat_at
    await until(lambda: bot.heartbeat.beat_at != beat)
    assert sample(bot, "trading_venue_session_restarts_total") == 0


async def test_reconnecting_to_a_venue_that_is_away_fails(
    bot: Bot, venue: Venue, control: Control
) -> None:
    """A new session proves nothing while the venue does not answer, and the answer says so."""
    await venue.break_("http_5xx")
    await until(lambda: not up(bot, "broker"), within=6)
    answer = await control.command("reconnect_broker")
    assert answer["outcome"] == "failed"
    assert "a new session was opened, but" in answer["detail"]


async def test_silent_feed_is_reported_and_left_to_a_restart(
    bot: Bot, venue: Venue, control: Control
) -> None:
    """An open feed without data stays so, and health tells, until a restart connects again."""

    def data() -> float:
        return sample(bot, "trading_market_data_timestamp_seconds", symbol="BTC/USD")

    before = venue.last_seq()
    await venue.break_("stale_feed")
    await until(lambda: bot.agent.report()["status"] == "degraded", within=5)
    # What was on its way has long arrived.
    seen = data()
    health = await control.get("/health")
    assert re.fullmatch(r"no market data for \d+ s", health["components"]["feed"]["detail"])
    assert [name for name, part in health["components"].items() if not part["up"]] == ["feed"]
    await stays(lambda: data() == seen and up(bot, "feed"), during=3)
    assert venue.journal("feed_connected", after=before) == []
    answer = await control.command("restart_component", component="feed")
    assert answer["outcome"] == "succeeded", answer
    await until(lambda: data() > seen)
    await until(lambda: bot.agent.report()["status"] == "ok")
    assert len(venue.journal("feed_connected", after=before)) == 1
    assert sample(bot, "trading_market_data_reconnects_total") == 1


async def test_passes_without_market_data_are_no_work(
    bot: Bot, venue: Venue, control: Control
) -> None:
    """A bot that hears nothing neither beats nor winds the switch, which cancels its orders."""
    before = venue.last_seq()
    await venue.break_("stale_feed")
    await until(lambda: bot.feed.silent, within=5)
    await until(lambda: "no market data" in bot.heartbeat.detail)
    beat, armed = bot.heartbeat.beat_at, len(venue.journal("dead_man_armed"))
    await until(lambda: venue.journal("dead_man_fired", after=before), within=6)
    assert (bot.heartbeat.beat_at, len(venue.journal("dead_man_armed"))) == (beat, armed)
    assert venue.open_orders() == set()
    await until(lambda: bot.agent.report()["status"] == "failing", within=4)
    await control.command("restart_component", component="feed")
    await until(lambda: bot.agent.report()["status"] == "ok")
    await until(lambda: len(venue.journal("dead_man_armed")) > armed)


async def test_feed_connects_again_automatically(bot: Bot, venue: Venue) -> None:
    """A feed that the venue closed is down meanwhile, and comes back without help."""
    before = venue.last_seq()
    await venue.break_("refuse")
    await until(lambda: not up(bot, "feed"), within=5)
    await venue.clear_faults()
    await until(lambda: up(bot, "feed"))
    assert venue.journal("feed_connected", after=before) != []


async def test_halted_bot_submits_nothing(bot: Bot, venue: Venue, control: Control) -> None:
    """After a halt no order is added, denials are counted, and passes still count."""
    answer = await control.command("halt", owner="anna", reason="a test")
    assert answer["outcome"] == "succeeded"
    answer = await control.command("cancel_orders")
    assert answer["outcome"] == "succeeded"
    before = venue.last_seq()
    await until(
        lambda: sample(bot, "trading_order_denials_total", code="trading_halted") > 0, within=30
    )
    assert venue.journal("order_added", after=before) == []
    assert venue.open_orders() == set()
    health = await control.get("/health")
    assert (health["state"], health["status"]) == ("halted", "ok")


@pytest.mark.usefixtures("bot")
async def test_replaced_sender_may_cancel_but_not_restart(control: Control) -> None:
    """Cancelling orders is the safe direction: it needs no fresh fence, as a restart does."""
    await control.raise_fence(9)
    answer = await control.command("cancel_orders")
    assert answer["outcome"] == "succeeded", answer
    with pytest.raises(AssertionError, match="stale_fence"):
        await control.command("restart_component", component="feed")


@pytest.mark.parametrize("component", ["signals", "orders", "store", "heartbeat"])
async def test_every_component_can_be_restarted(bot: Bot, control: Control, component: str) -> None:
    """Each part is up again after a restart, and passes continue."""
    answer = await control.command("restart_component", component=component)
    assert answer["outcome"] == "succeeded", answer
    beat = bot.heartbeat.beat_at
    await until(lambda: bot.heartbeat.beat_at != beat)
    assert up(bot, component)


async def test_restart_of_an_unreachable_feed_fails_in_time(bot: Bot, venue: Venue) -> None:
    """A component that does not come up makes the command fail, and goes on trying."""
    await venue.break_("refuse")
    with pytest.raises(CommandFailed, match="feed is not up after"):
        await bot.supervisor.restart("feed", within=0.5)
    await venue.clear_faults()
    await until(lambda: up(bot, "feed"))


async def test_foreign_nonce_is_jumped_over(bot: Bot, venue: Venue) -> None:
    """When another client used the key with a higher nonce, the bot counts it and continues."""
    await venue.use_key(int(clock.timestamp() * 1e6) + 30_000_000)
    await until(lambda: sample(bot, "trading_nonces_refused_total") > 0)
    assert [entry["error"] for entry in venue.journal("private_refused")] == ["EAPI:Invalid nonce"]
    beat = bot.heartbeat.beat_at
    await until(lambda: bot.heartbeat.beat_at != beat)
    assert up(bot, "broker")
    assert sample(bot, "trading_nonces_refused_total") == 1


async def test_venue_saying_no_is_not_an_outage(bot: Bot) -> None:
    """An order that the venue refuses leaves the broker up; a cancelled one is found again."""
    order = Order(
        client_id=new_client_id("beta"),
        symbol="BTC/USD",
        side=Side.BUY,
        price=Decimal(1000),
        quantity=Decimal(1000),
        created_at=0.0,
    )
    with pytest.raises(VenueRefused, match="Insufficient funds"):
        await bot.broker.call("AddOrder", lambda client: client.submit(order))
    small = replace(order, quantity=Decimal("0.001"))
    venue_id = await bot.broker.call("AddOrder", lambda client: client.submit(small))
    await bot.broker.call("CancelOrder", lambda client: client.cancel(venue_id))
    found = await bot.broker.call("QueryOrders", lambda client: client.find(small.client_id))
    assert found is not None
    assert (found.venue_id, found.status) == (venue_id, OrderStatus.CANCELLED)
    assert sample(bot, "trading_venue_requests_total", endpoint="AddOrder", code="refused") == 1
    assert up(bot, "broker")


async def test_pass_that_crashes_is_shown(bot: Bot) -> None:
    """Passes that crash stop the heartbeat and take its component down, until one succeeds."""
    symbols, bot.heartbeat._symbols = bot.heartbeat._symbols, cast("list[str]", None)
    await until(lambda: not up(bot, "heartbeat"))
    beat = bot.heartbeat.beat_at
    assert "TypeError" in bot.heartbeat.detail
    bot.heartbeat._symbols = symbols
    await until(lambda: up(bot, "heartbeat"))
    assert bot.heartbeat.beat_at != beat
