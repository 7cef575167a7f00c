"""The reconciliation component: compares with the venue at the start, and then every minute.

Nothing is submitted until the comparison at the start has ended well. Later, what differs counts
only when two comparisons in a row find the same and nothing was in flight; then the bot is held by
a hold that outlives it. A comparison that could not be made whole concludes nothing.
"""

import asyncio
import contextlib
from collections.abc import Callable, Collection
from decimal import Decimal

from trading_ops import clock, logs
from trading_ops.agent import CommandFailed
from trading_ops.botkit.component import Component, Unavailable
from trading_ops.botkit.failpoints import Place, reached
from trading_ops.botkit.orders.book import Book
from trading_ops.botkit.reconciliation.beginning import (
    OVERLAP_SECONDS,
    WATERMARK,
    Beginning,
    Hold,
)
from trading_ops.botkit.reconciliation.compare import compare
from trading_ops.botkit.reconciliation.findings import Cause, Comparison, Discrepancy, Drift
from trading_ops.botkit.reconciliation.gather import Caller, Held, Patient, TooSlow, gather
from trading_ops.botkit.reconciliation.heal import heal
from trading_ops.botkit.reconciliation.sides import Policy
from trading_ops.botkit.reconciliation.telling import Telling
from trading_ops.botkit.records.store import Store
from trading_ops.botkit.venue.errors import VenueRefused
from trading_ops.errors import StoreError
from trading_ops.instrument import BotMetrics

log = logs.get(__name__)

NOTHING = Drift(positions={}, balances={})

AGAIN_SECONDS = 2.0
"""Until the second look at a difference, and at most between attempts at the start."""

FIRST_PAUSE = 0.1
"""Until the second look at what was mended at the start; doubled after each failure."""

MOST_SECONDS = 15.0
"""For which orders wait for one comparison, and the request that is then under way; at the start,
when nothing is submitted anyway, it may take as long as it takes."""

UNREADABLE = (Unavailable, VenueRefused, StoreError)


