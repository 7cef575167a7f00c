"""Events of orders and fills, for the records and for the agent's journal.

Set `book.on_trade = partial(journal_trade, agent.events)` to report each trade to the reconciler.
"""

from decimal import Decimal

from trading_ops import clock
from trading_ops.agent import EventJournal
from trading_ops.agent import EventKind as Journalled
from trading_ops.botkit.orders.order import Fill, Order
from trading_ops.botkit.records.events import Event, EventKind


def order_event(
    order: Order, kind: EventKind, fill: Fill | None = None, profit: Decimal | None = None
) -> Event:
    """Return the event of a status change of an order, or of a fill.

    Args:
        order: after the change.
        kind: ORDER for a status change, TRADE for a fill.
        fill: the fill of a TRADE event.
        profit: realized by the fill, in quote currency; None for a purchase.
    """
    detail = {
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
    if profit is not None:
        detail["profit"] = str(profit)
    return Event(
        at=clock.timestamp(),
        kind=kind,
        code="fill" if fill is not None else order.status.value,
        symbol=order.symbol,
        order_id=order.client_id,
        detail=detail,
    )


def journal_trade(journal: EventJournal, event: Event) -> None:
    """Add a TRADE event to the agent's journal for the reconciler; a duplicate is ignored."""
    detail = event.detail
    symbol = event.symbol or ""
    journal.add(
        Journalled.TRADE,
        f"{detail['side']} {detail['fill']} {symbol} for {detail['cost']}",
        id=detail["trade"],
        at=event.at,
        symbol=symbol,
        order=event.order_id or "",
        data={
            "side": detail["side"],
            "quantity": detail["fill"],
            "cost": detail["cost"],
            "fee": detail["fee"],
            "currency": symbol.partition("/")[2],
            **({"profit": detail["profit"]} if "profit" in detail else {}),
        },
    )


def trade_id(fill: Fill) -> str:
    """Return the unique ID of a fill: its order and the cumulative filled quantity."""
    return f"{fill.client_id}@{fill.upto}"
