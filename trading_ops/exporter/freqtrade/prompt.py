"""A collector that can be triggered before its interval is over."""

import asyncio
import contextlib

from trading_ops import clock
from trading_ops.exporter.collector import Source, Watched
from trading_ops.exporter.freqtrade.budget import RequestBudget

LEAST_SECONDS = 1.0
"""Minimum interval between two readings, however many triggers."""


class Prompt(Watched):
    """Reads at its interval, and sooner when it is hurried."""

    def __init__(self, source: Source, budget: RequestBudget, *, requests: int = 1) -> None:
        """Take the source; nothing is read yet.

        Args:
            source: what is read.
            budget: of all readings that messages ask for.
            requests: how many one reading sends.
        """
        super().__init__(source)
        self._budget = budget
        self._requests = requests
        self._hurried = asyncio.Event()

    def hurry(self) -> None:
        """Read soon; a trigger during a reading causes another one."""
        self._hurried.set()

    async def run(self) -> None:
        """Read until cancelled; no failure of the source ends this."""
        while True:
            self._hurried.clear()
            began = clock.monotonic()
            await self.once()
            await self._rest(clock.monotonic() - began)

    async def _rest(self, spent: float) -> None:
        interval = self.source.interval_seconds
        least = min(interval, LEAST_SECONDS)
        await asyncio.sleep(max(0.0, least - spent))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, interval - max(spent, least))):
                await self._hurried.wait()
                await self._budget.turn(self._requests)
