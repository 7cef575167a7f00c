"""What covers an open position: one step a pass."""

from dataclasses import replace
from decimal import Decimal

import pytest

from tests.unit.botkit.risky import RULES
from trading_ops.agent import Side
from trading_ops.botkit.orders.order import Order, OrderStatus, OrderType, Position, Purpose
from trading_ops.botkit.orders.step import Cancel, Step, Submit
from trading_ops.botkit.risk.protection import CancelStop, with_protection, without_stops

HELD = Position(quantity=Decimal("0.04"), cost=Decimal(4))
NOTHING = Position()
STOP = Order(
    client_id="stop",
    symbol="BTC/USD",
    side=Side.SELL,
    price=Decimal(95),
    quantity=Decimal("0.04"),
    created_at=0.0,
    type=OrderType.STOP_LOSS,
    stop_price=Decimal(95),
    purpose=Purpose.PROTECTION,
    venue_id="V1",
    status=OrderStatus.ACCEPTED,
)
ENTRY = replace(
    STOP, client_id="entry", side=Side.BUY, type=OrderType.LIMIT, purpose=Purpose.STRATEGY
)
EXIT = replace(ENTRY, client_id="exit", side=Side.SELL)
BUY = Submit(side=Side.BUY, quantity=Decimal("0.04"), price=Decimal(100))
SELL = Submit(side=Side.SELL, quantity=Decimal("0.04"), price=Decimal(100))
DUST = Position(quantity=Decimal("0.0099"), cost=Decimal(1))
NEW_STOP = Submit(
    side=Side.SELL,
    quantity=Decimal("0.04"),
    price=Decimal(100),
    type=OrderType.STOP_LOSS,
    stop_price=Decimal("95.0"),
    purpose=Purpose.PROTECTION,
)


def stop(quantity: str) -> Order:
    return replace(STOP, client_id=f"stop for {quantity}", quantity=Decimal(quantity))


def way(gone: Order, then: Submit | None) -> CancelStop:
    return CancelStop(order=gone, then=then)


def step(plan: Step, open_orders: list[Order], held: Position = HELD) -> Step:
    return with_protection(
        plan,
        open_orders=open_orders,
        held=held,
        price=Decimal(100),
        rules=RULES,
        stop_percent=Decimal(5),
    )


def test_an_open_position_gets_a_stop_below_its_entry() -> None:
    """For all of it, five percent below what was paid, fees included."""
    assert step(None, []) == NEW_STOP


@pytest.mark.parametrize(
    ("plan", "open_orders", "held", "expected"),
    [
        (None, [], NOTHING, None),
        (None, [], DUST, None),
        (None, [STOP], HELD, None),
        (None, [EXIT], HELD, None),
        (SELL, [], HELD, SELL),
        (SELL, [replace(STOP, status=OrderStatus.SUBMITTED)], HELD, None),
        (None, [replace(STOP, status=OrderStatus.SUBMITTED)], HELD, None),
        (BUY, [], NOTHING, BUY),
        (Cancel(order=ENTRY), [ENTRY, STOP], HELD, Cancel(order=ENTRY)),
        (None, [ENTRY, stop("0.03")], HELD, None),
        # Too small for what is held, which nothing could cover better.
        (None, [stop("0.009")], DUST, None),
    ],
)
def test_steps(plan: Step, open_orders: list[Order], held: Position, expected: Step) -> None:
    """A stop that fits stays, and so does one that nothing could replace; one in doubt too."""
    assert step(plan, open_orders, held) == expected


@pytest.mark.parametrize(
    ("plan", "open_orders", "held", "expected"),
    [
        (SELL, [STOP], HELD, way(STOP, SELL)),
        (SELL, [stop("0.03")], HELD, way(stop("0.03"), SELL)),
        (None, [stop("0.03")], HELD, way(stop("0.03"), NEW_STOP)),
        (None, [stop("0.02"), stop("0.01")], HELD, way(stop("0.01"), NEW_STOP)),
        # They sell more than is held.
        (None, [STOP], NOTHING, way(STOP, None)),
        (None, [STOP], DUST, way(STOP, None)),
        (None, [stop("0.0401")], HELD, way(stop("0.0401"), None)),
        (None, [ENTRY, stop("0.05")], HELD, way(stop("0.05"), None)),
        (SELL, [stop("0.05")], HELD, way(stop("0.05"), None)),
        # Of two the one goes that fits less, so that the other covers what is held.
        (None, [STOP, replace(STOP, client_id="second")], HELD, way(STOP, None)),
        (None, [STOP, stop("0.03")], HELD, way(stop("0.03"), None)),
        (None, [stop("0.01"), stop("0.05")], HELD, way(stop("0.05"), None)),
        (SELL, [stop("0.01"), STOP], HELD, way(stop("0.01"), None)),
    ],
)
def test_stops_make_way(
    plan: Step, open_orders: list[Order], held: Position, expected: Step
) -> None:
    """For an exit or a stop that fits, if that can be sent; at once when too much would be sold."""
    assert step(plan, open_orders, held) == expected


def test_a_partly_filled_entry_is_covered_while_the_rest_of_it_waits() -> None:
    """What is held is covered at once."""
    placed = step(None, [ENTRY])
    assert isinstance(placed, Submit)
    assert placed.purpose is Purpose.PROTECTION


def test_the_strategy_does_not_see_stops() -> None:
    """It would take them for orders of its own that are too old."""
    assert without_stops([STOP, ENTRY]) == [ENTRY]
