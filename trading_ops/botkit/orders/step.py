"""One step of a trading pass for one symbol: cancel an order, or submit one."""

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
    """Place an order; by default a limit order for the strategy's target."""

    side: Side
    quantity: Decimal
    price: Decimal
    """The limit; of other types the price that it is decided at."""

    type: OrderType = OrderType.LIMIT
    stop_price: Decimal | None = None
    purpose: Purpose = Purpose.STRATEGY


Step = Cancel | Submit | None
