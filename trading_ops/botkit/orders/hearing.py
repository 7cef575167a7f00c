"""Submits the bot's orders, asks the venue what became of them, and cancels them."""

import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any, Protocol

from trading_ops import clock, logs
from trading_ops.agent import Denial
from trading_ops.botkit.failpoints import Failpoint, reached
from trading_ops.botkit.orders.book import Book
from trading_ops.botkit.orders.checks import Intent
from trading_ops.botkit.orders.order import Order, OrderStatus, Purpose, VenueOrder
from trading_ops.botkit.records.events import Event
from trading_ops.botkit.venue.errors import VenueRefused
from trading_ops.instrument import BotMetrics

log = logs.get(__name__)


class Caller(Protocol):
    """The part of the broker that is needed here."""

    async def call(self, endpoint: str, request: Callable[[Any], Awaitable[Any]]) -> Any:
        """Make a request.

        Raises:
            Unavailable: the venue cannot be asked now.
            VenueRefused: it said no.
        """
        ...


class Hearing:
    """Submits orders, asks the venue about those of the book, and cancels them."""

    def __init__(
        self,
        metrics: BotMetrics,
        broker: Caller,
        book: Book,
        *,
        on_orphan: Callable[[], None],
        lost_seconds: float,
    ) -> None:
        """Take what is asked, and what is told.

        Args:
            metrics: of the bot.
            broker: asks the venue.
            book: of the bot.
            on_orphan: is told of orders that are ours and not in the book.
            lost_seconds: after which an order that was sent, and that the venue does not know,
                never arrived.
        """
        self._metrics = metrics
        self._broker = broker
        self._book = book
        self._on_orphan = on_orphan
        self._lost = lost_seconds
        self._strangers: dict[str, VenueOrder] = {}
        """By the venue's id, orders that are ours and not in the book, until they count there."""

    async def listen(self) -> None:
        """Hear the venue's word on all own orders.

        Raises:
            Unavailable: the broker or the store is down; what was heard so far stands.
        """
        words: list[VenueOrder] = await self._broker.call(
            "OpenOrders", lambda venue: venue.open_orders()
        )
        by_client_id = {word.client_id: word for word in words if self._book.owns(word.client_id)}
        gone: list[Order] = []
        unknown = self._meet_strangers(by_client_id)
        for order in self._book.alive():
            word = by_client_id.pop(order.client_id, None)
            if word is None:
                gone.append(order)
            else:
                await self._book.hear(order, word)
        await self._hear_of(gone)
        await self._know_strangers(still=unknown)

    async def submit(self, order: Order, *why: Event) -> None:
        """Record an order, send it, and record the venue's answer.

        The record is durable before the order leaves, so an order whose answer was lost is found
        again by its client ID. An order that the venue rejects is recorded as rejected.

        Args:
            order: new; its client ID comes from `new_client_id`.
            why: events that explain the order, stored with it.

        Raises:
            Unavailable: the order could not be stored and was not sent, or it was sent and the
                outcome is unknown; `listen` finds out.
        """
        reached(Failpoint.INTENT)
        await self._book.begin(order, *why)
        reached(Failpoint.INTENT_STORED)
        began = clock.monotonic()
        try:
            venue_id = await self._broker.call("AddOrder", lambda venue: venue.submit(order))
        except VenueRefused as error:
            log.warning("order_rejected", symbol=order.symbol, error=str(error))
            await self._book.end(order, OrderStatus.REJECTED, str(error))
            return
        self._metrics.order_acknowledged(clock.monotonic() - began, order_id=order.client_id)
        log.info("order_acknowledged", symbol=order.symbol, venue_id=venue_id)
        reached(Failpoint.SUBMITTED)
        await self._book.accept(order, venue_id)
        reached(Failpoint.ACCEPTED)

    def check(self, intent: Intent) -> Denial | None:
        """Deny what could double an order of ours that the book does not know (yet).

        Such an order was sent by this bot, so the plan, which does not see it, would send it again.
        What surely lowers the position all the same may leave.
        """
        met = [one for one in self._strangers.values() if one.symbol == intent.symbol]
        if not met:
            return None
        same = sum((one.quantity for one in met if one.side is intent.side), Decimal(0))
        if replace(intent, committed=intent.committed + same).shrinks:
            return None
        names = ", ".join(one.venue_id for one in met)
        return Denial(code="recovering", detail=f"not in our records, and ours: {names}")

    async def cancel_all(self, *, stops: bool = True) -> int:
        """Cancel the orders of the book, and hear what became of them; return how many there were.

        Without `stops`, those that cover a position stay.

        Raises:
            Unavailable: the broker or the store is down; some may be cancelled.
        """
        known = [
            order
            for order in self._book.alive()
            if order.venue_id is not None and (stops or order.purpose is not Purpose.PROTECTION)
        ]
        for order in known:
            await self.cancel(order)
        await self._hear_of(known)
        return len(known)

    async def cancel(self, order: Order) -> None:
        """Cancel one order; the next word on it tells what became of it.

        Raises:
            Unavailable: the broker is down.
        """
        reached(Failpoint.CANCELLING)
        try:
            await self._broker.call("CancelOrder", lambda venue: venue.cancel(order.venue_id or ""))
        except VenueRefused as error:
            # It was filled or cancelled in the meantime; the next word on it will tell.
            log.info("cancel_refused", venue_id=order.venue_id, error=str(error))
        reached(Failpoint.CANCELLED)

    def _meet_strangers(self, words: dict[str | None, VenueOrder]) -> set[str]:
        """Remember the own open orders that are not in the book; return their venue ids."""
        alive = {order.client_id for order in self._book.alive()}
        met = {word.venue_id: word for name, word in words.items() if name not in alive}
        self._strangers.update(met)
        if met:
            log.warning("orders_unknown", venue_ids=list(met))
            self._on_orphan()
        return set(met)

    async def _know_strangers(self, *, still: set[str]) -> None:
        """Forget strangers that are in the book, or ended with no more fills than it knows of."""
        alive = {order.client_id for order in self._book.alive()}
        for venue_id, word in list(self._strangers.items()):
            if word.client_id in alive:
                del self._strangers[venue_id]
        ids = [venue_id for venue_id in self._strangers if venue_id not in still]
        if not ids:
            return
        told: list[VenueOrder] = []
        with contextlib.suppress(VenueRefused):  # then they stay strangers
            told = await self._broker.call("QueryOrders", lambda venue: venue.orders(ids))
        for word in told:
            known = await self._book.recall(self._strangers[word.venue_id].client_id or "")
            counted = known.filled if known else Decimal(0)
            if not word.status.alive and word.filled <= counted:
                del self._strangers[word.venue_id]

    async def _hear_of(self, orders: list[Order]) -> None:
        """Ask about orders that are not open (any more)."""
        known = {order.venue_id: order for order in orders if order.venue_id is not None}
        if known:
            ids = list(known)
            for word in await self._broker.call("QueryOrders", lambda venue: venue.orders(ids)):
                await self._book.hear(known[word.venue_id], word)
        for order in orders:
            if order.venue_id is None:
                await self._find(order)

    async def _find(self, order: Order) -> None:
        """Find out whether an order arrived whose acknowledgement did not."""
        word: VenueOrder | None = await self._broker.call(
            "QueryOrders", lambda venue: venue.find(order.client_id)
        )
        if word is not None:
            await self._book.hear(order, word)
        elif clock.timestamp() - order.created_at > self._lost:
            log.warning("order_lost", order=order.client_id)
            await self._book.end(order, OrderStatus.REJECTED, "the venue does not know it")
