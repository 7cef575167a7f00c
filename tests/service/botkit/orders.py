"""An order, the signal that it follows from, and a venue's report that half of it was filled."""

from decimal import Decimal

from tests.service.botkit.conftest import SYMBOL
from trading_ops import clock
from trading_ops.agent import Side
from trading_ops.botkit.orders.order import Order, OrderStatus, VenueOrder
from trading_ops.botkit.records.events import Event, EventLogKind


def order_of(name: str) -> Order:
    return Order(
        client_id=name,
        symbol=SYMBOL,
        side=Side.BUY,
        price=Decimal(1000),
        quantity=Decimal(1),
        created_at=clock.timestamp(),
    )


def signal_of(order: Order) -> Event:
    detail = {"source": "sma", "signal": "s-1", "target": "long"}
    return Event(
        at=clock.timestamp(),
        kind=EventLogKind.SIGNAL,
        code="ordered",
        symbol=order.symbol,
        order_id=order.client_id,
        detail=detail,
    )


def half_of(order: Order) -> VenueOrder:
    return VenueOrder(
        venue_id="v-1",
        client_id=order.client_id,
        symbol=order.symbol,
        side=order.side,
        price=order.price,
        quantity=order.quantity,
        status=OrderStatus.CANCELLED,
        filled=Decimal("0.5"),
        cost=Decimal(500),
        fee=Decimal("0.2"),
    )
