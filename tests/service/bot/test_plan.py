"""The strategy and the one step a pass that follows from it."""

from decimal import Decimal

import pytest

from tests.service.bot.values import QUOTE, RULES, order
from trading_ops.agent import Side
from trading_ops.botkit.orders.market import Quote
from trading_ops.botkit.orders.order import Order, OrderStatus
from trading_ops.botkit.orders.step import Cancel, Submit
from trading_ops_lab.paper.bot.trading.plan import plan
from trading_ops_lab.paper.bot.trading.strategy import Cross, Target

pytestmark = pytest.mark.processes


def test_cross_follows_the_trend() -> None:
    """Rising prices mean long, falling ones flat, too few nothing."""
    cross = Cross(2, 4)
    targets = [cross.see(Decimal(price)) for price in (1, 2, 3, 4, 5, 4, 3, 2)]
    assert targets == [Target.UNKNOWN] * 3 + [Target.LONG] * 3 + [Target.FLAT] * 2


@pytest.mark.parametrize(
    ("target", "held", "open_orders", "expected"),
    [
        (Target.UNKNOWN, "0", [], None),
        (Target.UNKNOWN, "1", [], None),
        (Target.LONG, "0", [], "buy 0.04999500 1000.1"),
        (Target.LONG, "0.05", [], None),
        (Target.FLAT, "0", [], None),
        (Target.FLAT, "0.00009", [], None),
        (Target.FLAT, "0.05", [], "sell 0.05000000 1000.9"),
        (Target.LONG, "0", [order()], None),
        (Target.LONG, "0", [order(created_at=90.0)], "cancel"),
        (Target.FLAT, "0", [order()], "cancel"),
        (Target.UNKNOWN, "0", [order()], "cancel"),
        (Target.LONG, "0", [order(side=Side.SELL)], "cancel"),
        (Target.FLAT, "0", [order(status=OrderStatus.SUBMITTED, created_at=0.0)], None),
    ],
)
def test_plan(target: Target, held: str, open_orders: list[Order], expected: str | None) -> None:
    """One step a pass: cancel what is old or contradicts, else enter or leave."""
    step = plan(
        target=target,
        held=Decimal(held),
        open_orders=open_orders,
        quote=QUOTE,
        rules=RULES,
        notional=Decimal(50),
        lifetime=5.0,
        now=100.0,
    )
    match step:
        case Cancel():
            assert expected == "cancel"
        case Submit():
            assert expected == f"{step.side} {step.quantity} {step.price}"
        case None:
            assert expected is None


@pytest.mark.parametrize(
    ("target", "held", "price"), [(Target.LONG, "0", "1000.0"), (Target.FLAT, "1", "1000.1")]
)
def test_plan_without_room_in_the_spread(target: Target, held: str, price: str) -> None:
    """Where nothing fits inside the spread, the order joins the best price."""
    step = plan(
        target=target,
        held=Decimal(held),
        open_orders=[],
        quote=Quote(bid=Decimal("1000.0"), ask=Decimal("1000.1"), at=0.0),
        rules=RULES,
        notional=Decimal(50),
        lifetime=5.0,
        now=0.0,
    )
    assert isinstance(step, Submit)
    assert step.price == Decimal(price)