class Reconciliation(Component):
    """Compares, heals what is safe, and holds the bot for what is not."""

    def __init__(
        self,
        metrics: BotMetrics,
        *,
        broker: Caller,
        book: Book,
        store: Store,
        turn: asyncio.Lock,
        hold: Hold,
        policy: Policy,
        interval_seconds: float,
        currencies: Collection[str] = (),
        away_seconds: Callable[[], float | None] = lambda: None,
        most_seconds: float = MOST_SECONDS,
    ) -> None:
        """Take what it works with.

        Args:
            metrics: of the bot.
            broker: asks the venue.
            book: what the bot holds in memory.
            store: the records.
            turn: held while orders are sent, so that none is under way while the venue is read.
            hold: halts the bot.
            policy: of the settings.
            interval_seconds: between two comparisons.
            currencies: that are traded; of others a drift is told only when there is one.
            away_seconds: for how long nobody looked after the account; None for unknown.
            most_seconds: that orders wait for a comparison; the one at the start has no limit.
        """
        super().__init__("reconciliation", metrics)
        self.recovered = False
        """Whether the comparison at the start ended well; nothing is submitted before."""

        self._broker = broker
        self._book = book
        self._store = store
        self._turn = turn
        self._hold = hold
        self._policy = policy
        self._telling = Telling(metrics, book, currencies=currencies, away_seconds=away_seconds)
        self._interval = interval_seconds
        self._most_seconds = most_seconds
        self._seen = NOTHING
        self._differs = False
        self._failed = False
        self._looking = False
        self._asked = asyncio.Event()

    async def run(self) -> None:
        """Recover, then compare at the interval, until cancelled."""
        self.metrics.recovery_complete(complete=self.recovered)
        soon = FIRST_PAUSE
        while True:
            settled = await self._look()
            self.mark(up=self.breaker.closed, detail=self.detail)
            soon = min(AGAIN_SECONDS, 2 * soon) if self._failed else FIRST_PAUSE
            again = soon if not self.recovered and not self._differs else AGAIN_SECONDS
            await self._pause(self._interval if settled else again)

    async def compare_now(self) -> Comparison:
        """Compare once, and heal what is safe.

        Raises:
            Unavailable: the venue or the store could not be asked.
            VenueRefused: the venue refused to tell.
            StoreError: the records could not be read.
        """
        at_start = not self.recovered
        async with self._turn:
            if not self._book.expected:
                await self._begin_records()
            comparison = await self._compare(at_start=at_start)
            if at_start:
                self._telling.remember(comparison)
            for found in comparison.halting:
                if found.cause is Cause.EXTERNAL_TRADE:
                    # Before it is counted: once it is, no comparison finds it again.
                    self._halt(found)
            # Before it is healed too: what is healed is not found again, be it by the next life.
            await self._telling.tell(comparison, at_start=at_start)
            await self._heal(comparison)
        return comparison

    def look_soon(self) -> None:
        """Have a comparison made at once, by the component's own task."""
        self._asked.set()

    async def look_now(self) -> str:
        """Compare at once; return what was found, in words.

        Raises:
            CommandFailed: the venue or the records could not be asked.
        """
        await self._look()
        if self._failed:
            raise CommandFailed(self.detail)
        return self.detail

    async def accept_venue(self, owner: str, reason: str) -> str:
        """Take the venue's balances as right from now on: a person's word on what nothing explains.

        Positions are lowered to what is there. The holds stay; whoever says this lifts them.

        Raises:
            Unavailable: the venue or the store could not be asked, or something happened to the
                account meanwhile.
            VenueRefused: the venue refused to tell.
            StoreError: the records could not be written.
        """
        async with self._turn:
            before = await self._balances()
            # What is ours and was not heard yet is heard first: counted on top of balances that it
            # is in, it would make a position too small for good.
            await self._heal(await self._compare(at_start=True))
            balances = await self._balances()
            if balances != before:
                raise Unavailable("reconciliation: the account moves; say it again in a moment")
            await self._book.adopt_balances(balances)
            for symbol, held in dict(self._book.positions).items():
                there = max(Decimal(0), balances.get(symbol.partition("/")[0], Decimal(0)))
                if there < held.quantity:
                    await self._book.shrink(symbol, there)
            await self._telling.note("venue_accepted", {"owner": owner, "reason": reason})
        self._asked.set()
        return "the venue's balances are taken as right"

    @property
    def has_work(self) -> bool:
        """Say whether a comparison is under way; a plain read, so any thread may ask."""
        return self._looking

    async def _look(self) -> bool:
        """Compare once; return whether the next look can wait for the interval."""
        self._looking = True
        try:
            return await self._compare_and_judge()
        finally:
            self._looking = False

    async def _compare_and_judge(self) -> bool:
        try:
            comparison = await self.compare_now()
        except UNREADABLE as error:
            log.warning("comparison_failed", reason=str(error))
            self.metrics.reconciled("failed")
            self.fail(f"not compared: {error}")
            self._failed = True
            return isinstance(error, TooSlow)  # orders have their turn before it is tried again
        self._failed = False
        self.succeed()
        return await self._judge(comparison)

    async def _judge(self, comparison: Comparison) -> bool:
        drift, before = comparison.drift, self._seen
        self._differs = bool(drift)
        # Two looks must agree, and nothing may have been in flight at either of them.
        self._seen = NOTHING if comparison.in_flight else drift
        if drift and (comparison.in_flight or drift != before):
            self.detail = "a difference is looked at again"
            return False
        if drift:
            with contextlib.suppress(Unavailable):  # in force; stored by a later look
                for found in comparison.halting:
                    self._halt(found)
            self._telling.show(drift)
            self.metrics.reconciled("drifted")
            self.detail = "what differs must be settled by a person"
            if comparison.counted:
                await self._keep_watermark(comparison)
            return True
        self._telling.show(drift)
        if comparison.in_flight or (comparison.steps and not self.recovered):
            self.detail = "what was mended is looked at again"
            return False
        if not self.recovered and not await self._recovery_is_told():
            return False
        await self._end_well(comparison)
        return True

    async def _recovery_is_told(self) -> bool:
        try:
            await self._telling.recovery()
        except UNREADABLE as error:
            self.detail = f"the recovery is not recorded: {error}"
            return False
        return True

    async def _end_well(self, comparison: Comparison) -> None:
        self.metrics.reconciled("healed" if comparison.steps else "clean")
        self.detail = "records and venue agree"
        await self._keep_watermark(comparison)
        if not self.recovered:
            self.recovered = True
            self._telling.forget()
            self.metrics.recovery_complete(complete=True)
            log.info("recovered")
            reached(Place.RECOVERED)

    async def _keep_watermark(self, comparison: Comparison) -> None:
        """Have the next comparison read what happened since this one began, and a little before."""
        with contextlib.suppress(*UNREADABLE):  # then a little more history is read next time
            await self._store.set_fact(WATERMARK, comparison.read_at - OVERLAP_SECONDS)

    async def _heal(self, comparison: Comparison) -> None:
        for step in comparison.steps:
            reached(Place.HEALING)
            await heal(step, self._book, self._broker)
            reached(Place.HEALED)

    def _halt(self, found: Discrepancy) -> None:
        reason = f"{found.cause} of {found.subject}: ours {found.ours}, the venue's {found.theirs}"
        log.error("drift", cause=found.cause, subject=found.subject, detail=reason)
        self._hold(f"recovery-{found.cause}-{found.subject}", reason)

    async def _compare(self, *, at_start: bool) -> Comparison:
        since = await self._store.fact(WATERMARK, float)
        caller = self._broker if at_start else Patient(self._broker, seconds=self._most_seconds)
        ours, theirs = await gather(caller, self._store, self._held(), since=since or 0.0)
        reached(Place.GATHERED)
        return compare(ours, theirs, self._policy, now=clock.timestamp(), at_start=at_start)

    async def _begin_records(self) -> None:
        ours, theirs = await gather(self._broker, self._store, self._held(), since=0.0)
        found = compare(ours, theirs, self._policy, now=clock.timestamp(), at_start=True)
        if not self.recovered:
            self._telling.remember(found)
        beginning = Beginning(self._broker, self._book, self._store, self._hold)
        await beginning.begin(found.steps, theirs)

    def _held(self) -> Held:
        return Held(
            owns=self._book.owns,
            alive=self._book.alive(),
            positions={name: held.quantity for name, held in self._book.positions.items()},
            expected=dict(self._book.expected),
        )

    async def _balances(self) -> dict[str, Decimal]:
        told = await self._broker.call("BalanceEx", lambda venue: venue.balances())
        return {name: balance.total for name, balance in told.items()}

    async def _pause(self, seconds: float) -> None:
        self._asked.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._asked.wait()
