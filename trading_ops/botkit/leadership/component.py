"""The leadership component: watches the lease, takes over, renews it, and detects its loss.

A standby's work is to watch: each check of the lease and of the shared holds counts as its
heartbeat. A standby that cannot check is not able to take over, and shows as down. Meanwhile it
reads market data and feeds its strategy, so that the strategy is warm at a takeover. It never uses
the API key.

An instance that was replaced does not become a standby in the same process: its memory may be
outdated, and a restart is the one way back that is tested all the time.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from trading_ops import clock, logs
from trading_ops.botkit.component import Component, Unavailable
from trading_ops.botkit.leadership.lease import Lease, LeaseLost
from trading_ops.botkit.leadership.settings import SharedRecords
from trading_ops.botkit.leadership.shared_holds import SharedHolds
from trading_ops.errors import StoreError, TradingOpsError
from trading_ops.instrument import BotMetrics

log = logs.get(__name__)

RETRY_SECONDS = 1.0
"""Pause before an overdue renewal is tried again, and the breaker's cool-off."""

THRESHOLD = 3
"""Failed checks in a row after which the component is down."""


class Leadership(Component):
    """Takes the lease when it is free, and renews it while this instance leads.

    Example:
        connection = BoundedConnection(driver, name="lease", timeout_seconds=3.0)
        lease = Lease(connection, holder="alpha-a-1234", seconds=15.0, margin_seconds=5.0)
        leadership = Leadership(metrics, lease=lease, holds=shared_holds, settings=settings,
                                take_over=start_trading, warm=feed_strategy, warm_seconds=1.0,
                                warm_after=50)
        permit = permit_while(lambda: leadership.may_submit)  # for the broker
    """

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
        """Start as a standby.

        Args:
            metrics: of the bot.
            lease: of this instance.
            holds: the shared holds.
            settings: the timing.
            take_over: restores what the last leader left and starts trading; called again if it
                fails.
            warm: one warm-up step of the strategy.
            warm_seconds: between two warm-up steps.
            warm_after: number of steps after which the strategy is warm.
        """
        super().__init__("leadership", metrics, threshold=THRESHOLD, cool_off_seconds=RETRY_SECONDS)
        self.lease = lease
        self.leading = False
        """Whether this instance has taken over; its lease may be expired, see `may_submit`."""

        self.replaced = asyncio.Event()
        """Set when another instance leads: this process must end."""

        self.stepping_down = asyncio.Event()
        """Set by `step_down`: this process must shut down gracefully."""

        self.watched_at: float | None = None
        """When a standby last checked, in seconds since the epoch; not updated while it leads."""

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
        """Return whether an order may be sent now; safe to call from any thread."""
        return self.leading and self.lease.valid and not self.replaced.is_set()

    @property
    def warm(self) -> bool:
        """Return whether the strategy has had enough warm-up steps."""
        return self._warmed >= self._warm_after

    async def step_down(self) -> str:
        """Request a graceful shutdown, which releases the lease; return the standby's name.

        Raises:
            Unavailable: this instance does not lead, or there is no standby; nothing changes.
            StoreError: it is not known whether there is a standby.
        """
        if not self.may_submit:
            raise Unavailable("this instance does not lead: send the command to the leader")
        standby = await self.lease.standby()
        if standby is None:
            raise Unavailable("no standby watches the lease: no instance would take over")
        log.warning("stepping_down", token=self.lease.token, standby=standby)
        self.stepping_down.set()
        return standby

    async def run(self) -> None:
        """Watch the lease, and renew it while this instance leads, until cancelled."""
        warming = asyncio.create_task(self._keep_warm(), name="standby-warm")
        try:
            while not self.replaced.is_set():
                await self._check()
                self.metrics.leader(leads=self.may_submit)
                await asyncio.sleep(self._pause())
            await asyncio.Event().wait()  # until the process ends
        finally:
            warming.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await warming

    async def _check(self) -> None:
        """Take, renew or watch the lease once, and sync the shared holds."""
        try:
            await self._renew_or_watch()
        except LeaseLost:
            self.replaced.set()
            log.warning("lease_lost", token=self.lease.token, age=round(self.lease.age_seconds, 1))
            self.mark(up=False, detail="another instance leads")
            return
        except TradingOpsError as error:
            log.warning("lease_unconfirmed", error=str(error), leading=self.leading)
            self.fail(str(error))
            self.mark(up=self.breaker.closed, detail=str(error))
            self.breaker.allow()
            return
        self.succeed()
        self.mark(up=True, detail="leading" if self.leading else "watching")
        if not self.leading:
            self.watched_at = clock.timestamp()
            self.metrics.heartbeat(self.watched_at)

    async def _renew_or_watch(self) -> None:
        lease, settings = self.lease, self._settings
        if lease.token is None:
            if await lease.take():
                log.warning("lease_acquired", token=lease.token)
        elif lease.age_seconds >= settings.renew_seconds:
            await lease.renew()
            self.metrics.lease_renewed()
        await self._holds.sync()
        if lease.token is not None and not self.leading:
            await self._start_leading()

    async def _start_leading(self) -> None:
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
        # A failed renewal is retried soon; the shared holds are synced in the meantime.
        return max(min(due, self._settings.watch_seconds), 0.05) if due > 0 else RETRY_SECONDS

    async def _keep_warm(self) -> None:
        while not self.leading:
            with contextlib.suppress(Unavailable, StoreError):
                await self._warm()
                self._warmed += 1
            await asyncio.sleep(self._warm_seconds)
