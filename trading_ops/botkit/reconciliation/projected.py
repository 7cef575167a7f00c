"""Balances and positions as they will be once the steps of a comparison are applied."""

from collections import defaultdict
from collections.abc import Mapping
from decimal import Decimal

from trading_ops.agent import Side
from trading_ops.botkit.orders.order import ZERO, Fill, Order, VenueOrder
from trading_ops.botkit.venue.adapter import LedgerEntry, VenueTrade


class Projected:
    """Starts with the recorded values; each method adds the effect of one step."""

    def __init__(self, expected: Mapping[str, Decimal], positions: Mapping[str, Decimal]) -> None:
        """Start with the recorded balances by currency and positions by symbol."""
        self.expected = dict(expected)
        self.positions = dict(positions)

    def fill(self, order: Order | VenueOrder, fill: Fill) -> None:
        """Count a fill of the bot's own order."""
        self._count(order.symbol, order.side, fill.quantity, fill.cost, fill.fee)
        sign = 1 if order.side is Side.BUY else -1
        before = self.positions.get(order.symbol, ZERO)
        self.positions[order.symbol] = before + sign * fill.quantity

    def trade(self, trade: VenueTrade) -> None:
        """Count an external trade: it changes the account's balances, not the bot's position."""
        self._count(trade.symbol, trade.side, trade.quantity, trade.cost, trade.fee)

    def enter(self, entry: LedgerEntry) -> Decimal:
        """Count a deposit, a withdrawal or an adjustment; return the balance before it."""
        before = self.expected.get(entry.currency, ZERO)
        self.expected[entry.currency] = before + entry.amount - entry.fee
        return before

    def _count(
        self, symbol: str, side: Side, quantity: Decimal, cost: Decimal, fee: Decimal
    ) -> None:
        base, _, quote = symbol.partition("/")
        sign = 1 if side is Side.BUY else -1
        changes: dict[str, Decimal] = defaultdict(Decimal)
        changes[base] += sign * quantity
        changes[quote] -= sign * cost + fee
        for currency, change in changes.items():
            self.expected[currency] = self.expected.get(currency, ZERO) + change
