"""IB's adapter with the unmodified `ib_async`, against a local server of TWS' socket protocol."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from tests.service.botkit.conftest import sample, until
from tests.service.brokers.conftest import (
    SHARE,
    SYMBOL,
    Lab,
    check_market_data,
    metrics_of,
    order,
    tws_lab,
)
from tests.waiting import eventually
from trading_ops import clock
from trading_ops.agent import Side
from trading_ops.botkit.orders.order import OrderStatus, OrderType
from trading_ops.botkit.venue.broker import Broker
from trading_ops.botkit.venue.errors import error_code
from trading_ops.botkit.venue.history import read_history
from trading_ops.botkit.venue.ib import RATE_LIMIT, InteractiveBrokers
from trading_ops.botkit.venue.ib_quotes import IbQuotes
from trading_ops.botkit.venue.ib_values import NEW_YORK
from trading_ops.botkit.venue.quotes import QuoteFeed
from trading_ops.botkit.venue.rate_limit import RateLimitCounter
from trading_ops_lab.brokers.account import BUY, LIMIT, MARKET, PaperOrder
from trading_ops_lab.brokers.tws import ACCOUNT


def adapter_of(lab: Lab, client_id: int = 1) -> InteractiveBrokers:
    return InteractiveBrokers("127.0.0.1", lab.port, client_id=client_id, symbols=[SYMBOL])


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    async with tws_lab() as lab:
        yield lab


@pytest.fixture
async def adapter(lab: Lab) -> AsyncIterator[InteractiveBrokers]:
    adapter = adapter_of(lab)
    await adapter.load_markets()
    yield adapter
    await adapter.close()


async def test_markets_clock_and_bars(adapter: InteractiveBrokers) -> None:
    await check_market_data(adapter)


async def test_a_daily_bar_opens_at_midnight_in_new_york(adapter: InteractiveBrokers) -> None:
    bars = await adapter.candles(SYMBOL, timeframe="1d", since=clock.timestamp() - 5 * 86_400)
    today = datetime.fromtimestamp(clock.timestamp(), NEW_YORK).replace(
        hour=0, minute=0, second=0, microsecond=0
    )
    assert len(bars) >= 5
    assert [bar.opened_at for bar in bars[-2:]] == [
        (today - timedelta(days=1)).timestamp(),
        today.timestamp(),
    ]


async def test_an_unknown_symbol_is_refused(lab: Lab) -> None:
    adapter = InteractiveBrokers("127.0.0.1", lab.port, client_id=1, symbols=["NONE/USD"])
    with pytest.raises(Exception) as caught:
        await adapter.load_markets()
    assert error_code(caught.value) == "refused"
    await adapter.close()


async def test_a_market_order_is_exact_to_the_last_digit(adapter: InteractiveBrokers) -> None:
    before = await adapter.balances()
    sent = order(OrderType.MARKET)
    venue_id = await adapter.submit(sent)
    (reported,) = await adapter.orders([venue_id])
    assert (reported.status, reported.filled) == (OrderStatus.FILLED, Decimal(10))
    after = await adapter.balances()
    assert after["AAPL"].total == Decimal(10)
    assert reported.fee == Decimal(2)
    assert before["USD"].total - after["USD"].total == reported.cost + reported.fee
    history = await read_history(lambda at: adapter.history(sent.created_at, at), since=0)
    assert not history.complete
    assert sum(trade.cost for trade in history.trades) == reported.cost
    assert {(trade.client_id, trade.side) for trade in history.trades} == {
        (sent.client_id, Side.BUY)
    }


async def test_an_order_from_its_submission_to_its_cancel(adapter: InteractiveBrokers) -> None:
    sent = order(OrderType.LIMIT)
    venue_id = await adapter.submit(sent)
    (reported,) = await adapter.open_orders()
    assert (reported.venue_id, reported.client_id, reported.price, reported.quantity) == (
        venue_id,
        sent.client_id,
        Decimal(100),
        Decimal(10),
    )
    await adapter.cancel(venue_id)
    found = await adapter.find(sent.client_id)
    assert found is not None
    assert (found.venue_id, found.status) == (venue_id, OrderStatus.CANCELLED)
    assert await adapter.open_orders() == []
    assert await adapter.orders(["1"]) == []
    for _ in range(3):
        await adapter.submit(order(OrderType.LIMIT))
    assert await adapter.cancel_all() == 3


async def test_other_securities_and_accounts_of_the_login_are_left_out(
    lab: Lab, adapter: InteractiveBrokers
) -> None:
    """An AAPL option is not AAPL, and a position in EUR.USD is not cash in EUR."""
    assert lab.tws is not None
    own_id = await adapter.submit(order())
    waiting_id = await adapter.submit(order(OrderType.LIMIT))
    lab.tws.other_positions += [
        (ACCOUNT, SHARE, "OPT", Decimal(2)),
        (ACCOUNT, "USD", "CASH", Decimal(7)),
        ("DU0000002", SHARE, "STK", Decimal(5)),
    ]
    for number, (security, holder) in enumerate([("OPT", ACCOUNT), ("STK", "DU0000002")]):
        for kind in (MARKET, LIMIT):
            lab.account.submit(
                PaperOrder(
                    number=7 + number if kind == MARKET else 17 + number,
                    client_id=f"{security} {kind}",
                    symbol=SHARE,
                    side=BUY,
                    kind=kind,
                    quantity=Decimal(3),
                    price=Decimal(90),
                    owner=9,
                    security=security,
                    holder=holder,
                )
            )
    lab.account.shares[SHARE] = Decimal(10)
    balances = await adapter.balances()
    assert balances[SHARE].total == Decimal(10)
    assert balances["USD"].total == lab.account.cash
    assert [open_order.venue_id for open_order in await adapter.open_orders()] == [waiting_id]
    assert await adapter.orders(["7", "8", "17", "18"]) == []
    history = await read_history(lambda at: adapter.history(clock.timestamp() - 60, at), since=0)
    assert {trade.venue_id for trade in history.trades} == {own_id}


async def test_orders_of_another_client_are_cancelled_with_the_own_ones(
    lab: Lab, adapter: InteractiveBrokers
) -> None:
    """IB reports the end of an order only to the client that placed it."""
    other = adapter_of(lab, client_id=2)
    await other.load_markets()
    await other.submit(order(OrderType.LIMIT))
    await adapter.submit(order(OrderType.LIMIT))
    assert await adapter.cancel_all() == 2
    assert list(lab.account.open_orders()) == []
    await other.close()


async def test_the_cancel_of_another_clients_order_is_refused(
    lab: Lab, adapter: InteractiveBrokers
) -> None:
    """IB knows an order to cancel by the client's own number, which may be one of ours too."""
    other = adapter_of(lab, client_id=2)
    await other.load_markets()
    foreign = await other.submit(order(OrderType.LIMIT))
    own = await adapter.submit(order(OrderType.LIMIT))
    with pytest.raises(Exception) as caught:
        await adapter.cancel(foreign)
    assert error_code(caught.value) == "refused"
    assert {open_order.venue_id for open_order in await adapter.open_orders()} == {foreign, own}
    await other.close()


