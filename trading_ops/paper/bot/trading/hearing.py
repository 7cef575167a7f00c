"""Hears what became of the bot's orders: the venue's word on each, and never a guess."""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from trading_ops import clock, logs
from trading_ops.paper.bot.brokerage.venue_errors import VenueRefused
from trading_ops.paper.bot.checkpoints import Place, reached
from trading_ops.paper.bot.trading.book import Book
from trading_ops.paper.bot.trading.order import Order, OrderStatus, Purpose, VenueOrder

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
    """Asks the venue about the book's orders, and cancels them."""

    def __init__(
        self,
        broker: Caller,
        book: Book,
        *,
        on_orphan: Callable[[], None],
        lost_seconds: float,
    ) -> None:
        """Take what is asked, and what is told.

        Args:
            broker: asks the venue.
            book: of the bot.
            on_orphan: is told of orders that are ours and not in the book.
            lost_seconds: after which an order that was sent, and that the venue does not know,
                never arrived.
        """
        self._broker = broker
        self._book = book
        self._on_orphan = on_orphan
        self._lost = lost_seconds

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
        for order in self._book.alive():
            word = by_client_id.pop(order.client_id, None)
            if word is None:
                gone.append(order)
            else:
                await self._book.hear(order, word)
        await self._hear_of(gone)
        if by_client_id:
            log.warning("orders_unknown", venue_ids=[w.venue_id for w in by_client_id.values()])
            self._on_orphan()

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
        reached(Place.CANCELLING)
        try:
            await self._broker.call("CancelOrder", lambda venue: venue.cancel(order.venue_id or ""))
        except VenueRefused as error:
            # It was filled or cancelled in the meantime; the next word on it will tell.
            log.info("cancel_refused", venue_id=order.venue_id, error=str(error))
        reached(Place.CANCELLED)

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
