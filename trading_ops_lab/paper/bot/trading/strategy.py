"""The example strategy: two moving averages of the price cross. No advice.

On a random walk no strategy earns anything, and this one pays its fees. It stands for yours.
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
    """Too few prices were seen; nothing is to be done."""


class Cross:
    """Long while the fast average of one symbol's prices is above the slow one."""

    def __init__(self, fast: int, slow: int) -> None:
        """Take the number of prices in each average; fast must be below slow."""
        self._fast = fast
        self._prices: deque[Decimal] = deque(maxlen=slow)

    @property
    def prices(self) -> tuple[Decimal, ...]:
        """Return the prices that it goes by, oldest first."""
        return tuple(self._prices)

    def resume(self, prices: Sequence[Decimal]) -> None:
        """Go on from prices that an earlier life saw, oldest first."""
        self._prices.extend(prices)

    def see(self, price: Decimal) -> Target:
        """Take the next price; return what to hold."""
        self._prices.append(price)
        if len(self._prices) < (self._prices.maxlen or 0):
            return Target.UNKNOWN
        prices = list(self._prices)
        fast = sum(prices[-self._fast :]) / self._fast
        slow = sum(prices) / len(prices)
        return Target.LONG if fast > slow else Target.FLAT
