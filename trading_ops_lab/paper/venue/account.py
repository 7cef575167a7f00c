"""The balances of an account, and how much of them its open orders reserve."""

from collections.abc import Iterable
from decimal import Decimal

import msgspec

from trading_ops_lab.paper.venue.orders import ZERO, Order, Trade
from trading_ops_lab.paper.venue.pairs import PAIRS


class Fees(msgspec.Struct, frozen=True):
    """Fees as a share of the cost, such as 0.0026."""

    maker: Decimal
    taker: Decimal


class Account:
    """Balances by asset id, and the open orders by id."""

    def __init__(self, name: str, balances: dict[str, Decimal], orders: Iterable[Order]) -> None:
        """Continue with the stored state."""
        self.name = name
        self.balances = balances
        self.open: dict[str, Order] = {order.id: order for order in orders}

    def held(self, asset_id: str, fees: Fees) -> Decimal:
        """Return how much of an asset the open orders reserve."""
        return sum(
            (
                amount
                for asset, amount in (hold(o, fees) for o in self.open.values())
                if asset == asset_id
            ),
            ZERO,
        )

    def available(self, asset_id: str, fees: Fees) -> Decimal:
        """Return the balance available to a new order."""
        return self.balances.get(asset_id, ZERO) - self.held(asset_id, fees)

    def book(self, trade: Trade) -> tuple[str, str]:
        """Apply one trade to the balances; return the ids of the two changed assets."""
        pair = PAIRS[trade.pair]
        sign = 1 if trade.side == "buy" else -1
        self._add(pair.base.id, sign * trade.volume)
        self._add(pair.quote.id, -sign * trade.cost - trade.fee)
        return pair.base.id, pair.quote.id

    def move(self, asset_id: str, amount: Decimal) -> Decimal:
        """Deposit, or withdraw if negative; return the new balance."""
        self._add(asset_id, amount)
        return self.balances[asset_id]

    def _add(self, asset_id: str, amount: Decimal) -> None:
        self.balances[asset_id] = self.balances.get(asset_id, ZERO) + amount


def hold(order: Order, fees: Fees) -> tuple[str, Decimal]:
    """Return the asset that an open order reserves, and how much of it.

    An untriggered order reserves what it needs at its trigger price, or at its limit if it has one.
    A buy reserves the taker fee although a resting order pays the maker fee: the difference covers
    rounding losses of many small fills, so that a balance never becomes negative.
    """
    pair = PAIRS[order.pair]
    if order.side == "sell":
        return pair.base.id, order.remaining
    price = order.price or order.trigger_price or ZERO
    return pair.quote.id, pair.quote.round_up(order.remaining * price * (1 + fees.taker))
