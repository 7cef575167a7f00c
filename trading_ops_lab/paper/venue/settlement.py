"""Books fills on orders and accounts, and checks what an order may cost."""

from decimal import Decimal

import msgspec

from trading_ops_lab.paper.venue.account import Account, Fees, hold
from trading_ops_lab.paper.venue.errors import VenueRefusal
from trading_ops_lab.paper.venue.matching import Fill, Taking
from trading_ops_lab.paper.venue.orders import ZERO, NewOrder, Order, Trade, new_id
from trading_ops_lab.paper.venue.pairs import PAIRS, Pair


def price_of(pair: Pair, price: Decimal, volume: Decimal, rate: Decimal) -> tuple[Decimal, Decimal]:
    """Return cost and fee of a fill in quote, rounded to the quote asset's decimals."""
    cost = pair.quote.round(price * volume)
    return cost, pair.quote.round_up(cost * rate)


def settle(
    order: Order, account: Account, fill: Fill, fees: Fees, *, maker: bool, now: float
) -> Trade:
    """Book one fill: the order, the account's balances, and the trade."""
    pair = PAIRS[order.pair]
    cost, fee = price_of(pair, fill.price, fill.volume, fees.maker if maker else fees.taker)
    trade = Trade(
        id=new_id("T"),
        order=order.id,
        account=order.account,
        pair=order.pair,
        side=order.side,
        kind=order.kind,
        price=fill.price,
        volume=fill.volume,
        cost=cost,
        fee=fee,
        maker=maker,
        time=now,
    )
    order.filled += fill.volume
    order.cost += cost
    order.fee += fee
    order.trades.append(trade.id)
    account.book(trade)
    if not order.remaining:
        close(order, account, now)
    return trade


def close(order: Order, account: Account, now: float, *, reason: str | None = None) -> None:
    """End an order: filled if there is no reason, else canceled."""
    order.status = "closed" if reason is None else "canceled"
    order.reason = reason
    order.closed_at = now
    account.open.pop(order.id, None)


def require_minimums(pair: Pair, new: NewOrder, volume: Decimal, best: Decimal) -> None:
    """Check that an order is not too small.

    Raises:
        VenueRefusal: EOrder:Order minimum not met, or the cost's minimum.
    """
    _require_size(pair, volume, new.price or new.trigger_price or best)


def require_volume(pair: Pair, order: Order) -> None:
    """Check that a changed order is not too small.

    Raises:
        VenueRefusal: EOrder:Order minimum not met, or the cost's minimum.
    """
    _require_size(pair, order.volume, order.price or order.trigger_price or ZERO)


def _require_size(pair: Pair, volume: Decimal, price: Decimal) -> None:
    if volume < pair.order_minimum:
        raise VenueRefusal("EOrder:Order minimum not met")
    if volume * price < pair.cost_minimum:
        raise VenueRefusal("EOrder:Cost minimum not met")


def numbered(trade: Trade, number: int) -> Trade:
    """Return a trade with its number among all trades of the venue."""
    return msgspec.structs.replace(trade, number=number)


def require_funds(
    account: Account, order: Order, taking: Taking, fees: Fees, *, held: Order | None = None
) -> None:
    """Check that the account can pay the immediate fills and the reserve of the rest.

    Args:
        account: its owner.
        order: the new order.
        taking: its immediate fills.
        fees: of the venue.
        held: the current state of an open order, whose reserve becomes free.

    Raises:
        VenueRefusal: EOrder:Insufficient funds.
    """
    pair = PAIRS[order.pair]
    if order.side == "sell":
        asset, needed = pair.base.id, order.remaining
    else:
        asset = pair.quote.id
        parts = [price_of(pair, fill.price, fill.volume, fees.taker) for fill in taking.fills]
        needed = sum((cost + fee for cost, fee in parts), ZERO)
        if order.asleep or order.price is not None:
            rest = msgspec.structs.replace(order, filled=order.filled + taking.volume)
            needed += hold(rest, fees)[1]
    freed = ZERO if held is None else hold(held, fees)[1]
    if needed > account.available(asset, fees) + freed:
        raise VenueRefusal("EOrder:Insufficient funds")
