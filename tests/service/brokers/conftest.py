"""A local broker in the test's own event loop."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal

import pytest
from aiohttp.test_utils import TestServer

from trading_ops import clock
from trading_ops.agent import Side
from trading_ops.botkit import ENDPOINTS
from trading_ops.botkit.orders.order import Order, OrderType, new_client_id
from trading_ops.botkit.venue.adapter import VenueAdapter
from trading_ops.instrument import BotMetrics
from trading_ops_lab.brokers.account import Account
from trading_ops_lab.brokers.alpaca import AlpacaServer
from trading_ops_lab.brokers.faults import Board
from trading_ops_lab.brokers.tws import TwsServer

KEY = SECRET = "AKTEST"
SYMBOL, SHARE = "AAPL/USD", "AAPL"
PRICE = Decimal(190)


@dataclass(frozen=True)
class Lab:
    """A broker and what only it knows."""

    account: Account
    board: Board
    address: str
    """HOST:PORT."""

    tws: TwsServer | None = None

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])


def paper_account(fee: str = "0") -> Account:
    return Account({SHARE: PRICE}, cash=Decimal(100_000), fee=Decimal(fee))


@asynccontextmanager
async def alpaca_lab(*, limit: int = 10_000) -> AsyncIterator[Lab]:
    account, board = paper_account(), Board()
    app = AlpacaServer(account, board, key=KEY, secret=SECRET, limit=limit).build()
    async with TestServer(app) as server:
        yield Lab(account, board, f"{server.host}:{server.port}")


@asynccontextmanager
async def tws_lab() -> AsyncIterator[Lab]:
    account, board = paper_account(fee="1"), Board()
    server = TwsServer(account, board)
    port = await server.start("127.0.0.1", 0)
    try:
        yield Lab(account, board, f"127.0.0.1:{port}", server)
    finally:
        await server.stop()


def metrics_of() -> BotMetrics:
    return BotMetrics(
        version="1", mode="paper", symbols=[SYMBOL], currencies=["USD"], endpoints=ENDPOINTS
    )


async def check_market_data(adapter: VenueAdapter) -> None:
    """Its rules, its clock, and the bars of ten minutes."""
    rules = adapter.rules(SYMBOL)
    assert (rules.tick, rules.lot, rules.minimum) == (Decimal("0.01"), Decimal(1), Decimal(1))
    with pytest.raises(KeyError):
        adapter.rules("NO/SUCH")
    assert abs(await adapter.server_time() - clock.timestamp()) < 5
    bars = await adapter.candles(SYMBOL, timeframe="1m", since=clock.timestamp() - 600)
    assert len(bars) in {9, 10, 11}
    assert {bar.opened_at % 60 for bar in bars} == {0}


def order(
    kind: OrderType = OrderType.MARKET,
    side: Side = Side.BUY,
    quantity: str = "10",
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
