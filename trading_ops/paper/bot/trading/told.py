"""What is told of an order in the records of events."""

from trading_ops import clock
from trading_ops.paper.bot.records.events import Event, EventKind
from trading_ops.paper.bot.trading.order import Fill, Order


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
