"""A collector that can be triggered before its interval is over."""

import asyncio
import contextlib

from trading_ops import clock
from trading_ops.exporter.collector import PolledSource, Source

LEAST_SECONDS = 1.0
"""Minimum interval between two readings."""

PER_SECOND = 5.0
BURST = 20
"""Burst size after a pause."""


class RequestBudget:
    """Makes readings wait so that the rate limit is kept."""

    def __init__(self, per_second: float = PER_SECOND, burst: int = BURST) -> None:
        self._interval = 1 / per_second
        self._ahead = burst * self._interval
        self._used_until = 0.0

    async def turn(self, requests: int = 1) -> None:
        """Wait until this many requests, at most a burst, may be sent, and count them."""
        cost = requests * self._interval
        while True:
            wait = self._used_until + cost - self._ahead - clock.monotonic()
            if wait <= 0:
                break
            await asyncio.sleep(wait)
        self._used_until = max(self._used_until, clock.monotonic()) + cost


class TriggeredReading(PolledSource):
    """Reads at its interval, and earlier when triggered."""

    def __init__(self, source: Source, budget: RequestBudget, *, requests: int = 1) -> None:
        """Set the source; nothing is read yet.

        Args:
            source: to read.
            budget: shared by all readings that messages trigger.
            requests: number of requests of one reading.
        """
        super().__init__(source)
        self._budget = budget
        self._requests = requests
        self._triggered = asyncio.Event()

    def trigger(self) -> None:
        """Read as soon as possible; a trigger during a reading causes another one."""
        self._triggered.set()

    async def run(self) -> None:
        """Read until cancelled; no failure of the source ends this."""
        while True:
            self._triggered.clear()
            began = clock.monotonic()
            await self.once()
            await self._rest(clock.monotonic() - began)

    async def _rest(self, spent: float) -> None:
        interval = self.source.interval_seconds
        least = min(interval, LEAST_SECONDS)
        await asyncio.sleep(max(0.0, least - spent))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, interval - max(spent, least))):
                await self._triggered.wait()
                await self._budget.turn(self._requests)
