"""The leadership component: watches the lease, takes over, renews, and knows when it is over.

A standby's work is to watch: each look at the lease and at the shared holds is a beat of its heart,
and one that cannot look is as good as dead and shows as such. It reads market data and feeds its
strategy meanwhile, so that it need not learn the market first, and it never uses the key.

An instance that was replaced does not become a standby in the same process. Nobody vouches for
what it has in memory, and an end with a start after it is the one way that is tested all the time.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from trading_ops import clock, logs
from trading_ops.botkit.component import Component, Unavailable
from trading_ops.botkit.leadership.lease import Lease, Replaced
from trading_ops.botkit.leadership.settings import SharedRecords
from trading_ops.botkit.leadership.shared_holds import SharedHolds
from trading_ops.errors import StoreError, TradingOpsError
from trading_ops.instrument import BotMetrics

log = logs.get(__name__)

RETRY_SECONDS = 1.0
THRESHOLD = 3


class Leadership(Component):
    """One instance's part in who leads."""

    def __init__(
        self,
        metrics: BotMetrics,
        *,
        lease: Lease,
        holds: SharedHolds,
        settings: SharedRecords,
        take_over: Callable[[], Awaitable[None]],
        warm: Callable[[], Awaitable[object]],
        warm_seconds: float,
        warm_after: int,
    ) -> None:
        """Begin as a standby.

        Args:
            metrics: of the bot.
            lease: of this instance.
            holds: that instances share.
            settings: how often it looks.
            take_over: takes up what the last leader left, and begins to trade; may be called again
                after it failed.
            warm: one step of what a standby follows.
            warm_seconds: between two of them.
            warm_after: so many of them are enough.
        """
        super().__init__("leadership", metrics, threshold=THRESHOLD, cool_off_seconds=RETRY_SECONDS)
        self.lease = lease
        self.leading = False
        """Whether this instance has taken over; that its lease stands is another matter."""

        self.replaced = asyncio.Event()
        """Another instance leads, and this process must end."""

        self.stepping_down = asyncio.Event()
        """It was told to give its leadership up: this process must end in order."""

        self.watched_at: float | None = None
        """When a standby last looked, seconds since the epoch; stands still once it leads."""

        self._holds = holds
        self._settings = settings
        self._take_over = take_over
        self._warm = warm
        self._warm_seconds = warm_seconds
        self._warm_after = warm_after
        self._warmed = 0
        metrics.leader(leads=False)

    @property
    def may_submit(self) -> bool:
        """Say whether an order may be sent now; plain reads, so any thread may ask."""
        return self.leading and self.lease.stands and not self.replaced.is_set()

    @property
    def warm(self) -> bool:
        """Say whether the strategy has followed the market for long enough."""
        return self._warmed >= self._warm_after

    async def step_down(self) -> str:
        """Have the process end in order, and so give the lease up; return who watches it.

        Raises:
            Unavailable: it does not lead, or nobody would take over; it goes on as it was.
            StoreError: whether somebody would is not known.
        """
        if not self.may_submit:
            raise Unavailable("this instance does not lead: order it at the one that does")
        standby = await self.lease.watcher()
        if standby is None:
            raise Unavailable("no standby watches the lease: nobody would take over")
        log.warning("stepping_down", token=self.lease.token, standby=standby)
        self.stepping_down.set()
        return standby

    async def run(self) -> None:
        """Watch and, once it leads, renew, until cancelled."""
        warming = asyncio.create_task(self._keep_warm(), name="standby-warm")
        try:
            while not self.replaced.is_set():
                await self._look()
                self.metrics.leader(leads=self.may_submit)
                await asyncio.sleep(self._pause())
            await asyncio.Event().wait()  # until the process ends
        finally:
            warming.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await warming

    async def _look(self) -> None:
        """Do what is due once."""
        try:
            await self._hold_or_watch()
        except Replaced:
            self.replaced.set()
            log.warning("lease_lost", token=self.lease.token, age=round(self.lease.age_seconds, 1))
            self.mark(up=False, detail="another instance leads")
            return
        except TradingOpsError as error:
            log.warning("lease_unsure", error=str(error), leading=self.leading)
            self.fail(str(error))
            self.mark(up=self.breaker.closed, detail=str(error))
            self.breaker.allow()
            return
        self.succeed()
        self.mark(up=True, detail="leading" if self.leading else "watching")
        if not self.leading:
            self.watched_at = clock.timestamp()
            self.metrics.heartbeat(self.watched_at)

    async def _hold_or_watch(self) -> None:
        lease, settings = self.lease, self._settings
        if lease.token is None:
            if await lease.take():
                log.warning("lease_taken", token=lease.token)
        elif lease.age_seconds >= settings.renew_seconds:
            await lease.renew()
            self.metrics.lease_renewed()
        await self._holds.follow()
        if lease.token is not None and not self.leading:
            await self._begin()

    async def _begin(self) -> None:
        began = clock.monotonic()
        await self._take_over()
        self.watched_at = clock.timestamp()
        self.leading = True
        self.metrics.took_over()
        log.warning(
            "took_over", token=self.lease.token, seconds=round(clock.monotonic() - began, 3)
        )

    def _pause(self) -> float:
        if self.lease.token is None:
            return self._settings.watch_seconds
        due = self._settings.renew_seconds - self.lease.age_seconds
        # A renewal that failed is tried again soon, and the shared holds are followed meanwhile.
        return max(min(due, self._settings.watch_seconds), 0.05) if due > 0 else RETRY_SECONDS

    async def _keep_warm(self) -> None:
        while not self.leading:
            with contextlib.suppress(Unavailable, StoreError):
                await self._warm()
                self._warmed += 1
            await asyncio.sleep(self._warm_seconds)
