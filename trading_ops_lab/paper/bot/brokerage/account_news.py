"""What the private feed's messages mean for the book and the balances.

What is sure is passed on at once; what is not is asked by REST, order by order, in a task beside
the one that listens.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

import msgspec

from trading_ops import clock, logs
from trading_ops.botkit.component import Unavailable
from trading_ops.botkit.orders.order import Fill, Order, OrderStatus, VenueOrder
from trading_ops.botkit.venue.balances import Balances
from trading_ops_lab.paper.bot.brokerage.executions import ENDS, Execution, Executions, Sums

log = logs.get(__name__)

BEHIND_SECONDS = 5.0
"""How long REST may know more of an order than the feed, before the feed counts as stale."""

STRANGER_SECONDS = 5.0
"""Between two calls for a comparison: many trades by others must not cost one each."""

ORDERS_AT_ONCE = 50

STATUSES = {
    "filled": OrderStatus.FILLED,
    "canceled": OrderStatus.CANCELLED,
    "expired": OrderStatus.EXPIRED,
}


class Money(msgspec.Struct):
    """One balance, or one change of it."""

    asset: str
    balance: Decimal
    type: str = ""
    """Of a change: trade, deposit, withdrawal and so on."""


class Book(Protocol):
    """The part of the book that is needed here."""

    def owns(self, client_id: str | None) -> bool:
        """Say whether an order was placed by this bot."""
        ...

    def open_orders(self) -> list[Order]:
        """Return the orders that may still be filled."""
        ...

    async def find(self, client_id: str) -> Order | None:
        """Return the recorded state of an order, open or closed."""
        ...

    async def update(self, order: Order, report: VenueOrder) -> Fill | None:
        """Record the venue's report on an order."""
        ...


@dataclass(frozen=True, kw_only=True)
class Rest:
    """What is asked beside the feed."""

    orders: Callable[[list[str]], Awaitable[list[VenueOrder]]]
    """About some orders, by the venue's ids."""

    everything: Callable[[], Awaitable[None]]
    """About all own orders, which are then heard."""

    compare: Callable[[], None]
    """Have records and venue compared soon: something happened on the account that is not ours."""


class AccountNews:
    """Hears executions and movements of money; lives as long as one connection."""

    def __init__(self, book: Book, balances: Balances, rest: Rest) -> None:
        """Begin with nothing known."""
        self._book = book
        self._balances = balances
        self._rest = rest
        self._executions = Executions()
        self._open: dict[str, str] = {}
        """Own open orders whose fills are added up: the client's id by the venue's."""

        self._behind: dict[str, float] = {}
        self._doubts: set[str] = set()
        self._doubt_all = False
        self._work = asyncio.Event()
        self._stranger = False
        self._compare_due = 0.0

    def orders_begun(self, snapshot: list[Execution]) -> None:
        """Take the open orders; what else became of orders is asked by REST."""
        self._executions.begin(snapshot)
        open_ids = {order.client_id for order in self._book.open_orders()}
        tracked = (one for one in snapshot if self._executions.sums(one.order_id) is not None)
        self._open = {one.order_id: one.cl_ord_id for one in tracked if one.cl_ord_id in open_ids}
        self._behind.clear()
        self._doubt_all = True
        self._work.set()

    def orders_unknown(self) -> None:
        """Know nothing until the next snapshot: messages were lost."""
        self.orders_begun([])

    async def orders_moved(self, news: Iterable[Execution]) -> None:
        """Take what became of orders."""
        for told in news:
            if self._book.owns(told.cl_ord_id):
                await self._own(told)
            elif told.exec_type == "trade":
                self._stranger = True

    def money_begun(self, snapshot: Iterable[Money]) -> None:
        """Take all that the account has."""
        self._balances.feed_started({one.asset: one.balance for one in snapshot})

    def money_moved(self, news: Iterable[Money]) -> None:
        """Take changes of balances."""
        for told in news:
            self._balances.feed_changed(told.asset, told.balance)
            self._stranger = self._stranger or told.type != "trade"

    async def settle(self) -> None:
        """Ask by REST what the feed cannot tell, until cancelled."""
        while True:
            await self._work.wait()
            self._work.clear()
            doubts, self._doubts = list(self._doubts), set()
            everything, self._doubt_all = self._doubt_all, False
            try:
                if everything:
                    await self._rest.everything()
                for start in range(0, len(doubts), ORDERS_AT_ONCE):
                    await self._ask(doubts[start : start + ORDERS_AT_ONCE])
            except Unavailable as error:  # the next pass asks for the same
                log.info("news_not_settled", reason=str(error))

    def look(self) -> str | None:
        """Call for a comparison if one is due; return what shows that the feed is stale."""
        now = clock.monotonic()
        if self._stranger and now >= self._compare_due:
            self._stranger, self._compare_due = False, now + STRANGER_SECONDS
            self._rest.compare()
        open_orders = {order.client_id: order for order in self._book.open_orders()}
        for order_id, client_id in self._open.items():
            sums, order = self._executions.sums(order_id), open_orders.get(client_id)
            if sums is None or (order is not None and order.filled <= sums.filled):
                self._behind.pop(order_id, None)
            elif now - self._behind.setdefault(order_id, now) > BEHIND_SECONDS:
                return f"REST has known more of order {order_id} for {BEHIND_SECONDS:g} s"
        return None

    async def _own(self, told: Execution) -> None:
        before = self._executions.sums(told.order_id)
        sums = self._executions.hear(told)
        order = next((o for o in self._book.open_orders() if o.client_id == told.cl_ord_id), None)
        if told.exec_type in ENDS:
            self._open.pop(told.order_id, None)
        elif order is not None and sums is not None:
            self._open.setdefault(told.order_id, told.cl_ord_id)
        if order is None:
            # It ended, as far as we know; a fill that is told late may be new nevertheless.
            if told.exec_type == "trade":
                self._doubt(told.order_id)
        elif sums is None or (before or Sums()) != Sums(order.filled, order.cost, order.fee):
            # REST was faster, or the feed is not whole: what is told would be added to something
            # that may contain it.
            if told.exec_type == "trade" or told.exec_type in ENDS:
                self._executions.forget(told.order_id)
                self._doubt(told.order_id)
        else:
            await self._pass_on(order, told, sums)

    async def _pass_on(self, order: Order, told: Execution, sums: Sums) -> None:
        word = VenueOrder(
            venue_id=told.order_id,
            client_id=order.client_id,
            symbol=order.symbol,
            side=order.side,
            price=order.price,
            quantity=order.quantity,
            status=STATUSES.get(told.exec_type, OrderStatus.ACCEPTED),
            filled=sums.filled,
            cost=sums.cost,
            fee=sums.fee,
            type=order.type,
            stop_price=order.stop_price,
            reason=told.reason,
        )
        try:
            await self._book.update(order, word)
        except Unavailable as error:
            log.info("news_not_stored", order=order.client_id, reason=str(error))
            self._executions.forget(told.order_id)

    def _doubt(self, order_id: str) -> None:
        self._doubts.add(order_id)
        self._work.set()

    async def _ask(self, order_ids: list[str]) -> None:
        for word in await self._rest.orders(order_ids):
            if word.client_id is not None and self._book.owns(word.client_id):
                order = await self._book.find(word.client_id)
                if order is None:
                    self._rest.compare()
                else:
                    await self._book.update(order, word)
