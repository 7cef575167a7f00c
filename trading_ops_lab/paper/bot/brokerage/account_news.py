"""Applies the private feed's messages to the book and the balances.

Certain updates are applied at once. Uncertain ones are checked by REST, order by order, in a task
beside the one that reads the feed.
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
"""How long REST may be ahead of the feed on an order before the feed counts as stale."""

EXTERNAL_SECONDS = 5.0
"""Minimum time between two requested comparisons, if there are many external trades."""

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
    """The part of the book that is used here."""

    def owns(self, client_id: str | None) -> bool:
        """Return whether an order was placed by this bot."""
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
    """The requests that supplement the feed."""

    orders: Callable[[list[str]], Awaitable[list[VenueOrder]]]
    """Returns orders by their venue ids."""

    everything: Callable[[], Awaitable[None]]
    """Refreshes all own orders."""

    compare: Callable[[], None]
    """Requests a comparison: something happened on the account that the bot did not order."""


class AccountNews:
    """Applies executions and balance changes; one instance per connection."""

    def __init__(self, book: Book, balances: Balances, rest: Rest) -> None:
        """Start without a snapshot."""
        self._book = book
        self._balances = balances
        self._rest = rest
        self._executions = Executions()
        self._open: dict[str, str] = {}
        """Own open orders whose fills are summed: client ids by venue ids."""

        self._behind: dict[str, float] = {}
        self._uncertain: set[str] = set()
        self._all_uncertain = False
        self._work = asyncio.Event()
        self._external = False
        self._compare_due = 0.0

    def orders_begun(self, snapshot: list[Execution]) -> None:
        """Apply a snapshot of the open orders; all other orders are queried over REST."""
        self._executions.begin(snapshot)
        open_ids = {order.client_id for order in self._book.open_orders()}
        tracked = (order for order in snapshot if self._executions.sums(order.order_id) is not None)
        self._open = {
            order.order_id: order.cl_ord_id for order in tracked if order.cl_ord_id in open_ids
        }
        self._behind.clear()
        self._all_uncertain = True
        self._work.set()

    def orders_unknown(self) -> None:
        """Discard all sums until the next snapshot: messages were lost."""
        self.orders_begun([])

    async def orders_moved(self, news: Iterable[Execution]) -> None:
        """Apply updates of orders."""
        for update in news:
            if self._book.owns(update.cl_ord_id):
                await self._own(update)
            elif update.exec_type == "trade":
                self._external = True

    def money_begun(self, snapshot: Iterable[Money]) -> None:
        """Apply a snapshot of all balances."""
        self._balances.feed_started({balance.asset: balance.balance for balance in snapshot})

    def money_moved(self, news: Iterable[Money]) -> None:
        """Apply changes of balances."""
        for update in news:
            self._balances.feed_changed(update.asset, update.balance)
            self._external = self._external or update.type != "trade"

    async def settle(self) -> None:
        """Ask REST about uncertain orders, until cancelled."""
        while True:
            await self._work.wait()
            self._work.clear()
            uncertain, self._uncertain = list(self._uncertain), set()
            everything, self._all_uncertain = self._all_uncertain, False
            try:
                if everything:
                    await self._rest.everything()
                for start in range(0, len(uncertain), ORDERS_AT_ONCE):
                    await self._ask(uncertain[start : start + ORDERS_AT_ONCE])
            except Unavailable as error:  # the next pass refreshes them
                log.info("account_update_not_applied", reason=str(error))

    def look(self) -> str | None:
        """Request a comparison if one is due; return why the feed is stale, or None."""
        now = clock.monotonic()
        if self._external and now >= self._compare_due:
            self._external, self._compare_due = False, now + EXTERNAL_SECONDS
            self._rest.compare()
        open_orders = {order.client_id: order for order in self._book.open_orders()}
        for order_id, client_id in self._open.items():
            sums, order = self._executions.sums(order_id), open_orders.get(client_id)
            if sums is None or (order is not None and order.filled <= sums.filled):
                self._behind.pop(order_id, None)
            elif now - self._behind.setdefault(order_id, now) > BEHIND_SECONDS:
                return f"REST has known more of order {order_id} for {BEHIND_SECONDS:g} s"
        return None

    async def _own(self, update: Execution) -> None:
        before = self._executions.sums(update.order_id)
        sums = self._executions.hear(update)
        order = next((o for o in self._book.open_orders() if o.client_id == update.cl_ord_id), None)
        if update.exec_type in ENDS:
            self._open.pop(update.order_id, None)
        elif order is not None and sums is not None:
            self._open.setdefault(update.order_id, update.cl_ord_id)
        if order is None:
            # It is recorded as ended; a late fill may be new nevertheless.
            if update.exec_type == "trade":
                self._check_by_rest(update.order_id)
        elif sums is None or (before or Sums()) != Sums(order.filled, order.cost, order.fee):
            # REST was faster, or the feed is incomplete: the fill may already be counted.
            if update.exec_type == "trade" or update.exec_type in ENDS:
                self._executions.forget(update.order_id)
                self._check_by_rest(update.order_id)
        else:
            await self._pass_on(order, update, sums)

    async def _pass_on(self, order: Order, update: Execution, sums: Sums) -> None:
        report = VenueOrder(
            venue_id=update.order_id,
            client_id=order.client_id,
            symbol=order.symbol,
            side=order.side,
            price=order.price,
            quantity=order.quantity,
            status=STATUSES.get(update.exec_type, OrderStatus.ACCEPTED),
            filled=sums.filled,
            cost=sums.cost,
            fee=sums.fee,
            type=order.type,
            stop_price=order.stop_price,
            reason=update.reason,
        )
        try:
            await self._book.update(order, report)
        except Unavailable as error:
            log.info("account_update_not_stored", order=order.client_id, reason=str(error))
            self._executions.forget(update.order_id)

    def _check_by_rest(self, order_id: str) -> None:
        self._uncertain.add(order_id)
        self._work.set()

    async def _ask(self, order_ids: list[str]) -> None:
        for report in await self._rest.orders(order_ids):
            if report.client_id is not None and self._book.owns(report.client_id):
                order = await self._book.find(report.client_id)
                if order is None:
                    self._rest.compare()
                else:
                    await self._book.update(order, report)
