"""What IB's adapter makes of orders that the bot did not place."""

from decimal import Decimal

import pytest
from ib_async import Order, OrderStatus, Stock, Trade

from trading_ops.botkit.orders.order import OrderType
from trading_ops.botkit.venue.ib_values import order_of


@pytest.mark.parametrize(("kind", "limit"), [("TRAIL", None), ("STP LMT", "90.5")])
def test_an_order_of_another_type_has_the_limit_price_that_it_has(
    kind: str, limit: str | None
) -> None:
    """The library's value for *none*, 1.8e308, is not taken for a price."""
    wanted = Order(action="BUY", orderType=kind, totalQuantity=3, permId=7, auxPrice=5)
    if limit:
        wanted.lmtPrice = float(limit)
    found = order_of(Trade(Stock("AAPL", "SMART", "USD"), wanted, OrderStatus(status="Submitted")))
    assert (found.type, found.price) == (OrderType.LIMIT, Decimal(limit or 0))