@pytest.mark.parametrize("given_up_after", [0.2, 30.0], ids=["cancelled", "timed out"])
async def test_a_late_answer_is_not_taken_for_that_of_the_next_request(
    lab: Lab, given_up_after: float
) -> None:
    """It was made before the order: a bot that believes it sends the order twice."""
    assert lab.tws is not None
    adapter = InteractiveBrokers(
        "127.0.0.1", lab.port, client_id=1, symbols=[SYMBOL], timeout_seconds=2
    )
    await adapter.load_markets()
    lab.tws.hold()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(given_up_after):
            await adapter.open_orders()
    sent = PaperOrder(
        number=7,
        client_id="mine",
        symbol=SHARE,
        side=BUY,
        kind=LIMIT,
        quantity=Decimal(1),
        price=Decimal(90),
        owner=1,
        local_id=7,
    )
    lab.account.submit(sent)
    finding = asyncio.create_task(adapter.find("mine"))
    await asyncio.wait({finding}, timeout=0.5)
    lab.tws.release()
    found = await finding
    assert found is not None
    assert found.venue_id == "7"
    await adapter.close()


async def test_an_order_is_found_after_a_restart(lab: Lab, adapter: InteractiveBrokers) -> None:
    """By the number that IB keeps, and by the bot's own."""
    waiting, filled = order(OrderType.LIMIT), order()
    venue_id = await adapter.submit(waiting)
    await adapter.submit(filled)
    await adapter.close()
    again = adapter_of(lab)
    found = await again.find(filled.client_id)
    assert found is not None
    assert (found.status, found.filled) == (OrderStatus.FILLED, Decimal(10))
    (open_order,) = await again.open_orders()
    assert (open_order.venue_id, open_order.client_id) == (venue_id, waiting.client_id)
    await again.cancel(venue_id)
    assert await again.open_orders() == []
    await again.close()


