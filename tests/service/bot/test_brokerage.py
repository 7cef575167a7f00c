"""Each adapter behind the seam does the same: on the real venue, the same cases for all of them.

Anyone who writes an adapter adds it to `ADAPTERS`, with a venue to run it against.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import ccxt.async_support
import pytest

from tests.service.bot.conftest import SYMBOLS, Venue
from tests.service.botkit.conftest import SYMBOL, until
from trading_ops import clock
from trading_ops.agent import Side
from trading_ops.botkit.nonces.issuer import open_nonces
from trading_ops.botkit.orders.order import Order, OrderStatus, OrderType, new_client_id
from trading_ops.botkit.venue.adapter import AccountHistory, HttpVenueAdapter
from trading_ops.botkit.venue.broker import Broker
from trading_ops.botkit.venue.ccxt_venue import CcxtVenue
from trading_ops.botkit.venue.errors import VenueDown, error_code
from trading_ops.botkit.venue.history import read_history
from trading_ops.instrument import BotMetrics
from trading_ops_lab.paper.bot.brokerage.kraken import Kraken

pytestmark = pytest.mark.long

ZERO = Decimal(0)


def of_kraken(venue: Venue, issue: Callable[[], int]) -> Kraken:
    return Kraken(
        address=venue.address,
        key=secret_of(venue, "venue_key"),
        secret=secret_of(venue, "venue_secret"),
        timeout_seconds=5,
        issue_nonce=issue,
    )


def of_ccxt(venue: Venue, issue: Callable[[], int]) -> CcxtVenue:
    client: Any = ccxt.async_support.kraken(
        {
            "apiKey": secret_of(venue, "venue_key"),
            "secret": secret_of(venue, "venue_secret"),
            "enableRateLimit": False,
        }
    )
    client.urls["api"] = dict.fromkeys(("public", "private"), f"http://{venue.address}")
    client.incrementing_nonce = issue
    return CcxtVenue(client, symbols=SYMBOLS)


ADAPTERS: dict[str, Callable[[Venue, Callable[[], int]], HttpVenueAdapter]] = {
    "kraken": of_kraken,
    "ccxt": of_ccxt,
}


def secret_of(venue: Venue, name: str) -> str:
    return (venue.folder / "secrets" / name).read_text()


@pytest.fixture(params=list(ADAPTERS))
async def adapter(venue: Venue, request: pytest.FixtureRequest) -> AsyncIterator[HttpVenueAdapter]:
    numbers = count(int(clock.timestamp() * 1e6))
    adapter = ADAPTERS[request.param](venue, lambda: next(numbers))
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        adapter.use_session(session)
        await adapter.load_markets()
        yield adapter
        await adapter.close()


async def history_of(adapter: HttpVenueAdapter, since: float) -> AccountHistory:
    return await read_history(lambda cursor: adapter.history(since, cursor), since=since)


def new(
    kind: OrderType = OrderType.LIMIT,
    side: Side = Side.BUY,
    quantity: str = "0.01",
    price: str = "100",
) -> Order:
    return Order(
        client_id=new_client_id("alpha"),
        symbol=SYMBOL,
        side=side,
        price=Decimal(price),
        stop_price=Decimal(price) if kind is OrderType.STOP_LOSS else None,
        quantity=Decimal(quantity),
        created_at=clock.timestamp(),
        type=kind,
    )


async def trade_by_hand(venue: Venue, number: int) -> None:
    """Trade as someone else on the account, until there are so many fills more."""
    wanted = len(venue.journal("order_filled")) + number
    while True:
        there = Decimal((await venue.account())["balances"].get("XXBT", "0"))
        side = "sell" if there > Decimal("0.3") else "buy"
        await venue.by_hand(pair=SYMBOL, type=side, ordertype="market", volume="0.3")
        if len(venue.journal("order_filled")) >= wanted:
            return


async def test_markets_and_clock(adapter: HttpVenueAdapter) -> None:
    rules = adapter.rules(SYMBOL)
    assert (rules.tick, rules.lot) == (Decimal("0.1"), Decimal("1e-8"))
    assert rules.minimum > 0
    with pytest.raises(KeyError):
        adapter.rules("NO/SUCH")
    assert abs(await adapter.server_time() - clock.timestamp()) < 5
    assert await adapter.positions() == {}


async def test_an_order_from_its_submission_to_its_cancel(adapter: HttpVenueAdapter) -> None:
    order = new()
    venue_id = await adapter.submit(order)
    (reported,) = await adapter.open_orders()
    assert (reported.venue_id, reported.client_id, reported.symbol) == (
        venue_id,
        order.client_id,
        SYMBOL,
    )
    assert (reported.side, reported.price, reported.quantity) == (
        Side.BUY,
        Decimal(100),
        Decimal("0.01"),
    )
    assert (reported.type, reported.status, reported.filled) == (
        OrderType.LIMIT,
        OrderStatus.ACCEPTED,
        ZERO,
    )
    assert abs(reported.opened_at - clock.timestamp()) < 10
    found = await adapter.find(order.client_id)
    assert found is not None
    assert found.venue_id == venue_id
    held = (await adapter.balances())["USD"]
    assert 0 < held.held < held.total
    await adapter.cancel(venue_id)
    for cancelled in (await adapter.find(order.client_id), *await adapter.orders([venue_id])):
        assert cancelled is not None
        assert (cancelled.venue_id, cancelled.status) == (venue_id, OrderStatus.CANCELLED)
    assert await adapter.open_orders() == []
    assert await adapter.find(new().client_id) is None
    assert await adapter.orders(["OAAAAA-BBBBB-CCCCCC"]) == []


async def test_a_market_order_is_reported_to_the_last_digit(
    adapter: HttpVenueAdapter, venue: Venue
) -> None:
    before = await adapter.balances()
    venue_id = await adapter.submit(new(OrderType.MARKET, quantity="0.3"))
    (reported,) = await adapter.orders([venue_id])
    assert (reported.status, reported.type) == (OrderStatus.FILLED, OrderType.MARKET)
    after = await adapter.balances()
    balances = (await venue.account())["balances"]
    assert (after["USD"].total, after["BTC"].total) == (
        Decimal(balances["ZUSD"]),
        Decimal(balances["XXBT"]),
    )
    assert after["BTC"].total - before["BTC"].total == reported.filled == Decimal("0.3")
    assert before["USD"].total - after["USD"].total == reported.cost + reported.fee
    trades = (await history_of(adapter, 0)).trades
    assert len(trades) > 1
    assert sum(trade.cost for trade in trades) == reported.cost
    assert sum(trade.fee for trade in trades) == reported.fee
    assert {trade.venue_id for trade in trades} == {venue_id}


async def test_a_stop_waits_and_says_so(adapter: HttpVenueAdapter) -> None:
    await adapter.submit(new(OrderType.MARKET, quantity="0.01"))
    order = new(OrderType.STOP_LOSS, Side.SELL, price="1000")
    await adapter.submit(order)
    found = await adapter.find(order.client_id)
    assert found is not None
    assert (found.type, found.stop_price, found.price) == (OrderType.STOP_LOSS, Decimal(1000), ZERO)
    assert found.status is OrderStatus.ACCEPTED


async def test_cancels_of_everything_and_the_switch(adapter: HttpVenueAdapter) -> None:
    for _ in range(3):
        await adapter.submit(new())
    assert await adapter.cancel_all() == 3
    assert await adapter.open_orders() == []
    await adapter.submit(new())
    await adapter.cancel_all_after(1)
    for _ in range(100):
        if not await adapter.open_orders():
            return
        await asyncio.sleep(0.05)
    pytest.fail("the switch did not cancel the order")


@pytest.mark.parametrize(
    ("order", "code"),
    [
        (new(quantity="0.000001"), "refused"),
        (new(quantity="5", price="99999999"), "refused"),
    ],
    ids=["too small", "too dear"],
)
async def test_a_no_of_the_venue_is_a_no(
    adapter: HttpVenueAdapter, order: Order, code: str
) -> None:
    with pytest.raises(Exception) as caught:
        await adapter.submit(order)
    assert error_code(caught.value) == code
    assert await adapter.find(order.client_id) is None


@pytest.mark.parametrize("error", ["EService:Timeout", "EGeneral:Unknown error"])
async def test_an_error_after_the_order_was_taken(
    adapter: HttpVenueAdapter, venue: Venue, error: str
) -> None:
    """It is no clear no, and the order is found by its client id."""
    await venue.break_("lost_answer", instead=error, methods=["AddOrder"], count=1)
    order = new()
    with pytest.raises(ccxt.async_support.ExchangeError) as caught:
        await adapter.submit(order)
    assert error_code(caught.value) == "other"
    found = await adapter.find(order.client_id)
    assert found is not None
    assert found.status is OrderStatus.ACCEPTED


@pytest.mark.parametrize(
    ("has", "sure"),
    [
        ({"fetchClosedOrders": True}, True),
        ({}, False),
        ({"fetchOrders": True}, True),
    ],
    ids=["closed", "open alone", "all"],
)
async def test_a_venue_that_shows_only_some_orders(
    venue: Venue, has: dict[str, bool], sure: bool
) -> None:
    """Where no method shows an order that ended, nothing is concluded from not finding it."""
    numbers = count(int(clock.timestamp() * 1e6))
    adapter = of_ccxt(venue, lambda: next(numbers))
    client = adapter._client
    methods = ("fetchClosedOrders", "fetchCanceledOrders", "fetchCanceledAndClosedOrders")
    client.has = {**client.has, **dict.fromkeys((*methods, "fetchOrders"), None), **has}
    client.fetch_orders = client.fetch_closed_orders  # Kraken has none of its own
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        adapter.use_session(session)
        await adapter.load_markets()
        waiting, done = new(), new(OrderType.MARKET)
        await adapter.submit(waiting)
        await adapter.submit(done)
        found = await adapter.find(waiting.client_id)
        assert found is not None
        if sure:
            found = await adapter.find(done.client_id)
            assert found is not None
            assert found.status is OrderStatus.FILLED
            assert await adapter.find(new().client_id) is None
        else:
            with pytest.raises(VenueDown, match="does not return all orders"):
                await adapter.find(done.client_id)
        await adapter.close()


async def test_history_reports_deposits_with_their_signs(
    adapter: HttpVenueAdapter, venue: Venue
) -> None:
    since = clock.timestamp() - 1
    await venue.deposit("USD", "250")
    await venue.deposit("USD", "-100")
    await trade_by_hand(venue, 2)
    history = await history_of(adapter, since)
    assert history.complete
    moved = [entry for entry in history.ledger if entry.currency == "USD"]
    assert {Decimal(-100), Decimal(250)} <= {entry.amount for entry in moved}
    assert len({entry.ledger_id for entry in history.ledger}) == len(history.ledger)


async def test_a_long_history_is_whole_or_says_that_it_is_not(
    adapter: HttpVenueAdapter, venue: Venue
) -> None:
    await trade_by_hand(venue, 130)
    trades = {entry["trade"] for entry in venue.journal("order_filled")}
    assert len(trades) >= 130
    history = await history_of(adapter, 0)
    known = {trade.trade_id for trade in history.trades}
    assert known <= trades
    assert known == trades or not history.complete, (len(known), len(trades))
    if isinstance(adapter, Kraken):
        assert history.complete


async def test_what_is_traded_between_two_pages_moves_nothing(
    venue: Venue, adapter: HttpVenueAdapter
) -> None:
    """What was there before the first page is returned, whatever is added while pages are read."""
    await trade_by_hand(venue, 120)
    stop = asyncio.Event()

    async def go_on() -> None:
        while not stop.is_set():
            await trade_by_hand(venue, 1)

    going = asyncio.create_task(go_on())
    try:
        for _ in range(3):
            before = {entry["trade"] for entry in venue.journal("order_filled")}
            history = await history_of(adapter, 0)
            known = {trade.trade_id for trade in history.trades}
            if history.complete:
                assert before <= known, sorted(before - known)
            if isinstance(adapter, Kraken):
                assert history.complete
    finally:
        stop.set()
        await going


async def test_bars(adapter: HttpVenueAdapter) -> None:
    bars = await adapter.candles(SYMBOL, timeframe="1m", since=0)
    assert [bar.opened_at % 60 for bar in bars] == [0] * len(bars)
    assert bars == sorted(bars, key=lambda bar: bar.opened_at)
    assert all(bar.low <= bar.open <= bar.high and bar.low <= bar.close for bar in bars)
    later = await adapter.candles(SYMBOL, timeframe="1m", since=bars[-1].opened_at)
    assert {bar.opened_at for bar in later} <= {bars[-1].opened_at, bars[-1].opened_at + 60}


async def test_the_broker_works_with_any_adapter(venue: Venue, tmp_path: Path) -> None:
    """A plain ccxt venue in the place of Kraken's adapter: probed, and traded on."""
    metrics = BotMetrics(version="1", mode="paper", symbols=SYMBOLS)
    nonces = open_nonces(tmp_path / "nonces", secret_of(venue, "venue_key"), metrics)
    broker = Broker(
        metrics,
        make_client=lambda: of_ccxt(venue, nonces.issue),
        nonces=nonces,
        probe_interval_seconds=0.2,
    )
    running = asyncio.create_task(broker.run())
    try:
        await until(lambda: broker.up)
        order = new(OrderType.MARKET)
        await broker.call("AddOrder", lambda v: v.submit(order))
        found = await broker.call("QueryOrders", lambda v: v.find(order.client_id))
        assert found is not None
        assert found.status is OrderStatus.FILLED
        assert broker.balances["BTC"] >= 0
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await broker.close()
        nonces.close()
