"""Alpaca's adapter with the unmodified `alpaca-py`, against a local server of its protocol."""

import asyncio
import threading
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
from alpaca.data.historical.stock import StockHistoricalDataClient

from tests.service.botkit.conftest import sample, until
from tests.service.brokers.conftest import (
    KEY,
    SECRET,
    SYMBOL,
    Lab,
    alpaca_lab,
    check_market_data,
    metrics_of,
    order,
)
from trading_ops import clock
from trading_ops.agent import Side
from trading_ops.botkit.orders.order import OrderStatus, OrderType
from trading_ops.botkit.venue.alpaca import Alpaca, AlpacaClient
from trading_ops.botkit.venue.alpaca_quotes import AlpacaQuotes
from trading_ops.botkit.venue.broker import Broker
from trading_ops.botkit.venue.errors import VenueDown, VenueRefused, error_code
from trading_ops.botkit.venue.history import read_history
from trading_ops.botkit.venue.quotes import QuoteFeed
from trading_ops.botkit.venue.rate_limit import ReportedRateLimit


def adapter_of(lab: Lab, **options: Any) -> Alpaca:
    url = f"http://{lab.address}"
    return Alpaca(
        AlpacaClient(KEY, SECRET, url_override=url, timeout_seconds=5),
        bars=StockHistoricalDataClient(KEY, SECRET, raw_data=True, url_override=url),
        symbols=[SYMBOL],
        **options,
    )


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    async with alpaca_lab() as lab:
        yield lab


@pytest.fixture
async def adapter(lab: Lab) -> AsyncIterator[Alpaca]:
    adapter = adapter_of(lab)
    await adapter.load_markets()
    yield adapter
    await adapter.close()


async def test_markets_clock_and_bars(adapter: Alpaca) -> None:
    await check_market_data(adapter)


async def test_a_market_order_is_exact_to_the_last_digit(adapter: Alpaca) -> None:
    before = await adapter.balances()
    sent = order(OrderType.MARKET)
    venue_id = await adapter.submit(sent)
    (reported,) = await adapter.orders([venue_id])
    assert (reported.status, reported.filled) == (OrderStatus.FILLED, Decimal(10))
    after = await adapter.balances()
    assert after["AAPL"].total == 10
    assert before["USD"].total - after["USD"].total == reported.cost + reported.fee
    history = await read_history(lambda at: adapter.history(sent.created_at - 1, at), since=0)
    assert history.complete
    assert sum(trade.cost for trade in history.trades) == reported.cost
    assert {(trade.venue_id, trade.side) for trade in history.trades} == {(venue_id, Side.BUY)}


async def test_an_order_from_its_submission_to_its_cancel(adapter: Alpaca) -> None:
    sent = order(OrderType.LIMIT)
    venue_id = await adapter.submit(sent)
    (reported,) = await adapter.open_orders()
    assert (reported.venue_id, reported.client_id, reported.price) == (
        venue_id,
        sent.client_id,
        Decimal(100),
    )
    assert (await adapter.balances())["USD"].held == Decimal(1000)
    await adapter.cancel(venue_id)
    found = await adapter.find(sent.client_id)
    assert found is not None
    assert (found.venue_id, found.status) == (venue_id, OrderStatus.CANCELLED)
    assert await adapter.open_orders() == []
    assert await adapter.find(order().client_id) is None
    assert await adapter.orders(["00000000-0000-4000-8000-00000000000f"]) == []
    for _ in range(3):
        await adapter.submit(order(OrderType.LIMIT))
    assert await adapter.cancel_all() == 3


async def test_a_stop_waits(adapter: Alpaca) -> None:
    await adapter.submit(order())
    sent = order(OrderType.STOP_LOSS, Side.SELL, price="50")
    await adapter.submit(sent)
    found = await adapter.find(sent.client_id)
    assert found is not None
    assert (found.type, found.stop_price, found.status) == (
        OrderType.STOP_LOSS,
        Decimal(50),
        OrderStatus.ACCEPTED,
    )


@pytest.mark.parametrize("kind", ["stop_limit", "trailing_stop"])
async def test_an_order_of_a_type_that_the_bot_does_not_use_is_reported(
    lab: Lab, adapter: Alpaca, kind: str
) -> None:
    """From Alpaca's own page: one order of another kind must not end reconciliation."""
    await adapter.submit(order(OrderType.LIMIT))
    (foreign,) = lab.account.open_orders()
    foreign.kind = kind
    (reported,) = await adapter.open_orders()
    assert (reported.type, reported.quantity) == (OrderType.LIMIT, Decimal(10))


async def test_a_multi_leg_order_of_options_is_left_out(lab: Lab, adapter: Alpaca) -> None:
    await adapter.submit(order(OrderType.LIMIT))
    (foreign,) = lab.account.open_orders()
    foreign.security = "BAG"
    venue_id = await adapter.submit(order(OrderType.LIMIT))
    assert [open_order.venue_id for open_order in await adapter.open_orders()] == [venue_id]


async def test_an_order_for_an_amount_of_money_has_the_quantity_that_it_filled(
    lab: Lab, adapter: Alpaca
) -> None:
    venue_id = await adapter.submit(order())
    lab.account.orders[venue_id].notional = Decimal(1900)
    (reported,) = await adapter.orders([venue_id])
    assert (reported.quantity, reported.filled) == (Decimal(10), Decimal(10))


