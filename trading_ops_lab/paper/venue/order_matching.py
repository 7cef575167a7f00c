"""Matches orders with each other and with simulated traders, and clears the fills."""

from collections.abc import Sequence
from decimal import Decimal

from trading_ops_lab.paper.venue import matching
from trading_ops_lab.paper.venue.account import Account
from trading_ops_lab.paper.venue.clearing import Clearing
from trading_ops_lab.paper.venue.market import Market
from trading_ops_lab.paper.venue.matching import Fill, Taking
from trading_ops_lab.paper.venue.orders import ZERO, Kind, Order, Side


class OrderMatching:
    """All accounts and markets, and their matching."""

    def __init__(
        self, accounts: dict[str, Account], markets: dict[str, Market], clearing: Clearing
    ) -> None:
        """Share the engine's parts."""
        self.accounts, self.markets, self.clearing = accounts, markets, clearing
        self.doomed: dict[str, Decimal] = {}
        """Orders that are cancelled once this much of them is filled, by id."""

    def resting(self, pair_id: str) -> list[Order]:
        """Return all accounts' orders on the book of a pair, oldest first."""
        orders = [order for order in self._open(pair_id) if order.on_book]
        return sorted(orders, key=lambda order: order.place)

    def asleep(self, pair_id: str) -> list[Order]:
        """Return all accounts' orders that wait for a trigger price, oldest first."""
        orders = [order for order in self._open(pair_id) if order.asleep]
        return sorted(orders, key=lambda order: order.opened_at)

    def offers(self, account: str, side: Side, volume: Decimal, order: Order) -> Taking:
        """Return what an order of this side would match now, up to its limit."""
        levels = self.markets[order.pair].book.against(side)
        others = [other for other in self.resting(order.pair) if other.id != order.id]
        return matching.take(account, side, volume, order.price, levels, others)

    def take(self, order: Order, account: Account, fills: Sequence[Fill], now: float) -> None:
        """Book a taker's fills."""
        market = self.markets[order.pair]
        kind: Kind = "market" if order.price is None else "limit"
        for fill in matching.cut(fills, self.doomed.get(order.id)):
            self._settle(order, account, fill, maker=False, now=now)
            if fill.resting is not None:
                other = self.accounts[fill.resting.account]
                self._settle(fill.resting, other, fill, maker=True, now=now)
                self._end_doomed(fill.resting, other, now)
            market.print(fill.price, fill.volume, order.side, kind, now)
        self._end_doomed(order, account, now)

    def hit(self, order: Order, fill: Fill, now: float) -> Decimal:
        """Fill a resting order from a simulated trade; return the filled volume."""
        account = self.accounts[order.account]
        limit = self.doomed.get(order.id)
        parts = matching.cut([fill], None if limit is None else limit - order.filled)
        for part in parts:
            taker: Side = "sell" if order.side == "buy" else "buy"
            self._settle(order, account, part, maker=True, now=now)
            self.markets[order.pair].print(part.price, part.volume, taker, "market", now)
        self._end_doomed(order, account, now)
        return sum((part.volume for part in parts), ZERO)

    def _settle(
        self, order: Order, account: Account, fill: Fill, *, maker: bool, now: float
    ) -> None:
        self.clearing.settle(order, account, fill, maker=maker, now=now)
        if fill.level is not None:
            fill.level.volume -= fill.volume

    def _end_doomed(self, order: Order, account: Account, now: float) -> None:
        if order.status == "open" and order.filled and order.id in self.doomed:
            self.clearing.cancel(order, account, "partial", now)
        if order.status != "open":
            self.doomed.pop(order.id, None)

    def _open(self, pair_id: str) -> list[Order]:
        return [o for a in self.accounts.values() for o in a.open.values() if o.pair == pair_id]
