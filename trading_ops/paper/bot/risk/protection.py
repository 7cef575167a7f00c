"""What covers an open position while nobody looks: pure, so that it can be tested as a table.

A stop-loss order rests at the venue and is therefore there when the bot is not, until the venue's
dead-man switch cancels it with all other orders. Nothing that rests at the venue outlives that, so
the bot places it anew at its first pass after it has recovered.
"""

from collections.abc import Sequence
from decimal import Decimal
from enum import StrEnum

from trading_ops.agent import Side
from trading_ops.paper.bot.trading.market import Rules
from trading_ops.paper.bot.trading.order import Order, OrderStatus, OrderType, Position, Purpose
from trading_ops.paper.bot.trading.plan import Cancel, Submit

Step = Cancel | Submit | None


class Protection(StrEnum):
    """What covers an open position."""

    NONE = "none"
    """Nothing but the bot itself."""

    STOP_LOSS = "stop_loss"
    """A stop-loss order at the venue for all of it."""


def without_stops(alive: Sequence[Order]) -> list[Order]:
    """Return the orders that the strategy looks after."""
    return [order for order in alive if order.purpose is not Purpose.PROTECTION]


def protected(
    step: Step,
    *,
    alive: Sequence[Order],
    held: Position,
    price: Decimal,
    rules: Rules,
    stop_percent: Decimal,
) -> Step:
    """Return the step to take for a symbol when its position is to be covered by a stop.

    An exit goes before the stop, which would keep its money; the stop comes back when no exit
    rests. While a buy rests, a stop that is already there is left as it is: it is made to fit when
    the buy has ended.

    Args:
        step: what the strategy's plan is.
        alive: own orders of the symbol that may still be filled, stops among them.
        held: the position.
        price: of the market now.
        rules: of the market.
        stop_percent: how far below the mean entry the stop is.
    """
    stops = [order for order in alive if order.purpose is Purpose.PROTECTION]
    others = without_stops(alive)
    if any(order.status is OrderStatus.SUBMITTED for order in stops):
        return None if isinstance(step, Submit) else step  # whether the venue has it is unknown
    if isinstance(step, Submit) and step.side is Side.SELL and stops:
        return Cancel(order=stops[0])
    if step is not None or any(order.side is Side.SELL for order in others):
        return step
    wanted = rules.quantity(held.quantity)
    if len(stops) > 1:
        return Cancel(order=stops[0])
    if stops:
        fits = stops[0].remaining == wanted or (others and stops[0].remaining < wanted)
        return None if fits else Cancel(order=stops[0])
    if held.quantity < rules.minimum:
        return None
    entry = held.cost / held.quantity
    return Submit(
        side=Side.SELL,
        quantity=wanted,
        price=price,
        type=OrderType.STOP_LOSS,
        stop_price=rules.price(entry * (1 - stop_percent / 100)),
        purpose=Purpose.PROTECTION,
    )
