"""Prices and the rules of a market, as values."""

from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Decimal


@dataclass(frozen=True, kw_only=True)
class Quote:
    """The best prices of a symbol, in quote currency for one unit of base."""

    bid: Decimal
    ask: Decimal
    at: float
    """Time of receipt, seconds since the epoch."""

    @property
    def middle(self) -> Decimal:
        """Return the price half-way."""
        return (self.bid + self.ask) / 2


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What the venue takes for a symbol."""

    tick: Decimal
    """Smallest step of a price."""

    lot: Decimal
    """Smallest step of a quantity."""

    minimum: Decimal
    """Smallest quantity of an order, in base units."""

    def quantity(self, amount: Decimal) -> Decimal:
        """Cut an amount to the lot size, so that it is never more than was meant."""
        return amount.quantize(self.lot, rounding=ROUND_DOWN)

    def price(self, amount: Decimal) -> Decimal:
        """Return the nearest price that the venue takes."""
        return amount.quantize(self.tick, rounding=ROUND_HALF_EVEN)
