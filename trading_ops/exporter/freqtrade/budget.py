"""How many requests its messages may cost a Freqtrade, beside those that are sent regularly."""

import asyncio

from trading_ops import clock

PER_SECOND = 5.0
BURST = 20
"""Burst size after a pause."""


class RequestBudget:
    """Lets readings wait for their turn, so that there are never more than the budget allows."""

    def __init__(self, per_second: float = PER_SECOND, burst: int = BURST) -> None:
        """Allow this rate per second and this burst."""
        self._interval = 1 / per_second
        self._ahead = burst * self._interval
        self._used_until = 0.0

    async def turn(self, requests: int = 1) -> None:
        """Wait until this many requests, at most a burst, may be sent; they are then counted."""
        cost = requests * self._interval
        while True:
            wait = self._used_until + cost - self._ahead - clock.monotonic()
            if wait <= 0:
                break
            await asyncio.sleep(wait)
        self._used_until = max(self._used_until, clock.monotonic()) + cost
