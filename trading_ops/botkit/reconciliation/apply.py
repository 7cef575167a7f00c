"""Applies the steps that a comparison returned; each step may be repeated safely."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any, Protocol

from trading_ops import clock, logs
from trading_ops.agent import Side
from trading_ops.botkit.orders.book import Book
from trading_ops.botkit.orders.order import VenueOrder, adopted_order
from trading_ops.botkit.reconciliation.findings import (
    AdoptOrder,
    CancelOrder,
    CountLedgerEntry,
    CountTrade,
    EndOrder,
    ReducePosition,
    Step,
    UpdateOrder,
)
from trading_ops.botkit.records.orders import Adopted
from trading_ops.botkit.venue.adapter import VenueTrade
from trading_ops.botkit.venue.errors import VenueRefused

log = logs.get(__name__)


class Canceller(Protocol):
    """The part of the broker that cancels orders."""

    async def call(self, endpoint: str, request: Callable[[Any], Awaitable[Any]]) -> Any:
        """Make a request.

        Raises:
            Unavailable: the venue cannot be queried now.
            VenueRefused: it refused the request.
        """
        ...


async def apply_step(step: Step, book: Book, broker: Canceller) -> None:
    """Apply one step to the book, or cancel the order at the venue.

    Raises:
        Unavailable: the store or the venue is unavailable. What was done is kept, and the step may
            be applied again.
    """
    match step:
        case UpdateOrder(order=order, report=report):
            await book.update(order, report)
        case EndOrder(order=order, status=status, reason=reason):
            await book.finish(order, status, reason)
        case AdoptOrder(report=report):
            await _adopt(book, report)
        case CancelOrder(venue_id=venue_id):
            await _cancel(broker, venue_id)
        case CountTrade(trade=trade):
            await book.adopt(
                counted_event(step), amounts=balance_changes(trade), code="external_trade"
            )
        case CountLedgerEntry(entry=entry):
            changed = {entry.currency: entry.amount - entry.fee}
            await book.adopt(counted_event(step), amounts=changed, code="ledger_entry")
        case ReducePosition(symbol=symbol, quantity=quantity):
            await book.reduce_position(symbol, quantity)


async def _adopt(book: Book, report: VenueOrder) -> None:
    # The order first, without its fills, which are then applied and counted like any others.
    order = adopted_order(report, report.client_id or report.venue_id, clock.timestamp())
    await book.add(order)
    await book.update(order, replace(report, client_id=order.client_id))


async def _cancel(broker: Canceller, venue_id: str) -> None:
    try:
        await broker.call("CancelOrder", lambda venue: venue.cancel(venue_id))
    except VenueRefused as error:
        # The order ended in the meantime; the next comparison reads its end.
        log.info("cancel_refused", venue_id=venue_id, error=str(error))


def balance_changes(trade: VenueTrade) -> dict[str, Decimal]:
    """Return by currency how a trade changed the balances."""
    base, _, quote = trade.symbol.partition("/")
    sign = 1 if trade.side is Side.BUY else -1
    return {base: sign * trade.quantity, quote: -sign * trade.cost - trade.fee}


def counted_event(step: CountTrade | CountLedgerEntry) -> Adopted:
    """Return the record that makes an external trade or ledger entry count only once."""
    if isinstance(step, CountTrade):
        trade = step.trade
        detail = f"{trade.side} {trade.quantity} {trade.symbol} for {trade.cost}, fee {trade.fee}"
        return Adopted(kind="trade", id=trade.trade_id, detail=detail, at=trade.at)
    entry = step.entry
    detail = f"{entry.kind} of {entry.amount} {entry.currency}, fee {entry.fee}"
    return Adopted(kind="ledger", id=entry.ledger_id, detail=detail, at=entry.at)
