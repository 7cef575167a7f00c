"""What covers an open position: one step a pass."""

from dataclasses import replace
from decimal import Decimal

import pytest

from tests.unit.bot.risky import RULES
from trading_ops.agent import Side
from trading_ops.paper.bot.risk.protection import Step, protected, without_stops
from trading_ops.paper.bot.trading.order import Order, OrderStatus, OrderType, Position, Purpose
from trading_ops.paper.bot.trading.plan import Cancel, Submit

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


def step(plan: Step, alive: list[Order], held: Position = HELD) -> Step:
    return protected(
        plan,
        alive=alive,
        held=held,
        price=Decimal(100),
        rules=RULES,
        stop_percent=Decimal(5),
    )


def test_an_open_position_gets_a_stop_below_its_entry() -> None:
    """For all of it, five percent below what was paid, fees included."""
    placed = step(None, [])
    assert isinstance(placed, Submit)
    assert (placed.side, placed.quantity, placed.type) == (
        Side.SELL,
        Decimal("0.04"),
        OrderType.STOP_LOSS,
    )
    assert (placed.stop_price, placed.purpose) == (Decimal("95.0"), Purpose.PROTECTION)


@pytest.mark.parametrize(
    ("plan", "alive", "held", "expected"),
    [
        (None, [], NOTHING, None),
        (None, [], Position(quantity=Decimal("0.0099"), cost=Decimal(1)), None),
        (None, [STOP], HELD, None),
        (None, [EXIT], HELD, None),
        (None, [STOP], NOTHING, Cancel(order=STOP)),
        (None, [replace(STOP, quantity=Decimal("0.03"))], HELD, "cancel"),
        (None, [ENTRY, replace(STOP, quantity=Decimal("0.03"))], HELD, None),
        (None, [ENTRY, replace(STOP, quantity=Decimal("0.05"))], HELD, "cancel"),
        (None, [STOP, replace(STOP, client_id="second")], HELD, Cancel(order=STOP)),
        (SELL, [STOP], HELD, Cancel(order=STOP)),
        (SELL, [], HELD, SELL),
        (SELL, [replace(STOP, status=OrderStatus.SUBMITTED)], HELD, None),
        (None, [replace(STOP, status=OrderStatus.SUBMITTED)], HELD, None),
        (BUY, [], NOTHING, BUY),
        (Cancel(order=ENTRY), [ENTRY, STOP], HELD, Cancel(order=ENTRY)),
    ],
)
def test_steps(plan: Step, alive: list[Order], held: Position, expected: Step | str) -> None:
    """Exits go first; a stop that does not fit is replaced; one in doubt is waited for."""
    taken = step(plan, alive, held)
    if expected == "cancel":
        assert isinstance(taken, Cancel)
        assert taken.order.purpose is Purpose.PROTECTION
    else:
        assert taken == expected


def test_a_partly_filled_entry_is_covered_while_the_rest_of_it_waits() -> None:
    """What is held is covered at once."""
    placed = step(None, [ENTRY])
    assert isinstance(placed, Submit)
    assert placed.purpose is Purpose.PROTECTION


def test_the_strategy_does_not_see_stops() -> None:
    """It would take them for orders of its own that are too old."""
    assert without_stops([STOP, ENTRY]) == [ENTRY]
