"""One tick of a market: prices move, simulated traders fill resting orders, triggers fire."""

from trading_ops_lab.paper.venue import matching, settlement
from trading_ops_lab.paper.venue.errors import VenueRefusal
from trading_ops_lab.paper.venue.market import Market
from trading_ops_lab.paper.venue.matching import Fill
from trading_ops_lab.paper.venue.order_matching import OrderMatching
from trading_ops_lab.paper.venue.orders import CancelReason, Order
from trading_ops_lab.paper.venue.other_traders import TradeOfOthers


def fill_resting(matcher: OrderMatching, market: Market, trade: TradeOfOthers, now: float) -> None:
    """Match simulated traders with the resting orders, best price first."""
    orders = matcher.resting(market.pair.id)
    orders.sort(key=lambda o: -(o.price or 0) if o.side == "buy" else (o.price or 0))
    for order in orders:
        for fill in matching.crossing(order, market.book.against(order.side)):
            if order.status == "open":
                matcher.hit(order, fill, now)
    supply, dice = trade.volume, market.dice("hit")
    for order in orders:
        if order.status == "open" and order.price is not None:
            volume = matching.hit(order, trade, supply, dice)
            if volume:
                supply -= matcher.hit(order, Fill(order.price, volume), now)
    if supply:
        market.print(trade.price, supply, trade.side, "market", now)


def wake(matcher: OrderMatching, market: Market, now: float) -> None:
    """Trigger the orders whose trigger price the last trade has reached."""
    for order in matcher.asleep(market.pair.id):
        if _reached(order, market):
            _send(matcher, order, now)


def _reached(order: Order, market: Market) -> bool:
    # A stop-loss triggers when the price moves against the position: up for a buy, down for a
    # sell. A take-profit triggers the other way.
    last, trigger = market.last.price, order.trigger_price
    if trigger is None:
        return False
    upwards = (order.side == "buy") == order.kind.startswith("stop-loss")
    return last >= trigger if upwards else last <= trigger


def _send(matcher: OrderMatching, order: Order, now: float) -> None:
    account = matcher.accounts[order.account]
    order.triggered_at = order.queued_at = now
    matcher.clearing.triggered(order, now)
    taking = matcher.offers(account.name, order.side, order.remaining, order)
    try:
        settlement.require_funds(account, order, taking, matcher.clearing.fees, held=order)
    except VenueRefusal:
        matcher.clearing.cancel(order, account, "insufficient_funds", now)
        return
    matcher.take(order, account, taking.fills, now)
    if order.status == "open" and (order.price is None or taking.met_itself):
        reason: CancelReason = "self_trade" if taking.met_itself else "immediate"
        matcher.clearing.cancel(order, account, reason, now)
