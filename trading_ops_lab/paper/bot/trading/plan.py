"""The next step for one symbol in one pass: a pure function, tested as a table."""

from decimal import Decimal

from trading_ops.agent import Side
from trading_ops.botkit.orders.market import Quote, Rules
from trading_ops.botkit.orders.order import Order, OrderStatus
from trading_ops.botkit.orders.step import Cancel, Submit
from trading_ops_lab.paper.bot.trading.strategy import Target

WANTED_SIDE = {Target.LONG: Side.BUY, Target.FLAT: Side.SELL}


def plan(
    *,
    target: Target,
    held: Decimal,
    open_orders: list[Order],
    quote: Quote,
    rules: Rules,
    notional: Decimal,
    lifetime: float,
    now: float,
) -> Cancel | Submit | None:
    """Return the one step to take for a symbol, or None.

    Args:
        target: of the strategy.
        held: position, in base units.
        open_orders: own orders of the symbol that may still be filled.
        quote: the best prices.
        rules: of the market.
        notional: size of an entry, in quote currency.
        lifetime: age in seconds at which an open order is cancelled and placed again.
        now: seconds since the epoch.
    """
    for order in open_orders:
        if order.status is OrderStatus.SUBMITTED:
            return None  # whether the venue has it is unknown: first find out
        if order.side is not WANTED_SIDE.get(target) or now - order.created_at > lifetime:
            return Cancel(order=order)
    if open_orders:
        return None
    if target is Target.LONG and held < rules.minimum:
        price = _inside(Side.BUY, quote, rules)
        return Submit(side=Side.BUY, quantity=rules.quantity(notional / price), price=price)
    if target is Target.FLAT and held >= rules.minimum:
        price = _inside(Side.SELL, quote, rules)
        return Submit(side=Side.SELL, quantity=rules.quantity(held), price=price)
    return None


def _inside(side: Side, quote: Quote, rules: Rules) -> Decimal:
    """Return a price one tick inside the spread, or the best price if there is no room."""
    if side is Side.BUY:
        better = quote.bid + rules.tick
        return rules.price(better if better < quote.ask else quote.bid)
    better = quote.ask - rules.tick
    return rules.price(better if better > quote.bid else quote.ask)
