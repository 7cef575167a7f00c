"""What is told of an order: in the records of events, and to the agent's journal."""

from decimal import Decimal

from trading_ops import clock
from trading_ops.agent import EventJournal
from trading_ops.agent import EventKind as Journalled
from trading_ops.botkit.orders.order import Fill, Order
from trading_ops.botkit.records.events import Event, EventKind


def event_of(
    order: Order, kind: EventKind, fill: Fill | None = None, profit: Decimal | None = None
) -> Event:
    """Return the event of an order that changed, or of its fill with the profit it realized."""
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


def keep_trade(journal: EventJournal, event: Event) -> None:
    """Keep a trade for the reconciler; one that it has already is ignored."""
    told = event.detail
    symbol = event.symbol or ""
    journal.add(
        Journalled.TRADE,
        f"{told['side']} {told['fill']} {symbol} for {told['cost']}",
        id=told["trade"],
        at=event.at,
        symbol=symbol,
        order=event.order_id or "",
        data={
            "side": told["side"],
            "quantity": told["fill"],
            "cost": told["cost"],
            "fee": told["fee"],
            "currency": symbol.partition("/")[2],
            **({"profit": told["profit"]} if "profit" in told else {}),
        },
    )


def trade_id(fill: Fill) -> str:
    """Return what names one fill: its order, and how much of it was filled with it."""
    return f"{fill.client_id}@{fill.upto}"
