"""The example strategy: two moving averages of the price cross. Not advice.

On a random walk no strategy earns anything, and this one pays fees. Replace it with yours.
"""

from collections import deque
from collections.abc import Sequence
from decimal import Decimal
from enum import StrEnum


class Target(StrEnum):
    """What the strategy wants to hold; it never sells short."""

    LONG = "long"
    FLAT = "flat"
    UNKNOWN = "unknown"
    """Too few prices; do nothing."""


class Cross:
    """Long while the fast average of one symbol's prices is above the slow one."""

    def __init__(self, fast: int, slow: int) -> None:
        """Set the number of prices in each average; fast must be below slow."""
        self._fast = fast
        self._prices: deque[Decimal] = deque(maxlen=slow)

    @property
    def prices(self) -> tuple[Decimal, ...]:
        """Return the prices in the slow average, oldest first."""
        return tuple(self._prices)

    def resume(self, prices: Sequence[Decimal]) -> None:
        """Continue from the prices of an earlier run, oldest first."""
        self._prices.extend(prices)

    def see(self, price: Decimal) -> Target:
        """Add the next price; return the target."""
        self._prices.append(price)
        if len(self._prices) < (self._prices.maxlen or 0):
            return Target.UNKNOWN
        prices = list(self._prices)
        fast = sum(prices[-self._fast :]) / self._fast
        slow = sum(prices) / len(prices)
        return Target.LONG if fast > slow else Target.FLAT
