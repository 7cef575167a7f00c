"""Amends an order in place: it keeps its ids and fills, and if possible its queue position."""

from decimal import Decimal

import msgspec

from trading_ops_lab.paper.venue import settlement
from trading_ops_lab.paper.venue.account import Account
from trading_ops_lab.paper.venue.errors import VenueRefusal
from trading_ops_lab.paper.venue.matching import Taking
from trading_ops_lab.paper.venue.order_matching import OrderMatching
from trading_ops_lab.paper.venue.orders import Order
from trading_ops_lab.paper.venue.pairs import PAIRS


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """The changes; None: unchanged. `volume` includes what is already filled."""

    volume: Decimal | None = None
    price: Decimal | None = None
    trigger_price: Decimal | None = None
    post_only: bool = False


def amend(
    matcher: OrderMatching,
    account: Account,
    order: Order,
    change: Change,
    now: float,
    *,
    matches: bool,
) -> None:
    """Change an open order.

    Args:
        matcher: where it trades.
        account: its owner.
        order: the order, which is changed.
        change: the changes.
        now: epoch seconds.
        matches: whether matching is enabled now.

    Raises:
        VenueRefusal: it has no such price, is too small or unaffordable, or is post-only and would
            take liquidity; nothing is changed.
    """
    if change.volume is not None and change.volume <= order.filled:
        matcher.clearing.cancel(order, account, "amended", now)
        return
    wanted = _changed(order, change)
    settlement.require_volume(PAIRS[order.pair], wanted)
    taking = Taking([], met_itself=False)
    if matches and wanted.on_book:
        taking = matcher.offers(account.name, order.side, wanted.remaining, wanted)
    if change.post_only and (taking.fills or taking.met_itself):
        raise VenueRefusal("EOrder:Post only order")
    settlement.require_funds(account, wanted, taking, matcher.clearing.fees, held=order)
    if wanted.price != order.price or wanted.volume > order.volume:
        order.queued_at = now
    order.volume, order.price = wanted.volume, wanted.price
    order.trigger_price = wanted.trigger_price
    order.changed_at = now + matcher.clearing.skew
    matcher.clearing.amended(order, now)
    matcher.take(order, account, taking.fills, now)
    if order.status == "open" and taking.met_itself:
        matcher.clearing.cancel(order, account, "self_trade", now)


def _changed(order: Order, change: Change) -> Order:
    if change.price is not None and order.price is None:
        raise VenueRefusal("EGeneral:Invalid arguments:limit_price")
    if change.trigger_price is not None and not order.asleep:
        raise VenueRefusal("EGeneral:Invalid arguments:trigger_price")
    wanted = {
        "volume": change.volume,
        "price": change.price,
        "trigger_price": change.trigger_price,
    }
    return msgspec.structs.replace(
        order, **{name: value for name, value in wanted.items() if value is not None}
    )