class HeldClient(AlpacaClient):
    """Its POST requests begin when they are released."""

    def __init__(self, lab: Lab) -> None:
        super().__init__(KEY, SECRET, url_override=f"http://{lab.address}", timeout_seconds=5)
        self.started, self.released = threading.Event(), threading.Event()

    def post(self, *args: Any, **options: Any) -> Any:
        self.started.set()
        self.released.wait(30)
        return super().post(*args, **options)


async def test_a_cancelled_order_that_is_being_sent_is_cancelled_by_what_follows(lab: Lab) -> None:
    """Its thread cannot be stopped: the next request waits until it ends."""
    client = HeldClient(lab)
    broker = Broker(
        metrics_of(),
        make_client=lambda: Alpaca(client, symbols=[SYMBOL]),
        probe_interval_seconds=0.05,
        currencies=["USD"],
    )
    running = asyncio.create_task(broker.run())
    try:
        await until(lambda: broker.up)
        sending = asyncio.create_task(
            broker.call("AddOrder", lambda venue: venue.submit(order(OrderType.LIMIT)))
        )
        await until(client.started.is_set)
        sending.cancel()
        clearing = asyncio.create_task(broker.call("CancelAll", lambda venue: venue.cancel_all()))
        await asyncio.wait({clearing}, timeout=0.5)
        sending.cancel()
        client.released.set()
        with pytest.raises(asyncio.CancelledError):
            await sending
        assert await clearing == 1
        assert list(lab.account.open_orders()) == []
    finally:
        client.released.set()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await broker.close()


@pytest.mark.parametrize(
    ("quantity", "side"), [("1000000", Side.BUY), ("1", Side.SELL), ("0", Side.BUY)]
)
async def test_a_rejection_is_definite(adapter: Alpaca, quantity: str, side: Side) -> None:
    sent = order(quantity=quantity, side=side)
    with pytest.raises(Exception) as caught:
        await adapter.submit(sent)
    assert error_code(caught.value) == "refused"
    assert await adapter.find(sent.client_id) is None


async def test_the_same_client_id_is_no_rejection(adapter: Alpaca) -> None:
    """The order exists: a bot that took this for a rejection would forget it."""
    sent = order(OrderType.LIMIT)
    await adapter.submit(sent)
    with pytest.raises(Exception) as caught:
        await adapter.submit(sent)
    assert error_code(caught.value) == "other"


async def test_transfers_are_in_the_history_over_several_pages(lab: Lab, adapter: Alpaca) -> None:
    for number in range(1, 121):
        lab.account.deposit(Decimal(number) if number % 2 else -Decimal(number))
    history = await read_history(lambda at: adapter.history(clock.timestamp() - 60, at), since=0)
    assert history.complete
    assert len({entry.ledger_id for entry in history.ledger}) == 120
    assert sum(entry.amount for entry in history.ledger) == Decimal(-60)


async def test_requests_are_not_repeated_at_the_rate_limit() -> None:
    async with alpaca_lab(limit=4) as lab:
        metrics = metrics_of()
        limit = ReportedRateLimit(metrics)
        adapter = adapter_of(lab, on_limit=limit.reported)
        await adapter.load_markets()
        used = sample(metrics, "trading_venue_rate_limit_used_ratio", group="calls")
        assert used == pytest.approx(0.25)
        for _ in range(3):
            await adapter.server_time()
        with pytest.raises(Exception) as caught:
            await adapter.server_time()
        assert error_code(caught.value) == "rate_limited"
        assert sample(metrics, "trading_venue_rate_limit_used_ratio", group="calls") == 1
        await adapter.close()


async def test_a_broker_whose_session_is_dropped_reconnects_by_command(lab: Lab) -> None:
    metrics = metrics_of()
    broker = Broker(
        metrics,
        make_client=lambda: adapter_of(lab),
        probe_interval_seconds=0.05,
        currencies=["USD"],
    )
    running = asyncio.create_task(broker.run())
    try:
        await until(lambda: broker.up)
        fault = lab.board.begin("disconnect")
        await until(lambda: not broker.up)
        with pytest.raises(VenueDown):
            await broker.call("AddOrder", lambda venue: venue.submit(order()))
        lab.board.active.pop(fault)
        assert "a new session" in await broker.reconnect()
        await broker.call("AddOrder", lambda venue: venue.submit(order()))
        with pytest.raises(VenueRefused):
            await broker.call("CancelOrder", lambda venue: venue.cancel("unknown"))
        assert broker.up
        joined = [entry for entry in lab.board.entries if entry["event"] == "session_joined"]
        assert len(joined) == 2
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await broker.close()


async def test_a_silent_feed_is_down_until_it_is_restarted(lab: Lab) -> None:
    def source() -> AlpacaQuotes:
        url = f"ws://{lab.address}/v2/iex"
        return AlpacaQuotes(KEY, SECRET, symbols=[SYMBOL], url_override=url)

    feed = QuoteFeed(metrics_of(), make_source=source, stale_seconds=1)
    running = asyncio.create_task(feed.run())
    try:
        await until(lambda: feed.up)
        bid, ask = feed.quotes[SYMBOL].bid, feed.quotes[SYMBOL].ask
        assert ask - bid == Decimal("0.02")
        lab.board.begin("stale_feed")
        await until(lambda: not feed.up)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        running = asyncio.create_task(feed.run())
        await until(lambda: feed.up)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
