"""What is told of an order in the records of events."""

from trading_ops import clock
from trading_ops_lab.paper.bot.records.events import Event, EventKind
from trading_ops_lab.paper.bot.signals.source import Signal
from trading_ops_lab.paper.bot.trading.order import Fill, Order


def event_of(order: Order, kind: EventKind, fill: Fill | None = None) -> Event:
    """Return the event of an order that changed, or of its fill."""
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
    return Event(
        at=clock.timestamp(),
        kind=kind,
        code="fill" if fill is not None else order.status.value,
        symbol=order.symbol,
        order_id=order.client_id,
        detail=detail,
    )


def trade_id(fill: Fill) -> str:
    """Return what names one fill: its order, and how much of it was filled with it."""
    return f"{fill.client_id}@{fill.upto}"


def event_of_signal(signal: Signal, order: Order) -> Event:
    """Return the event of a signal that an order follows from: one an order, and no more."""
    detail: dict[str, object] = {
        "signal": signal.id,
        "source": signal.source,
        "target": signal.target.value,
        "signal_at": signal.at,
    }
    if signal.confidence is not None:
        detail["confidence"] = signal.confidence
    if signal.horizon_seconds is not None:
        detail["horizon_seconds"] = signal.horizon_seconds
    return Event(
        at=clock.timestamp(),
        kind=EventKind.SIGNAL,
        code="ordered",
        symbol=order.symbol,
        order_id=order.client_id,
        detail=detail,
    )
