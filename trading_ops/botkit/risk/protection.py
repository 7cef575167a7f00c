"""What covers an open position while nobody looks: pure, so that it can be tested as a table.

A stop-loss order rests at the venue and is therefore there when the bot is not, until the venue's
dead-man switch cancels it with all other orders. Nothing that rests at the venue outlives that, so
the bot places it anew at its first pass after it has recovered.

A stop makes way for an order that will be sent, and for no other: a bot that may send none, as one
that is halted, would else end with a naked position. One for more than is held goes in any state.
The venue has set all of it aside, so what it would sell beyond the position is somebody else's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from trading_ops.agent import Side
from trading_ops.botkit.orders.market import Rules
from trading_ops.botkit.orders.order import Order, OrderStatus, OrderType, Position, Purpose
from trading_ops.botkit.orders.step import Cancel, Step, Submit


@dataclass(frozen=True, kw_only=True)
class MakeWay(Cancel):
    """Cancel a stop, so that another order can be sent."""

    then: Submit | None
    """Only if this one would be let through; None: in any state."""


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
    the buy has ended. One that is too small stays where none could be placed instead.

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
    wanted = rules.quantity(held.quantity)
    if isinstance(step, Submit) and step.side is Side.SELL and stops:
        return _make_way(stops, held, wanted, step)
    if step is not None or any(order.side is Side.SELL for order in others):
        return step
    sellable = held.quantity > 0 and held.quantity >= rules.minimum
    if len(stops) == 1:
        small = stops[0].remaining < wanted and (others or not sellable)
        if small or stops[0].remaining == wanted:
            return None
    stop = _stop(held, wanted, price, rules, stop_percent) if sellable else None
    return _make_way(stops, held, wanted, stop) if stops else stop


def _make_way(
    stops: Sequence[Order], held: Position, wanted: Decimal, then: Submit | None
) -> MakeWay:
    """Return that the stop goes which fits least; at once where they sell more than is held."""
    worst = max(stops, key=lambda one: (one.remaining > wanted, abs(one.remaining - wanted)))
    excess = sum((one.remaining for one in stops), Decimal(0)) > held.quantity
    return MakeWay(order=worst, then=None if excess else then)


def _stop(
    held: Position, quantity: Decimal, price: Decimal, rules: Rules, stop_percent: Decimal
) -> Submit:
    entry = held.cost / held.quantity
    return Submit(
        side=Side.SELL,
        quantity=quantity,
        price=price,
        type=OrderType.STOP_LOSS,
        stop_price=rules.price(entry * (1 - stop_percent / 100)),
        purpose=Purpose.PROTECTION,
    )
