"""Events of orders and fills, for the records and for the agent's journal.

    book.on_event = partial(journal_event, agent.events)
    await repeat_events(store, agent.events)  # at the start, after `book.restore`

reports trades, signals, risk decisions and orders without a fill to the reconciler. A process that
was killed after a change was committed and before its journal was written has lost no event.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import partial
from typing import Protocol, TypeVar

from trading_ops import clock, logs
from trading_ops.agent import EventJournal, EventSeverity, Side, TradingState
from trading_ops.agent import EventKind as Journalled
from trading_ops.agent.journal import ID_LIMIT
from trading_ops.botkit.component import Unavailable
from trading_ops.botkit.orders.order import Fill, Order, OrderStatus, OrderType, Purpose
from trading_ops.botkit.records.events import (
    DECISION_PRICE,
    LEASE_ACQUIRED,
    Event,
    EventLogKind,
    latest_events,
)
from trading_ops.botkit.records.sql import Session
from trading_ops.errors import StoreError

Result = TypeVar("Result")

log = logs.get(__name__)

RECOVERED = "recovered"
"""The code of the event that ends a startup reconciliation."""

CORRECTED = frozenset({"correct", "cancel"})
"""The remedies that settle a difference with the venue."""

LINES, LINE = 10, 150
"""Differences in a report of a restart, and the characters of each; an event has a limit."""

UNFILLED = frozenset(
    {OrderStatus.CANCELLED, OrderStatus.DENIED, OrderStatus.EXPIRED, OrderStatus.REJECTED}
)
DENIED = "denied"
"""The outcome in the detail of an order that a check of the bot stopped."""

REPEATED = 200
"""Events of each kind, the newest, that are reported again at a start."""


class Records(Protocol):
    """Reads the records of a bot: a `Store`, or a connection of a standby instance."""

    async def transact(self, work: Callable[[Session], Result]) -> Result:
        """Run `work` in a transaction."""
        ...


def order_event(
    order: Order,
    kind: EventLogKind,
    fill: Fill | None = None,
    profit: Decimal | None = None,
    origin: Mapping[str, str] | None = None,
) -> Event:
    """Return the event of a status change of an order, or of a fill.

    Args:
        order: after the change.
        kind: ORDER for a status change, TRADE for a fill.
        fill: the fill of a TRADE event.
        profit: realized by the fill, in quote currency; None for a purchase.
        origin: strategy, signal and decision price of the order; None: none is known.
    """
    detail = {
        **(origin or {}),
        "side": order.side.value,
        "type": order.type.value,
        "quantity": str(order.quantity),
        "price": str(order.price),
        "filled": str(order.filled),
    }
    if order.reason:
        detail["reason"] = order.reason
    if fill is not None:
        detail |= {
            "trade": trade_id(fill),
            "fill": str(fill.quantity),
            "cost": str(fill.cost),
            "fee": str(fill.fee),
        }
        if (slippage := _slippage(order, fill, origin or {})) is not None:
            detail["slippage"] = f"{slippage.normalize():f}"
    if profit is not None:
        detail["profit"] = f"{profit.normalize():f}"
    return Event(
        at=clock.timestamp(),
        kind=kind,
        code="fill" if fill is not None else order.status.value,
        symbol=order.symbol,
        order_id=order.client_id,
        detail=detail,
    )


def _slippage(order: Order, fill: Fill, origin: Mapping[str, str]) -> Decimal | None:
    """Return how much worse than the price at the decision a fill was, in quote currency.

    Without the fee; negative: better. The decision price is that of the signal, or the trigger of
    a stop, or the price of a market order. None: it is unknown, as for a limit order without a
    signal, whose own price is a limit, and for an order that was found at the venue.
    """
    if order.type is OrderType.STOP_LOSS:
        decided = order.stop_price
    elif DECISION_PRICE in origin:
        decided = Decimal(origin[DECISION_PRICE])
    elif order.type is OrderType.MARKET and order.purpose is not Purpose.ADOPTED:
        decided = order.price
    else:
        decided = None
    if not decided:
        return None
    worse = fill.cost - decided * fill.quantity
    return worse if order.side is Side.BUY else -worse


def journal_event(journal: EventJournal, event: Event) -> None:
    """Add an event to the agent's journal for the reconciler; a duplicate is ignored.

    Orders are reported when they end without being filled, or were denied. The correlation ID is
    the signal that an order follows from; without one, the order.
    """
    if event.kind is EventLogKind.TRADE:
        _journal_trade(journal, event)
    elif event.kind is EventLogKind.SIGNAL:
        summary = f"{event.detail.get('target', event.code)} {event.symbol or ''}".strip()
        _add(journal, Journalled.SIGNAL, event, summary)
    elif event.kind is EventLogKind.RISK:
        summary = f"{event.code}: {event.detail.get('reason', event.detail.get('limit', ''))}"
        halts = event.detail.get("state") == TradingState.HALTED.value
        breach = EventSeverity.CRITICAL if halts else EventSeverity.WARNING
        severity = breach if event.code == "breach" else EventSeverity.INFO
        _add(journal, Journalled.RISK, event, summary, severity)
    elif event.kind is EventLogKind.ORDER and (
        event.code in UNFILLED or event.detail.get("outcome") == DENIED
    ):
        why = event.detail.get("why") or event.detail.get("reason") or ""
        order = f"{event.detail.get('side', '')} {event.detail.get('quantity', '')} {event.symbol}"
        _add(journal, Journalled.ORDER, event, f"{event.code}: {order} {why}".strip())
    elif event.kind is EventLogKind.RECOVERY and event.code == RECOVERED:
        _journal_restart(journal, event)


async def repeat_events(
    records: Records, journal: EventJournal, *, instance: str | None = None
) -> None:
    """Add the newest events of earlier runs to the agent's journal; it ignores those it has.

    Call it at each start: an earlier run may have been killed after an event was committed to the
    records and before the journal was written. Records that cannot be read are logged, because the
    bot may trade without them.

    Args:
        records: of the bot.
        journal: of the agent.
        instance: the name of this instance of a bot with standbys: only events of the times at
            which it was the leader are added, because each instance reports under its own name.
            None: all events are this bot's.
    """
    try:
        found = await records.transact(partial(_reported, instance=instance))
    except (StoreError, Unavailable) as error:
        log.warning("events_not_repeated", error=str(error))
        return
    for event in found:
        journal_event(journal, event)


def _reported(session: Session, instance: str | None) -> list[Event]:
    """Return the newest events of each kind, oldest first."""
    found = [
        event
        for kind in EventLogKind
        for event in latest_events(session, kind=kind, number=REPEATED)
    ]
    if instance is not None:
        terms = latest_events(session, kind=None, code=LEASE_ACQUIRED, number=REPEATED)
        found = [event for event in found if _leader_at(event.at, terms) == instance]
    return sorted(found, key=lambda event: event.at)


def _leader_at(at: float, terms: list[Event]) -> str | None:
    """Return the instance that led at this time; `terms` are newest first."""
    holder = next((term.detail["holder"] for term in terms if term.at <= at), None)
    return None if holder is None else str(holder).rpartition("@")[0]


def _add(
    journal: EventJournal,
    kind: Journalled,
    event: Event,
    summary: str,
    severity: EventSeverity = EventSeverity.INFO,
    *,
    id: str | None = None,  # noqa: A002 - as in the journal
    data: Mapping[str, str] | None = None,
) -> None:
    detail = event.detail
    about = event.order_id or event.symbol or detail.get("limit", "")
    try:
        journal.add(
            kind,
            summary,
            id=id or f"{event.code}:{event.at:.6f}:{about}"[:ID_LIMIT],
            severity=severity,
            at=event.at,
            strategy=str(detail.get("strategy") or detail.get("source") or ""),
            symbol=event.symbol or "",
            order=event.order_id or "",
            correlation=str(detail.get("signal") or event.order_id or ""),
            data=detail if data is None else data,
        )
    except ValueError as error:  # a report must not fail the order that it is about
        log.warning("event_not_reported", code=event.code, error=str(error))


def _journal_restart(journal: EventJournal, event: Event) -> None:
    """Report a startup reconciliation: the downtime, what differed, what was corrected."""
    detail = event.detail
    away = detail.get("away_seconds")
    if away is None:  # the first start
        return
    found: dict[bool, list[str]] = {True: [], False: []}
    for finding in detail["found"]:
        corrected = finding["remedy"] in CORRECTED
        found[corrected].append(
            f"{finding['cause']} {finding['subject']}: {finding['detail']}"[:LINE]
        )
    differences = int(detail["count"])
    summary = f"back after {away:.0f} s; {differences or 'no'} differences with the venue"
    _add(
        journal,
        Journalled.SYSTEM,
        event,
        summary + (f", {len(found[False])} still open" if found[False] else ""),
        EventSeverity.WARNING if differences else EventSeverity.INFO,
        data={
            "away_seconds": f"{away:.1f}",
            "reconciled_in_seconds": f"{detail['took_seconds']:.1f}",
            "corrected": "; ".join(found[True][:LINES]),
            "still_open": "; ".join(found[False][:LINES]),
        },
    )


def _journal_trade(journal: EventJournal, event: Event) -> None:
    detail, symbol = event.detail, event.symbol or ""
    _add(
        journal,
        Journalled.TRADE,
        event,
        f"{detail['side']} {detail['fill']} {symbol} for {detail['cost']}",
        id=detail["trade"],
        data={
            "side": detail["side"],
            "quantity": detail["fill"],
            "cost": detail["cost"],
            "fee": detail["fee"],
            "currency": symbol.partition("/")[2],
            **{name: detail[name] for name in ("profit", "slippage") if name in detail},
        },
    )


def trade_id(fill: Fill) -> str:
    """Return the unique ID of a fill: its order and the cumulative filled quantity."""
    return f"{fill.client_id}@{fill.upto}"
