"""The orders component with its book, on a scripted venue."""

import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

from tests.service.botkit.conftest import SYMBOL
from trading_ops import clock
from trading_ops.agent import OrderGate, TradingState
from trading_ops.botkit.orders.book import Book
from trading_ops.botkit.orders.checks import (
    allowed_by_gate,
    deny_while,
    fresh_quote,
    large_enough,
)
from trading_ops.botkit.orders.market import Quote, Rules
from trading_ops.botkit.orders.order import Order, OrderStatus, VenueOrder
from trading_ops.botkit.orders.sync import OrderSync
from trading_ops.botkit.records.driver import ThreadedDatabase
from trading_ops.botkit.records.sqlite import SqliteDriver
from trading_ops.botkit.records.store import Store
from trading_ops.botkit.supervisor import Supervisor
from trading_ops.botkit.venue.broker import Broker
from trading_ops.botkit.venue.errors import VenueDown, VenueRefused
from trading_ops.instrument import BotMetrics
from trading_ops_lab.paper.bot.trading.orders import Orders
from trading_ops_lab.paper.bot.trading.strategy import Target

LOST_SECONDS = 15.0


class FakeKraken:
    """Answers as the test says; counts what it is asked."""

    def __init__(self) -> None:
        self.open: dict[str, VenueOrder] = {}
        self.closed: dict[str, VenueOrder] = {}
        self.submitted: list[Order] = []
        self.cancelled: list[str] = []
        self.submit_error: Exception | None = None
        self.orders_error: Exception | None = None
        self.arrives = True

    def rules(self, symbol: str) -> Rules:
        return Rules(tick=Decimal("0.1"), lot=Decimal("0.00000001"), minimum=Decimal("0.0001"))

    async def open_orders(self) -> list[VenueOrder]:
        return list(self.open.values())

    async def orders(self, venue_ids: list[str]) -> list[VenueOrder]:
        if self.orders_error is not None:
            raise self.orders_error
        return [self.closed[name] for name in venue_ids if name in self.closed]

    async def find(self, client_id: str) -> VenueOrder | None:
        known = [*self.open.values(), *self.closed.values()]
        return next((order for order in known if order.client_id == client_id), None)

    async def submit(self, order: Order) -> str:
        venue_id = f"O{len(self.submitted)}"
        self.submitted.append(order)
        if self.arrives:
            self.open[venue_id] = venue_order(order, venue_id)
        if self.submit_error is not None:
            raise self.submit_error
        return venue_id

    async def cancel(self, venue_id: str) -> None:
        self.cancelled.append(venue_id)
        if venue_id not in self.open:
            raise VenueRefused("CancelOrder: EOrder:Unknown order")
        self.end(venue_id, OrderStatus.CANCELLED)

    def end(self, venue_id: str, status: OrderStatus, filled: str = "0") -> None:
        order = self.open.pop(venue_id)
        done = Decimal(filled)
        self.closed[venue_id] = replace(order, status=status, filled=done, cost=done * 1000)


class FakeBroker:
    """Passes requests on to the fake venue, or is down."""

    def __init__(self, client: FakeKraken) -> None:
        self.client = client
        self.down = False

    async def call(self, endpoint: str, request: Callable[[Any], Awaitable[Any]]) -> Any:
        if self.down:
            raise VenueDown("broker: down")
        return await request(self.client)


def venue_order(order: Order, venue_id: str) -> VenueOrder:
    return VenueOrder(
        venue_id=venue_id,
        client_id=order.client_id,
        symbol=order.symbol,
        side=order.side,
        price=order.price,
        quantity=order.quantity,
        status=OrderStatus.ACCEPTED,
        filled=Decimal(0),
        cost=Decimal(0),
        fee=Decimal(0),
    )


class Desk:
    """The orders component with its book, on a fake venue and a real store."""

    def __init__(self, metrics: BotMetrics, path: Path) -> None:
        self.metrics = metrics
        self.venue = FakeKraken()
        self.broker = FakeBroker(self.venue)
        self.path = path
        self.store = Store(metrics, lambda: ThreadedDatabase(SqliteDriver(path)))
        self.book = Book("alpha", metrics, self.store)
        self.state = TradingState.ACTIVE
        self.quotes = {SYMBOL: Quote(bid=Decimal(1000), ask=Decimal(1001), at=clock.timestamp())}
        self.stopping = False
        self.orphans = 0
        self.sync = OrderSync(
            metrics, self.broker, self.book, on_orphan=self._orphan, lost_seconds=LOST_SECONDS
        )
        self.orders = Orders(
            metrics,
            bot="alpha",
            symbols=[SYMBOL, "ETH/USD"],
            broker=cast(Broker, self.broker),
            book=self.book,
            sync=self.sync,
            checks=(
                self.sync.check,
                deny_while("stopping", "the bot is stopping", lambda: self.stopping),
                fresh_quote(10),
                large_enough,
                allowed_by_gate(OrderGate(lambda: self.state)),
            ),
            quotes=self.quotes,
            notional=Decimal(50),
            lifetime_seconds=60,
        )
        self.supervisor = Supervisor([self.store, self.orders])

    def _orphan(self) -> None:
        self.orphans += 1

    async def start(self) -> None:
        self.book.restore(await self.store.load())
        self.supervisor.start()

    async def trade(self, target: Target) -> None:
        await self.orders.ask({SYMBOL: target}, within=10)

    @property
    def statuses(self) -> list[str]:
        with closing(sqlite3.connect(self.path)) as connection:
            rows = connection.execute("SELECT status FROM orders ORDER BY created_at").fetchall()
        return [row[0] for row in rows]
