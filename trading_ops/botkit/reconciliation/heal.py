"""Carries out what a comparison found safe; each step may be repeated."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any, Protocol

from trading_ops import clock, logs
from trading_ops.agent import Side
from trading_ops.botkit.orders.book import Book
from trading_ops.botkit.orders.order import VenueOrder, adopted
from trading_ops.botkit.reconciliation.findings import (
    Adopt,
    Cancel,
    CountLedger,
    CountTrade,
    End,
    Hear,
    Shrink,
    Step,
)
from trading_ops.botkit.records.orders import Adopted
from trading_ops.botkit.venue.errors import VenueRefused
from trading_ops.botkit.venue.port import VenueTrade

log = logs.get(__name__)


class Canceller(Protocol):
    """The part of the broker that is needed here."""

    async def call(self, endpoint: str, request: Callable[[Any], Awaitable[Any]]) -> Any:
        """Make a request.

        Raises:
            Unavailable: the venue cannot be asked now.
            VenueRefused: it said no.
        """
        ...


async def heal(step: Step, book: Book, broker: Canceller) -> None:
    """Take one step.

    Raises:
        Unavailable: store or venue are down; what was done so far stands, and may be done again.
    """
    match step:
        case Hear(order=order, word=word):
            await book.hear(order, word)
        case End(order=order, status=status, reason=reason):
            await book.end(order, status, reason)
        case Adopt(word=word):
            await _adopt(book, word)
        case Cancel(venue_id=venue_id):
            await _cancel(broker, venue_id)
        case CountTrade(trade=trade):
            await book.adopt(adopted_of(step), amounts=amounts_of(trade), code="external_trade")
        case CountLedger(entry=entry):
            changed = {entry.currency: entry.amount - entry.fee}
            await book.adopt(adopted_of(step), amounts=changed, code="ledger_entry")
        case Shrink(symbol=symbol, quantity=quantity):
            await book.shrink(symbol, quantity)


async def _adopt(book: Book, word: VenueOrder) -> None:
    # The order first, without its fills, which are then heard and counted like any others.
    order = adopted(word, word.client_id or word.venue_id, clock.timestamp())
    await book.begin(order)
    await book.hear(order, replace(word, client_id=order.client_id))


async def _cancel(broker: Canceller, venue_id: str) -> None:
    try:
        await broker.call("CancelOrder", lambda venue: venue.cancel(venue_id))
    except VenueRefused as error:
        # It ended in the meantime; the next comparison hears of it.
        log.info("cancel_refused", venue_id=venue_id, error=str(error))


def amounts_of(trade: VenueTrade) -> dict[str, Decimal]:
    """Return by currency what a trade changed the balances by."""
    base, _, quote = trade.symbol.partition("/")
    sign = 1 if trade.side is Side.BUY else -1
    return {base: sign * trade.quantity, quote: -sign * trade.cost - trade.fee}


def adopted_of(step: CountTrade | CountLedger) -> Adopted:
    """Return what is kept of something that happened without us, so that it is counted once."""
    if isinstance(step, CountTrade):
        trade = step.trade
        what = f"{trade.side} {trade.quantity} {trade.symbol} for {trade.cost}, fee {trade.fee}"
        return Adopted(kind="trade", id=trade.trade_id, detail=what, at=trade.at)
    entry = step.entry
    what = f"{entry.kind} of {entry.amount} {entry.currency}, fee {entry.fee}"
    return Adopted(kind="ledger", id=entry.ledger_id, detail=what, at=entry.at)
