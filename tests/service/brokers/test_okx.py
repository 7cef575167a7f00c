"""A ccxt venue whose key has a passphrase: OKX, against a local server of its API."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import aiohttp
import ccxt.async_support
import pytest
from aiohttp.test_utils import TestServer

from tests.service.botkit.conftest import until
from tests.service.brokers.conftest import KEY, SECRET, Lab
from trading_ops import clock
from trading_ops.agent import Side
from trading_ops.botkit.orders.order import Order, OrderStatus, OrderType, new_client_id
from trading_ops.botkit.venue.broker import Broker
from trading_ops.botkit.venue.ccxt_venue import CcxtVenue
from trading_ops.botkit.venue.errors import error_code
from trading_ops.botkit.venue.history import read_history
from trading_ops.instrument import BotMetrics
from trading_ops_lab.brokers.account import Account
from trading_ops_lab.brokers.faults import Board
from trading_ops_lab.brokers.okx import OkxServer

PASSPHRASE, SYMBOL = "a-passphrase", "BTC/USD"


def venue_of(lab: Lab, *, passphrase: str = PASSPHRASE) -> CcxtVenue:
    client: Any = ccxt.async_support.okx(
        {"apiKey": KEY, "secret": SECRET, "password": passphrase, "enableRateLimit": False}
    )
    client.urls["api"] = {"rest": f"http://{lab.address}"}
    client.options["fetchMarkets"] = {"types": ["spot"]}
    return CcxtVenue(client, symbols=[SYMBOL], page_size=100, compact_client_ids=True)


def order(
    kind: OrderType = OrderType.MARKET,
    side: Side = Side.BUY,
    quantity: str = "0.3",
    price: str = "100",
) -> Order:
    return Order(
        client_id=new_client_id("alpha"),
        symbol=SYMBOL,
        side=side,
        price=Decimal(price),
        quantity=Decimal(quantity),
        created_at=clock.timestamp(),
        type=kind,
    )


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    account, board = Account({"BTC": Decimal(50_000)}, cash=Decimal(100_000)), Board()
    server = OkxServer(account, board, key=KEY, secret=SECRET, passphrase=PASSPHRASE)
    async with TestServer(server.build()) as running:
        yield Lab(account, board, f"{running.host}:{running.port}")


@pytest.fixture
async def venue(lab: Lab) -> AsyncIterator[CcxtVenue]:
    venue = venue_of(lab)
    async with aiohttp.ClientSession() as session:
        venue.use_session(session)
        await venue.load_markets()
        yield venue
        await venue.close()


async def test_markets_and_clock(venue: CcxtVenue) -> None:
    rules = venue.rules(SYMBOL)
    assert (rules.tick, rules.minimum) == (Decimal("0.1"), Decimal("0.0001"))
    assert abs(await venue.server_time() - clock.timestamp()) < 5


async def test_a_wrong_passphrase_is_unauthorized(lab: Lab) -> None:
    venue = venue_of(lab, passphrase="wrong")
    async with aiohttp.ClientSession() as session:
        venue.use_session(session)
        with pytest.raises(Exception) as caught:
            await venue.balances()
        assert error_code(caught.value) == "unauthorized"
        await venue.close()


async def test_a_purchase_is_exact_although_its_fee_is_in_base_currency(venue: CcxtVenue) -> None:
    before = await venue.balances()
    sent = order()
    venue_id = await venue.submit(sent)
    (reported,) = await venue.orders([venue_id])
    assert (reported.status, reported.client_id) == (OrderStatus.FILLED, sent.client_id)
    after = await venue.balances()
    assert after["BTC"].total == reported.filled == Decimal("0.2997")
    assert before["USD"].total - after["USD"].total == reported.cost + reported.fee
    history = await read_history(lambda at: venue.history(sent.created_at - 1, at), since=0)
    assert history.complete
    assert sum(trade.quantity for trade in history.trades) == reported.filled
    sold = await venue.submit(order(side=Side.SELL, quantity="0.1"))
    (sale,) = await venue.orders([sold])
    earned = (await venue.balances())["USD"].total - after["USD"].total
    assert earned == sale.cost - sale.fee
    assert sale.fee > 0


async def test_an_order_from_its_submission_to_its_cancel(venue: CcxtVenue) -> None:
    sent = order(OrderType.LIMIT)
    venue_id = await venue.submit(sent)
    (reported,) = await venue.open_orders()
    assert (reported.venue_id, reported.client_id, reported.price) == (
        venue_id,
        sent.client_id,
        Decimal(100),
    )
    await venue.cancel(venue_id)
    found = await venue.find(sent.client_id)
    assert found is not None
    assert (found.venue_id, found.status) == (venue_id, OrderStatus.CANCELLED)
    assert await venue.find(order().client_id) is None
    assert await venue.orders(["1"]) == []
    for _ in range(3):
        await venue.submit(order(OrderType.LIMIT))
    assert await venue.cancel_all() == 3
    assert await venue.open_orders() == []


async def test_a_rejection_is_definite(venue: CcxtVenue) -> None:
    with pytest.raises(Exception) as caught:
        await venue.submit(order(quantity="100"))
    assert error_code(caught.value) == "refused"


async def test_a_broker_whose_session_is_dropped_reconnects_by_command(lab: Lab) -> None:
    metrics = BotMetrics(version="1", mode="paper", symbols=[SYMBOL], currencies=["USD"])
    broker = Broker(metrics, make_client=lambda: venue_of(lab), probe_interval_seconds=0.1)
    running = asyncio.create_task(broker.run())
    try:
        await until(lambda: broker.up)
        lab.board.begin("disconnect")
        await until(lambda: not broker.up)
        assert "a new session" in await broker.reconnect()
        assert await broker.call("AddOrder", lambda venue: venue.submit(order()))
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await broker.close()
