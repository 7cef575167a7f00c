"""The broker's periodic requests: balances and the venue's clock."""

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
"""Number of probe intervals for which a REST answer is current."""

MAX_PAUSE_SECONDS = 10.0
"""Maximum pause between two attempts to read balances while only they fail. An attempt that hangs
delays orders, because requests are made one at a time."""

CLOCK_SECONDS = 60.0
"""Interval at which the venue's clock is read."""

STORE_INTERVAL_SECONDS = 10.0
"""Interval at which the last known balances are stored."""

STORE_SECONDS = 2.0
"""How long to wait for that."""


class Send(Protocol):
    """Makes a request of the broker."""

    async def __call__(
        self, endpoint: str, request: Callable[[Any], Awaitable[Any]], *, counts: bool = True
    ) -> Any:
        """Make a request.

        Args:
            endpoint: as in `venue.adapter.ENDPOINTS`.
            request: called with the adapter.
            counts: whether a failure counts for the breaker.

        Raises:
            VenueDown: it failed.
            VenueRefused: the venue rejected it.
        """
        ...


class Prober:
    """Makes the periodic requests when they are due; used by the broker's task alone.

    Example:
        prober = Prober(metrics, balances, interval_seconds=1.0)
        proved = await prober.read_balances(send, trial=False)
        await prober.read_clock(send)
        await prober.store_last_balances()
    """

    def __init__(self, metrics: BotMetrics, funds: Balances, *, interval_seconds: float) -> None:
        """Start with every request due.

        Args:
            metrics: of the bot.
            funds: receives the balances.
            interval_seconds: between two probes.
        """
        self.store_last_good: Callable[[LastGood], Awaitable[None]] | None = None
        """Stores the last known balances; None: they are not stored."""

        self._metrics = metrics
        self._funds = funds
        self._interval = interval_seconds
        self._failures = 0
        self._due = 0.0
        self._clock_due = 0.0
        self._store_due = 0.0

    def reset(self) -> None:
        """Read balances at the next probe, because the venue is available again."""
        self._due = 0.0

    async def read_balances(self, send: Send, *, trial: bool) -> bool:
        """Read the balances if they are due.

        After a failure, further attempts do not count for the breaker: this endpoint may fail
        alone, which must not stop the others. The caller then needs another request as proof that
        the venue answers.

        Args:
            send: makes the request.
            trial: whether this is the breaker's trial, which then is left to another request
                if balances failed before.

        Returns:
            Whether the venue answered.

        Raises:
            VenueDown: the first attempt after a success failed; it counts for the breaker.
            VenueRefused: the venue rejected the first attempt after a success.
        """
        alone = self._failures > 0
        if clock.monotonic() < self._due or (alone and trial):
            return False
        requested_at = clock.timestamp()
        try:
            answer = await send("BalanceEx", lambda venue: venue.balances(), counts=not alone)
        except (VenueDown, VenueRefused) as error:
            self._failures += 1
            if not alone:
                raise
            pause = min(MAX_PAUSE_SECONDS, self._interval * 2.0**self._failures)
            self._due = clock.monotonic() + pause
            log.warning("balances_unread", error=str(error), again_in_seconds=pause)
            return False
        self._failures, self._due = 0, 0.0
        totals = {name: balance.total for name, balance in answer.items()}
        self._funds.rest_answered(totals, requested_at=requested_at)
        return True

    async def read_clock(self, send: Send) -> None:
        """Read the venue's clock if it is due, and export the skew; a failure is ignored."""
        if clock.monotonic() < self._clock_due:
            return
        self._clock_due = clock.monotonic() + CLOCK_SECONDS
        began = clock.timestamp()
        try:
            venue_time = await send("Time", lambda venue: venue.server_time(), counts=False)
        except (VenueDown, VenueRefused):
            return
        self._metrics.clock_skew(venue_time - (began + clock.timestamp()) / 2)

    async def store_last_balances(self) -> None:
        """Store the last known balances if that is due; a failure is logged."""
        last = self._funds.last_good
        if self.store_last_good is None or last is None or clock.monotonic() < self._store_due:
            return
        self._store_due = clock.monotonic() + STORE_INTERVAL_SECONDS
        try:
            async with asyncio.timeout(STORE_SECONDS):
                await self.store_last_good(last)
        except (StoreError, Unavailable, TimeoutError) as error:
            log.warning("balances_not_stored", error=str(error) or type(error).__name__)
