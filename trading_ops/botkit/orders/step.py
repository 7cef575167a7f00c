"""The decision of a trading pass for one symbol: cancel an order, submit one, or nothing."""

from dataclasses import dataclass
from decimal import Decimal

from trading_ops.agent import Side
from trading_ops.botkit.orders.order import Order, OrderType, Purpose


@dataclass(frozen=True, kw_only=True)
class Cancel:
    """Cancel this order."""

    order: Order


@dataclass(frozen=True, kw_only=True)
class Submit:
    """Submit an order; by default a limit order of the strategy."""

    side: Side
    quantity: Decimal
    price: Decimal
    """The limit price; for other types the market price at the decision."""

    type: OrderType = OrderType.LIMIT
    stop_price: Decimal | None = None
    purpose: Purpose = Purpose.STRATEGY


Step = Cancel | Submit | None
