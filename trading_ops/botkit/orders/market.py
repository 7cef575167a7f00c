"""Prices and the trading rules of a market."""

from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Decimal


@dataclass(frozen=True, kw_only=True)
class Quote:
    """The best bid and ask of a symbol, in quote currency per unit of base."""

    bid: Decimal
    ask: Decimal
    at: float
    """Time of receipt, seconds since the epoch."""

    @property
    def middle(self) -> Decimal:
        """Return the mid price."""
        return (self.bid + self.ask) / 2


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The price and quantity steps that the venue accepts for a symbol.

    Example:
        rules = Rules(tick=Decimal("0.1"), lot=Decimal("0.001"), minimum=Decimal("0.01"))
        rules.price(Decimal("50000.07"))  # 50000.1
        rules.quantity(Decimal("0.0129"))  # 0.012
    """

    tick: Decimal
    """Price step, in quote currency."""

    lot: Decimal
    """Quantity step, in base currency."""

    minimum: Decimal
    """Minimum quantity of an order, in base currency."""

    def quantity(self, amount: Decimal) -> Decimal:
        """Round a quantity down to the lot size."""
        return amount.quantize(self.lot, rounding=ROUND_DOWN)

    def price(self, amount: Decimal) -> Decimal:
        """Round a price to the nearest tick."""
        return amount.quantize(self.tick, rounding=ROUND_HALF_EVEN)
