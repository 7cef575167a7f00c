"""The reconciliation component: compares with the venue at the start, and then at an interval.

Nothing is submitted until the recovery, the comparison at the start, is complete. After that, drift
counts only when two comparisons in a row find the same and nothing was in flight; then a hold halts
the bot, and survives a restart. An incomplete comparison concludes nothing.
"""

import asyncio
import contextlib
from collections.abc import Callable, Collection
from decimal import Decimal

from trading_ops import clock, logs
from trading_ops.agent import CommandFailed
from trading_ops.botkit.component import Component, Unavailable
from trading_ops.botkit.failpoints import BotFailpoint, reached
from trading_ops.botkit.orders.book import Book
from trading_ops.botkit.reconciliation.apply import apply_step
from trading_ops.botkit.reconciliation.collect import (
    BotState,
    TimeLimitedCaller,
    TooSlow,
    collect,
)
from trading_ops.botkit.reconciliation.compare import compare
from trading_ops.botkit.reconciliation.findings import Cause, Comparison, Discrepancy, Drift
from trading_ops.botkit.reconciliation.first_start import (
    OVERLAP_SECONDS,
    WATERMARK,
    FirstStart,
    PlaceHold,
)
from trading_ops.botkit.reconciliation.reporter import DifferenceReporter
from trading_ops.botkit.reconciliation.state import Policy
from trading_ops.botkit.records.store import Store
from trading_ops.botkit.venue.adapter import VenueCaller
from trading_ops.botkit.venue.errors import VenueRefused
from trading_ops.errors import StoreError
from trading_ops.instrument import BotMetrics

log = logs.get(__name__)

NO_DRIFT = Drift(positions={}, balances={})

RECHECK_SECONDS = 2.0
"""Delay before a difference is checked again, and maximum pause between attempts at the start."""

FIRST_PAUSE = 0.1
"""Delay before a correction at the start is checked again, in seconds; doubled per failure."""

MAX_SECONDS = 15.0
"""How long orders wait for one comparison, plus the request that is under way then. The comparison
at the start has no limit: nothing is submitted before it ends."""

UNREADABLE = (Unavailable, VenueRefused, StoreError)


