"""What an account owns, and how much of it its open orders hold."""

from collections.abc import Iterable
from decimal import Decimal

import msgspec

from trading_ops_lab.paper.venue.orders import ZERO, Order, Trade
from trading_ops_lab.paper.venue.pairs import PAIRS


class Fees(msgspec.Struct, frozen=True):
    """Shares of the cost, such as 0.0026."""

    maker: Decimal
    taker: Decimal


class Account:
    """Balances by asset id, and the open orders by id."""

    def __init__(self, name: str, balances: dict[str, Decimal], orders: Iterable[Order]) -> None:
        """Take over what was stored."""
        self.name = name
        self.balances = balances
        self.open: dict[str, Order] = {order.id: order for order in orders}

    def held(self, asset_id: str, fees: Fees) -> Decimal:
        """Return how much of an asset the open orders hold."""
        return sum(
            (
                amount
                for asset, amount in (hold(o, fees) for o in self.open.values())
                if asset == asset_id
            ),
            ZERO,
        )

    def available(self, asset_id: str, fees: Fees) -> Decimal:
        """Return what a new order may use."""
        return self.balances.get(asset_id, ZERO) - self.held(asset_id, fees)

    def book(self, trade: Trade) -> tuple[str, str]:
        """Move the money of one trade; return the ids of the two assets that changed."""
        pair = PAIRS[trade.pair]
        sign = 1 if trade.side == "buy" else -1
        self._add(pair.base.id, sign * trade.volume)
        self._add(pair.quote.id, -sign * trade.cost - trade.fee)
        return pair.base.id, pair.quote.id

    def move(self, asset_id: str, amount: Decimal) -> Decimal:
        """Put money in, or take it out; return the new balance."""
        self._add(asset_id, amount)
        return self.balances[asset_id]

    def _add(self, asset_id: str, amount: Decimal) -> None:
        self.balances[asset_id] = self.balances.get(asset_id, ZERO) + amount


def hold(order: Order, fees: Fees) -> tuple[str, Decimal]:
    """Return the asset that an open order holds, and how much of it.

    An order that sleeps holds what it would need at its trigger price, or at its limit if it has
    one. A buyer's hold counts the taker's fee although a resting order pays the maker's: the
    difference covers what many small fills lose by rounding, so that a balance never goes below
    zero.
    """
    pair = PAIRS[order.pair]
    if order.side == "sell":
        return pair.base.id, order.remaining
    price = order.price or order.trigger_price or ZERO
    return pair.quote.id, pair.quote.round_up(order.remaining * price * (1 + fees.taker))
