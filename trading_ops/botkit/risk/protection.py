"""Stop-loss orders that cover an open position: pure decisions, tested as a table.

A stop-loss order rests at the venue, so it covers the position while the bot is down, until the
venue's dead man's switch cancels it with all other orders. No resting order survives that switch,
so the bot places the stop again in its first pass after it has recovered.

A stop is cancelled only to free its quantity for an order that will be sent. A halted bot, which
may send none, would otherwise leave the position uncovered. A stop for more than the position is
cancelled in any trading state: the excess would sell assets that are not the bot's.
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
class CancelStop(Cancel):
    """Cancel a stop, so that another order can be sent."""

    then: Submit | None
    """Cancel only if this order passes the checks; None: cancel in any trading state."""


class Protection(StrEnum):
    """The protection of an open position."""

    NONE = "none"
    """Only the bot itself."""

    STOP_LOSS = "stop_loss"
    """A stop-loss order at the venue for the whole position."""


def without_stops(open_orders: Sequence[Order]) -> list[Order]:
    """Return the orders of the strategy: all but the protective stops."""
    return [order for order in open_orders if order.purpose is not Purpose.PROTECTION]


def with_protection(
    step: Step,
    *,
    open_orders: Sequence[Order],
    held: Position,
    price: Decimal,
    rules: Rules,
    stop_percent: Decimal,
) -> Step:
    """Return the next step for a symbol whose position is covered by a stop.

    An exit takes precedence over the stop, which reserves its quantity; the stop is placed again
    once no exit rests. While a buy rests, an existing stop is left alone and adjusted when the buy
    has ended. A stop that is too small is kept if no larger one can be placed.

    Args:
        step: what the strategy would do next.
        open_orders: the bot's orders of the symbol that may still be filled, stops included.
        held: the position.
        price: of the market now.
        rules: of the market.
        stop_percent: distance of the stop below the mean entry price, in percent.
    """
    stops = [order for order in open_orders if order.purpose is Purpose.PROTECTION]
    others = without_stops(open_orders)
    if any(order.status is OrderStatus.SUBMITTED for order in stops):
        return None if isinstance(step, Submit) else step  # not known whether it arrived
    wanted = rules.quantity(held.quantity)
    if isinstance(step, Submit) and step.side is Side.SELL and stops:
        return _cancel_stop(stops, held, wanted, step)
    if step is not None or any(order.side is Side.SELL for order in others):
        return step
    sellable = held.quantity > 0 and held.quantity >= rules.minimum
    if len(stops) == 1:
        small = stops[0].remaining < wanted and (others or not sellable)
        if small or stops[0].remaining == wanted:
            return None
    stop = _stop(held, wanted, price, rules, stop_percent) if sellable else None
    return _cancel_stop(stops, held, wanted, stop) if stops else stop


def _cancel_stop(
    stops: Sequence[Order], held: Position, wanted: Decimal, then: Submit | None
) -> CancelStop:
    """Cancel the stop that fits worst; in any trading state if they sell more than is held."""
    worst = max(stops, key=lambda stop: (stop.remaining > wanted, abs(stop.remaining - wanted)))
    excess = sum((stop.remaining for stop in stops), Decimal(0)) > held.quantity
    return CancelStop(order=worst, then=None if excess else then)


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