class Reconciliation(Component):
    """Compares records and venue, corrects what is certain, and halts the bot for drift.

    Example:
        reconciliation = Reconciliation(metrics, broker=broker, book=book, store=store,
                                        order_lock=orders.lock, place_hold=halt_bot,
                                        policy=Policy(), interval_seconds=60.0)
        Supervisor([store, broker, reconciliation]).start()  # recovers, then compares
        may_submit = reconciliation.recovered
    """

    def __init__(
        self,
        metrics: BotMetrics,
        *,
        broker: VenueCaller,
        book: Book,
        store: Store,
        order_lock: asyncio.Lock,
        place_hold: PlaceHold,
        policy: Policy,
        interval_seconds: float,
        currencies: Collection[str] = (),
        downtime_seconds: Callable[[], float | None] = lambda: None,
        max_seconds: float = MAX_SECONDS,
    ) -> None:
        """Set up the component; `run` starts the recovery.

        Args:
            metrics: of the bot.
            broker: makes the requests to the venue.
            book: the bot's orders, positions and expected balances in memory.
            store: the records.
            order_lock: held while orders are sent, so that none is in flight during a comparison.
            place_hold: halts the bot.
            policy: from the settings.
            interval_seconds: between two comparisons.
            currencies: the traded ones; drift of others is exported only when it is not zero.
            downtime_seconds: returns how long the bot was down before this start; None if unknown.
            max_seconds: how long orders wait for a comparison; no limit at the start.
        """
        super().__init__("reconciliation", metrics)
        self.recovered = False
        """Whether the recovery is complete; nothing may be submitted before."""

        self._broker = broker
        self._book = book
        self._store = store
        self._order_lock = order_lock
        self._place_hold = place_hold
        self._policy = policy
        self._reporter = DifferenceReporter(
            metrics, book, currencies=currencies, downtime_seconds=downtime_seconds
        )
        self._interval = interval_seconds
        self._max_seconds = max_seconds
        self._last_drift = NO_DRIFT
        self._differs = False
        self._failed = False
        self._comparing = False
        self._requested = asyncio.Event()

    async def run(self) -> None:
        """Recover, then compare at the interval, until cancelled."""
        self.metrics.recovery_complete(complete=self.recovered)
        pause = FIRST_PAUSE
        while True:
            settled = await self._cycle()
            self.mark(up=self.breaker.closed, detail=self.detail)
            pause = min(RECHECK_SECONDS, 2 * pause) if self._failed else FIRST_PAUSE
            recheck = pause if not self.recovered and not self._differs else RECHECK_SECONDS
            await self._pause(self._interval if settled else recheck)

    async def compare_now(self) -> Comparison:
        """Compare once, and apply the corrections.

        Raises:
            Unavailable: the venue or the store could not be queried.
            VenueRefused: the venue refused a request.
            StoreError: the records could not be read.
        """
        at_start = not self.recovered
        async with self._order_lock:
            if not self._book.expected:
                await self._initialize_records()
            comparison = await self._compare(at_start=at_start)
            if at_start:
                self._reporter.add_to_recovery(comparison)
            for found in comparison.halting:
                if found.cause is Cause.EXTERNAL_TRADE:
                    # Before it is counted: no later comparison finds a counted trade again.
                    self._halt(found)
            # Before the corrections: what is corrected is not found again, even after a crash.
            await self._reporter.report(comparison, at_start=at_start)
            await self._apply(comparison)
        return comparison

    def check_soon(self) -> None:
        """Request a comparison now, made by the component's own task."""
        self._requested.set()

    async def check_now(self) -> str:
        """Compare at once, and return the result as text.

        Raises:
            CommandFailed: the venue or the records could not be read.
        """
        await self._cycle()
        if self._failed:
            raise CommandFailed(self.detail)
        return self.detail

    async def accept_venue(self, owner: str, reason: str) -> str:
        """Accept the venue's balances as the expected ones: an operator accepts unexplained drift.

        Positions are lowered to the balances. Holds stay in force: the operator releases them.

        Args:
            owner: who accepts it.
            reason: why; recorded with the owner.

        Raises:
            Unavailable: the venue or the store could not be queried, or the account changed during
                the call.
            VenueRefused: the venue refused a request.
            StoreError: the records could not be written.
        """
        async with self._order_lock:
            before = await self._balances()
            # Apply the bot's own missed fills first. Counted later, on top of balances that include
            # them, they would make a position permanently too small.
            await self._apply(await self._compare(at_start=True))
            balances = await self._balances()
            if balances != before:
                raise Unavailable("reconciliation: the account changed meanwhile; try again")
            await self._book.adopt_balances(balances)
            for symbol, held in dict(self._book.positions).items():
                there = max(Decimal(0), balances.get(symbol.partition("/")[0], Decimal(0)))
                if there < held.quantity:
                    await self._book.reduce_position(symbol, there)
            await self._reporter.record("venue_accepted", {"owner": owner, "reason": reason})
        self._requested.set()
        return "the venue's balances are accepted as the expected ones"

    @property
    def has_work(self) -> bool:
        """Return whether a comparison is under way; safe to call from any thread."""
        return self._comparing

    async def _cycle(self) -> bool:
        """Compare once; return whether the next comparison can wait for the interval."""
        self._comparing = True
        try:
            return await self._compare_and_judge()
        finally:
            self._comparing = False

    async def _compare_and_judge(self) -> bool:
        try:
            comparison = await self.compare_now()
        except UNREADABLE as error:
            log.warning("comparison_failed", reason=str(error))
            self.metrics.reconciled("failed")
            self.fail(f"comparison failed: {error}")
            self._failed = True
            return isinstance(error, TooSlow)  # orders get their turn before the next attempt
        self._failed = False
        self.succeed()
        return await self._judge(comparison)

    async def _judge(self, comparison: Comparison) -> bool:
        drift, before = comparison.drift, self._last_drift
        self._differs = bool(drift)
        # Two comparisons must agree, and nothing may have been in flight in either of them.
        self._last_drift = NO_DRIFT if comparison.in_flight else drift
        if drift and (comparison.in_flight or drift != before):
            self.detail = "drift found, to be confirmed by another comparison"
            return False
        if drift:
            with contextlib.suppress(Unavailable):  # in force; a later comparison stores it
                for found in comparison.halting:
                    self._halt(found)
            self._reporter.export_drift(drift)
            self.metrics.reconciled("drifted")
            self.detail = "drift confirmed: an operator must resolve it"
            if comparison.all_counted:
                await self._advance_watermark(comparison)
            return True
        self._reporter.export_drift(drift)
        if comparison.in_flight or (comparison.steps and not self.recovered):
            self.detail = "corrections to be confirmed by another comparison"
            return False
        if not self.recovered and not await self._record_recovery():
            return False
        await self._finish(comparison)
        return True

    async def _record_recovery(self) -> bool:
        try:
            await self._reporter.record_recovery()
        except UNREADABLE as error:
            self.detail = f"the recovery could not be recorded: {error}"
            return False
        return True

    async def _finish(self, comparison: Comparison) -> None:
        self.metrics.reconciled("corrected" if comparison.steps else "clean")
        self.detail = "records and venue agree"
        await self._advance_watermark(comparison)
        if not self.recovered:
            self.recovered = True
            self._reporter.clear_recovery()
            self.metrics.recovery_complete(complete=True)
            log.info("recovered")
            reached(BotFailpoint.RECOVERED)

    async def _advance_watermark(self, comparison: Comparison) -> None:
        """Make the next comparison read the history from shortly before the start of this one."""
        with contextlib.suppress(*UNREADABLE):  # then the next one reads a little more history
            await self._store.set_fact(WATERMARK, comparison.read_at - OVERLAP_SECONDS)

    async def _apply(self, comparison: Comparison) -> None:
        for step in comparison.steps:
            reached(BotFailpoint.STEP_APPLYING)
            await apply_step(step, self._book, self._broker)
            reached(BotFailpoint.STEP_APPLIED)

    def _halt(self, found: Discrepancy) -> None:
        reason = f"{found.cause} of {found.subject}: ours {found.ours}, the venue's {found.theirs}"
        log.error("drift", cause=found.cause, subject=found.subject, detail=reason)
        self._place_hold(f"recovery-{found.cause}-{found.subject}", reason)

    async def _compare(self, *, at_start: bool) -> Comparison:
        since = await self._store.fact(WATERMARK, float)
        caller = (
            self._broker if at_start else TimeLimitedCaller(self._broker, seconds=self._max_seconds)
        )
        recorded, venue = await collect(caller, self._store, self._bot_state(), since=since or 0.0)
        reached(BotFailpoint.COLLECTED)
        return compare(recorded, venue, self._policy, now=clock.timestamp(), at_start=at_start)

    async def _initialize_records(self) -> None:
        recorded, venue = await collect(self._broker, self._store, self._bot_state(), since=0.0)
        found = compare(recorded, venue, self._policy, now=clock.timestamp(), at_start=True)
        if not self.recovered:
            self._reporter.add_to_recovery(found)
        first_start = FirstStart(self._broker, self._book, self._store, self._place_hold)
        await first_start.run(found.steps, venue)

    def _bot_state(self) -> BotState:
        return BotState(
            owns=self._book.owns,
            open_orders=self._book.open_orders(),
            positions={name: held.quantity for name, held in self._book.positions.items()},
            expected=dict(self._book.expected),
        )

    async def _balances(self) -> dict[str, Decimal]:
        balances = await self._broker.call("BalanceEx", lambda venue: venue.balances())
        return {name: balance.total for name, balance in balances.items()}

    async def _pause(self, seconds: float) -> None:
        self._requested.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._requested.wait()
