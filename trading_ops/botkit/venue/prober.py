"""What the broker reads at an interval whether or not anybody trades: balances and the clock."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from trading_ops import clock, logs
from trading_ops.botkit.component import Unavailable
from trading_ops.botkit.venue.balances import Balances, LastGood
from trading_ops.botkit.venue.errors import VenueDown, VenueRefused
from trading_ops.errors import StoreError
from trading_ops.instrument import BotMetrics

log = logs.get(__name__)

CURRENT_PROBES = 5
"""Intervals of the probe for which a REST answer counts as current."""

LONGEST_PAUSE = 10.0
"""Seconds between two attempts to read balances while only they fail: each one that hangs keeps
orders waiting, since requests are made one after the other."""

CLOCK_SECONDS = 60.0
"""Interval at which the venue's clock is read."""

KEEP_SECONDS = 10.0
"""Interval at which the last good balances are kept in the records."""

STORE_SECONDS = 2.0


class Send(Protocol):
    """Makes a request of the broker's."""

    async def __call__(
        self, endpoint: str, request: Callable[[Any], Awaitable[Any]], *, counts: bool = True
    ) -> Any:
        """Make it; a failure that does not count leaves the breaker alone.

        Raises:
            VenueDown: it failed.
            VenueRefused: the venue said no.
        """
        ...


class Prober:
    """Reads, and remembers what fails; one task uses it."""

    def __init__(self, metrics: BotMetrics, funds: Balances, *, interval_seconds: float) -> None:
        """Begin with everything due.

        Args:
            metrics: of the bot.
            funds: hear of balances.
            interval_seconds: between two probes.
        """
        self.keep: Callable[[LastGood], Awaitable[None]] | None = None
        """Keeps the last good balances in the records; None: nobody does."""

        self._metrics = metrics
        self._funds = funds
        self._interval = interval_seconds
        self._failures = 0
        self._due = 0.0
        self._clock_due = 0.0
        self._keep_due = 0.0

    def begin_anew(self) -> None:
        """Read balances at the next opportunity: the venue is back."""
        self._due = 0.0

    async def read_balances(self, send: Send, *, trial: bool) -> bool:
        """Read them if they are due; return whether that proved that the venue answers.

        Balances that failed before do not count: they may fail alone, which must not take the rest
        down. Something else then has to prove that the venue answers.

        Args:
            send: makes the request.
            trial: the answer decides whether the broker is up again.

        Raises:
            VenueDown: the first attempt in a row failed, which counts as any request's failure.
            VenueRefused: the venue refused it.
        """
        alone = self._failures > 0
        if clock.monotonic() < self._due or (alone and trial):
            return False
        asked_at = clock.timestamp()
        try:
            told = await send("BalanceEx", lambda venue: venue.balances(), counts=not alone)
        except (VenueDown, VenueRefused) as error:
            self._failures += 1
            if not alone:
                raise
            pause = min(LONGEST_PAUSE, self._interval * 2.0**self._failures)
            self._due = clock.monotonic() + pause
            log.warning("balances_unread", error=str(error), again_in_seconds=pause)
            return False
        self._failures, self._due = 0, 0.0
        totals = {name: balance.total for name, balance in told.items()}
        self._funds.answered(totals, asked_at=asked_at)
        return True

    async def read_clock(self, send: Send) -> None:
        """Read the venue's clock if it is due."""
        if clock.monotonic() < self._clock_due:
            return
        self._clock_due = clock.monotonic() + CLOCK_SECONDS
        began = clock.timestamp()
        try:
            told = await send("Time", lambda venue: venue.server_time(), counts=False)
        except (VenueDown, VenueRefused):
            return
        self._metrics.clock_skew(told - (began + clock.timestamp()) / 2)

    async def keep_balances(self) -> None:
        """Keep the last good balances if it is due."""
        last = self._funds.last_good
        if self.keep is None or last is None or clock.monotonic() < self._keep_due:
            return
        self._keep_due = clock.monotonic() + KEEP_SECONDS
        try:
            async with asyncio.timeout(STORE_SECONDS):
                await self.keep(last)
        except (StoreError, Unavailable, TimeoutError) as error:
            log.warning("balances_not_kept", error=str(error) or type(error).__name__)
