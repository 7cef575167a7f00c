"""The closed trades of a Freqtrade as events of the bot.

GET /trades only reads the database: it needs neither the exchange nor Freqtrade's loop. Trades are
numbered by their closing time. That is not always the order in which Freqtrade stores them, so
each read returns the newest ones again, and the reader recognizes known events by their IDs.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from trading_ops.clients.agent import EventsPage, ReportedEvent

JOURNAL = "closed-trades"

NEWEST = 50
"""Number of trades in the usual request."""

DEEPER, REQUESTS = 200, 5
"""Trades in each further request, and their number, while all trades so far are new. Older trades
than these are left out."""

READ_AT_ONCE = 200
"""Maximum new events in one answer; the oldest first."""

Ask = Callable[[dict[str, str]], Awaitable["Trades"]]
"""Sends GET /trades with these parameters."""


class ClosedTrade(msgspec.Struct):
    """The fields we read of a closed trade."""

    trade_id: int
    pair: str
    is_short: bool
    amount: float
    open_rate: float
    open_timestamp: float
    """In milliseconds."""

    close_timestamp: float = 0.0
    """In milliseconds."""

    close_rate: float | None = None
    close_profit_abs: float | None = None
    """After fees, in the quote currency."""

    close_profit: float | None = None
    """As a ratio."""

    fee_open: float | None = None
    """As a ratio."""

    fee_close: float | None = None
    quote_currency: str | None = None
    strategy: str | None = None
    exit_reason: str | None = None


class Trades(msgspec.Struct):
    """GET /trades."""

    trades: list[ClosedTrade]


async def closed_trades(ask: Ask, after: int) -> EventsPage:
    """Return trades that closed after this time, and before them the newest known ones.

    Args:
        ask: sends the request.
        after: the number of the last known event, in milliseconds since the epoch.
    """
    found: list[ClosedTrade] = []
    for number in range(1 + REQUESTS):
        limit = DEEPER if number else NEWEST
        params = {"limit": str(limit), "offset": str(len(found)), "order_by_id": "false"}
        page = (await ask(params)).trades
        found += page
        if len(page) < limit or page[-1].close_timestamp <= after:
            break
    known = [trade for trade in found if trade.close_timestamp <= after]
    new = sorted(
        (trade for trade in found if trade.close_timestamp > after),
        key=lambda trade: trade.close_timestamp,
    )
    events = [_event(trade) for trade in (*new[:READ_AT_ONCE], *known[:NEWEST])]
    return EventsPage(journal=JOURNAL, events=events)


def _event(trade: ClosedTrade) -> ReportedEvent:
    side = "short" if trade.is_short else "long"
    currency = trade.quote_currency or trade.pair.partition(":")[0].rpartition("/")[2]
    data: dict[str, Any] = {
        "currency": currency,
        "side": side,
        "amount": _decimal(trade.amount),
        "open_rate": _decimal(trade.open_rate),
        "close_rate": _decimal(trade.close_rate),
        "profit": _decimal(trade.close_profit_abs),
        "fee": _decimal(_fee(trade)),
        "exit_reason": trade.exit_reason,
    }
    return ReportedEvent(
        number=int(trade.close_timestamp),
        # A new database starts with trade 1 again.
        id=f"freqtrade-{trade.trade_id}-{int(trade.open_timestamp)}",
        kind="trade",
        severity="info",
        at=trade.close_timestamp / 1000,
        summary=f"closed {side} {_decimal(trade.amount)} {trade.pair}{_result(trade, currency)}",
        strategy=trade.strategy or "",
        symbol=trade.pair,
        order=str(trade.trade_id),
        data={name: value for name, value in data.items() if value not in {None, ""}},
    )


def _result(trade: ClosedTrade, currency: str) -> str:
    if trade.close_profit_abs is None:
        return ""
    ratio = "" if trade.close_profit is None else f" ({100 * trade.close_profit:+.2f} %)"
    return f": {trade.close_profit_abs:+.2f} {currency}{ratio}"


def _fee(trade: ClosedTrade) -> float | None:
    """Return the fees of entry and exit, in the quote currency, as Freqtrade computes them."""
    if trade.fee_open is None or trade.fee_close is None or trade.close_rate is None:
        return None
    paid = trade.fee_open * trade.open_rate + trade.fee_close * trade.close_rate
    return trade.amount * paid


def _decimal(value: float | None) -> str | None:
    """Return a number without an exponent: Freqtrade computes with binary fractions."""
    return None if value is None else f"{value:.8f}".rstrip("0").rstrip(".")
