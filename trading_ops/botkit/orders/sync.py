"""Submits the bot's orders, reads their state from the venue, and cancels them."""

import contextlib
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

from trading_ops import clock, logs
from trading_ops.agent import Denial
from trading_ops.botkit.failpoints import BotFailpoint, reached
from trading_ops.botkit.orders.book import Book
from trading_ops.botkit.orders.checks import Intent
from trading_ops.botkit.orders.order import Order, OrderStatus, Purpose, VenueOrder
from trading_ops.botkit.records.events import Event
from trading_ops.botkit.venue.adapter import VenueCaller
from trading_ops.botkit.venue.errors import VenueRefused
from trading_ops.instrument import BotMetrics

log = logs.get(__name__)


class OrderSync:
    """Keeps the book's orders and the venue's in step. Use it from one task at a time.

    Example:
        sync = OrderSync(metrics, broker, book, on_orphan=reconcile_soon, lost_seconds=15)
        await sync.refresh()
        if sync.check(intent) is None:
            await sync.submit(order)
        await sync.cancel_all()
    """

    def __init__(
        self,
        metrics: BotMetrics,
        broker: VenueCaller,
        book: Book,
        *,
        on_orphan: Callable[[], None],
        lost_seconds: float,
    ) -> None:
        """Use these; no request is made yet.

        Args:
            metrics: of the bot.
            broker: makes the requests.
            book: of the bot.
            on_orphan: called when the venue has open orders of this bot that the book does not
                have; it should start a reconciliation.
            lost_seconds: age from which a submitted order that the venue does not know is taken
                for one that never arrived.
        """
        self._metrics = metrics
        self._broker = broker
        self._book = book
        self._on_orphan = on_orphan
        self._lost = lost_seconds
        self._orphans: dict[str, VenueOrder] = {}
        """By the venue's order ID, orders of this bot that the book does not have yet."""

    async def refresh(self) -> None:
        """Update the book with the venue's state of every open order of this bot.

        Raises:
            Unavailable: the broker or the store is down; earlier updates are kept.
        """
        reports: list[VenueOrder] = await self._broker.call(
            "OpenOrders", lambda venue: venue.open_orders()
        )
        by_client_id = {
            report.client_id: report for report in reports if self._book.owns(report.client_id)
        }
        not_open: list[Order] = []
        open_orphans = self._collect_orphans(by_client_id)
        for order in self._book.open_orders():
            report = by_client_id.pop(order.client_id, None)
            if report is None:
                not_open.append(order)
            else:
                await self._book.update(order, report)
        await self._query(not_open)
        await self._forget_orphans(except_open=open_orphans)

    async def submit(self, order: Order, *why: Event) -> None:
        """Record an order, send it, and record the venue's answer.

        The record is durable before the order is sent, so an order whose answer was lost is found
        again by its client ID. An order that the venue rejects is recorded as rejected.

        Args:
            order: new; its client ID comes from `new_client_id`.
            why: events that explain the order, stored with it.

        Raises:
            Unavailable: the order could not be stored and was not sent, or it was sent and the
                outcome is unknown; `refresh` determines it.
        """
        reached(BotFailpoint.INTENT)
        await self._book.add(order, *why)
        reached(BotFailpoint.INTENT_STORED)
        began = clock.monotonic()
        try:
            venue_id = await self._broker.call("AddOrder", lambda venue: venue.submit(order))
        except VenueRefused as error:
            log.warning("order_rejected", symbol=order.symbol, error=str(error))
            await self._book.finish(order, OrderStatus.REJECTED, str(error))
            return
        self._metrics.order_acknowledged(clock.monotonic() - began, order_id=order.client_id)
        log.info("order_acknowledged", symbol=order.symbol, venue_id=venue_id)
        reached(BotFailpoint.SUBMITTED)
        await self._book.accept(order, venue_id)
        reached(BotFailpoint.ACCEPTED)

    def check(self, intent: Intent) -> Denial | None:
        """Deny an order that could duplicate an orphan: an own order that the book does not have.

        The strategy does not see the orphan and would send it again. An order that reduces the
        position even if the orphan is filled is allowed.
        """
        orphans = [orphan for orphan in self._orphans.values() if orphan.symbol == intent.symbol]
        if not orphans:
            return None
        same_side = sum(
            (orphan.quantity for orphan in orphans if orphan.side is intent.side), Decimal(0)
        )
        if replace(intent, committed=intent.committed + same_side).reduces_position:
            return None
        names = ", ".join(orphan.venue_id for orphan in orphans)
        return Denial(
            code="recovering", detail=f"orders of this bot that are not in its records: {names}"
        )

    async def cancel_all(self, *, stops: bool = True) -> int:
        """Cancel the open orders of the book and read their final state.

        Args:
            stops: whether to cancel stop orders that protect a position too.

        Returns:
            How many orders were cancelled, or were already closed.

        Raises:
            Unavailable: the broker or the store is down; some orders may be cancelled.
        """
        known = [
            order
            for order in self._book.open_orders()
            if order.venue_id is not None and (stops or order.purpose is not Purpose.PROTECTION)
        ]
        for order in known:
            await self.cancel(order)
        await self._query(known)
        return len(known)

    async def cancel(self, order: Order) -> None:
        """Request the cancellation of one order; the next `refresh` records its final state.

        Raises:
            Unavailable: the broker is down; the order may be cancelled.
        """
        reached(BotFailpoint.CANCELLING)
        try:
            await self._broker.call("CancelOrder", lambda venue: venue.cancel(order.venue_id or ""))
        except VenueRefused as error:
            # It was filled or cancelled in the meantime; its next report shows which.
            log.info("cancel_refused", venue_id=order.venue_id, error=str(error))
        reached(BotFailpoint.CANCELLED)

    def _collect_orphans(self, reports: dict[str | None, VenueOrder]) -> set[str]:
        """Remember own open orders that the book does not have; return their venue IDs."""
        in_book = {order.client_id for order in self._book.open_orders()}
        orphans = {
            report.venue_id: report for name, report in reports.items() if name not in in_book
        }
        self._orphans.update(orphans)
        if orphans:
            log.warning("orders_unknown", venue_ids=list(orphans))
            self._on_orphan()
        return set(orphans)

    async def _forget_orphans(self, *, except_open: set[str]) -> None:
        """Forget orphans that the book has now, or that closed with no fill that it lacks."""
        in_book = {order.client_id for order in self._book.open_orders()}
        for venue_id, orphan in list(self._orphans.items()):
            if orphan.client_id in in_book:
                del self._orphans[venue_id]
        ids = [venue_id for venue_id in self._orphans if venue_id not in except_open]
        if not ids:
            return
        reports: list[VenueOrder] = []
        with contextlib.suppress(VenueRefused):  # then they stay orphans
            reports = await self._broker.call("QueryOrders", lambda venue: venue.orders(ids))
        for report in reports:
            known = await self._book.find(self._orphans[report.venue_id].client_id or "")
            counted = known.filled if known else Decimal(0)
            if not report.status.is_open and report.filled <= counted:
                del self._orphans[report.venue_id]

    async def _query(self, orders: list[Order]) -> None:
        """Update the book with the venue's state of orders that are not among its open ones."""
        known = {order.venue_id: order for order in orders if order.venue_id is not None}
        if known:
            ids = list(known)
            for report in await self._broker.call("QueryOrders", lambda venue: venue.orders(ids)):
                await self._book.update(known[report.venue_id], report)
        for order in orders:
            if order.venue_id is None:
                await self._resolve_unacknowledged(order)

    async def _resolve_unacknowledged(self, order: Order) -> None:
        """Find out whether an order without an acknowledgement reached the venue."""
        report: VenueOrder | None = await self._broker.call(
            "QueryOrders", lambda venue: venue.find(order.client_id)
        )
        if report is not None:
            await self._book.update(order, report)
        elif clock.timestamp() - order.created_at > self._lost:
            log.warning("order_lost", order=order.client_id)
            await self._book.finish(order, OrderStatus.REJECTED, "the venue does not know it")