async def test_a_stop_waits(adapter: InteractiveBrokers) -> None:
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


@pytest.mark.parametrize(("quantity", "side"), [("1000000", Side.BUY), ("1", Side.SELL)])
async def test_a_rejection_is_definite(
    adapter: InteractiveBrokers, quantity: str, side: Side
) -> None:
    with pytest.raises(Exception) as caught:
        await adapter.submit(order(quantity=quantity, side=side))
    assert error_code(caught.value) == "refused"
    assert await adapter.open_orders() == []


async def test_a_client_id_in_use_is_unreachable(lab: Lab, adapter: InteractiveBrokers) -> None:
    other = adapter_of(lab)
    with pytest.raises(Exception) as caught:
        await other.server_time()
    assert error_code(caught.value) in {"unreachable", "timeout"}
    assert await adapter.server_time()


async def test_tws_without_ib_is_down_until_the_link_is_back(
    lab: Lab, adapter: InteractiveBrokers
) -> None:
    assert lab.tws is not None
    lab.tws.say(1100, "Connectivity between IB and TWS has been lost")

    async def is_down() -> bool:
        try:
            await adapter.server_time()
        except ConnectionError:
            return True
        return False

    await eventually(is_down)
    lab.tws.say(1102, "Connectivity between IB and TWS has been restored- data maintained.")

    async def is_up() -> bool:
        return not await is_down()

    await eventually(is_up)


async def test_a_burst_keeps_to_the_rate_limit(lab: Lab, adapter: InteractiveBrokers) -> None:
    """IB disconnects a client that sends more than 50 messages a second."""
    metrics = metrics_of()
    counter = RateLimitCounter(metrics, RATE_LIMIT)
    for _ in range(25):
        counter.request_sent("OpenOrders")
    used = sample(metrics, "trading_venue_rate_limit_used_ratio", group="calls")
    assert used == pytest.approx(0.5, abs=0.2)
    for _ in range(120):
        await adapter.server_time()
    assert "rate_exceeded" not in {entry["event"] for entry in lab.board.entries}


async def test_a_broker_whose_session_is_dropped_reconnects_by_command(lab: Lab) -> None:
    broker = Broker(
        metrics_of(),
        make_client=lambda: adapter_of(lab),
        probe_interval_seconds=0.1,
        currencies=["USD"],
    )
    running = asyncio.create_task(broker.run())
    try:
        await until(lambda: broker.up)
        lab.board.begin("disconnect")
        await until(lambda: not broker.up)
        assert "a new session" in await broker.reconnect()
        venue_id = await broker.call("AddOrder", lambda venue: venue.submit(order()))
        (found,) = await broker.call("QueryOrders", lambda venue: venue.orders([venue_id]))
        assert found.status is OrderStatus.FILLED
        joined = [entry for entry in lab.board.entries if entry["event"] == "session_joined"]
        assert len(joined) == 2
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await broker.close()


async def test_a_silent_feed_is_down_until_it_is_restarted(lab: Lab) -> None:
    def source() -> IbQuotes:
        return IbQuotes("127.0.0.1", lab.port, client_id=2, symbols=[SYMBOL])

    feed = QuoteFeed(metrics_of(), make_source=source, stale_seconds=1)
    running = asyncio.create_task(feed.run())
    try:
        await until(lambda: feed.up)
        quote = feed.quotes[SYMBOL]
        assert quote.ask - quote.bid < Decimal("0.5")
        lab.board.begin("stale_feed")
        await until(lambda: not feed.up)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        running = asyncio.create_task(feed.run())
        await until(lambda: feed.up)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
