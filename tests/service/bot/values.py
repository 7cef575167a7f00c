"""What several tests of the bot's values start with."""

from decimal import Decimal

from trading_ops.agent import Side
from trading_ops.botkit.orders.market import Quote, Rules
from trading_ops.botkit.orders.order import Order, OrderStatus

RULES = Rules(tick=Decimal("0.1"), lot=Decimal("0.00000001"), minimum=Decimal("0.0001"))
QUOTE = Quote(bid=Decimal(1000), ask=Decimal(1001), at=0.0)


def order(
    side: Side = Side.BUY, status: OrderStatus = OrderStatus.ACCEPTED, created_at: float = 100.0
) -> Order:
    return Order(
        client_id="c",
        symbol="BTC/USD",
        side=side,
        price=Decimal(1000),
        quantity=Decimal("0.05"),
        created_at=created_at,
        venue_id="v",
        status=status,
    )
