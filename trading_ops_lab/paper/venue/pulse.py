"""The beat of one market: prices move, the crowd meets resting orders, triggers go off."""

from trading_ops_lab.paper.venue import matching, settlement
from trading_ops_lab.paper.venue.crowd import CrowdTrade
from trading_ops_lab.paper.venue.errors import VenueRefusal
from trading_ops_lab.paper.venue.floor import Floor
from trading_ops_lab.paper.venue.market import Market
from trading_ops_lab.paper.venue.matching import Fill
from trading_ops_lab.paper.venue.orders import CancelReason, Order


def fill_resting(floor: Floor, market: Market, trade: CrowdTrade, now: float) -> None:
    """Let the crowd meet the resting orders, those with the best price first."""
    orders = floor.resting(market.pair.id)
    orders.sort(key=lambda o: -(o.price or 0) if o.side == "buy" else (o.price or 0))
    for order in orders:
        for fill in matching.crossing(order, market.book.against(order.side)):
            if order.status == "open":
                floor.hit(order, fill, now)
    supply, dice = trade.volume, market.dice("hit")
    for order in orders:
        if order.status == "open" and order.price is not None:
            volume = matching.hit(order, trade, supply, dice)
            if volume:
                supply -= floor.hit(order, Fill(order.price, volume), now)
    if supply:
        market.print(trade.price, supply, trade.side, "market", now)


def wake(floor: Floor, market: Market, now: float) -> None:
    """Wake the orders whose trigger price the last trade has reached."""
    for order in floor.asleep(market.pair.id):
        if _reached(order, market):
            _send(floor, order, now)


def _reached(order: Order, market: Market) -> bool:
    # A stop-loss wakes when the price goes against the position: up for a buyer, down for a
    # seller. A take-profit wakes the other way.
    last, trigger = market.last.price, order.trigger_price
    if trigger is None:
        return False
    upwards = (order.side == "buy") == order.kind.startswith("stop-loss")
    return last >= trigger if upwards else last <= trigger


def _send(floor: Floor, order: Order, now: float) -> None:
    account = floor.accounts[order.account]
    order.triggered_at = order.queued_at = now
    floor.clearing.triggered(order, now)
    taking = floor.offers(account.name, order.side, order.remaining, order)
    try:
        settlement.require_funds(account, order, taking, floor.clearing.fees, held=order)
    except VenueRefusal:
        floor.clearing.cancel(order, account, "insufficient_funds", now)
        return
    floor.take(order, account, taking.fills, now)
    if order.status == "open" and (order.price is None or taking.met_itself):
        reason: CancelReason = "self_trade" if taking.met_itself else "immediate"
        floor.clearing.cancel(order, account, reason, now)
