"""The reconciliation component: compares with the venue at the start, and then every minute.

Nothing is submitted until the comparison at the start has ended well. Later, what differs counts
only when two comparisons in a row find the same and nothing was in flight; then the bot is held by
a hold that outlives it. A comparison that could not be made whole concludes nothing.
"""

import asyncio
import contextlib
from collections.abc import Callable, Collection, Mapping
from decimal import Decimal

from trading_ops import clock, logs
from trading_ops.agent import CommandFailed
from trading_ops.errors import StoreError
from trading_ops.instrument import BotMetrics
from trading_ops.paper.bot.brokerage.venue_errors import VenueRefused
from trading_ops.paper.bot.checkpoints import Place, reached
from trading_ops.paper.bot.component import Component, Unavailable
from trading_ops.paper.bot.reconciliation.compare import compare
from trading_ops.paper.bot.reconciliation.findings import (
    Adopt,
    Cause,
    Comparison,
    CountLedger,
    CountTrade,
    Discrepancy,
    Drift,
    Remedy,
    Step,
    told,
)
from trading_ops.paper.bot.reconciliation.gather import Caller, Held, gather
from trading_ops.paper.bot.reconciliation.heal import adopted_of, heal
from trading_ops.paper.bot.reconciliation.sides import Policy
from trading_ops.paper.bot.records.events import Event, EventKind
from trading_ops.paper.bot.records.store import Store
from trading_ops.paper.bot.trading.book import Book

log = logs.get(__name__)

Hold = Callable[[str, str], None]
"""Lays a hold that halts the bot: its id and the reason. Durable when it returns."""

WATERMARK = "history_since"
OVERLAP_SECONDS = 300.0
"""History is asked for from so long before the last whole look: clocks differ, pages come late."""

AGAIN_SECONDS = 2.0
"""Until the second look at a difference, and at most between attempts at the start."""

FIRST_PAUSE = 0.1
"""Until the second look at what was mended at the start; doubled after each failure."""

LONGEST_TOLD = 200
"""Discrepancies in one event; their number is told in any case."""

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
        self._interval = interval_seconds
        self._currencies = frozenset(currencies)
        self._seen = Drift(positions={}, balances={})
        self._told: tuple[Discrepancy, ...] = ()
        self._failed = False
        self._looking = False
        self._away_seconds = away_seconds
        self._began = clock.monotonic()
        self._found: dict[Discrepancy, None] = {}
        self._asked = asyncio.Event()

    async def run(self) -> None:
        """Recover, then compare at the interval, until cancelled."""
        self.metrics.recovery_complete(complete=self.recovered)
        soon = FIRST_PAUSE
        while True:
            settled = await self._look()
            self.mark(up=self.breaker.closed, detail=self.detail)
            soon = min(AGAIN_SECONDS, 2 * soon) if self._failed else FIRST_PAUSE
            again = soon if not self.recovered and not self._seen else AGAIN_SECONDS
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
            self._remember(comparison)
            for found in comparison.halting:
                if found.cause is Cause.EXTERNAL_TRADE:
                    # Before it is counted: once it is, no comparison finds it again.
                    self._halt(found)
            for step in comparison.steps:
                reached(Place.HEALING)
                await heal(step, self._book, self._broker)
                reached(Place.HEALED)
        await self._tell(comparison, at_start=at_start)
        return comparison

    def look_soon(self) -> None:
        """Have a comparison made at once, by the component's own task."""
        self._asked.set()

    async def look_now(self) -> str:
        """Compare at once; return what was found, in words.

        Raises:
            CommandFailed: the venue or the records could not be asked.
        """
        if not await self._look() and self._failed:
            raise CommandFailed(self.detail)
        return self.detail

    async def accept_venue(self, owner: str, reason: str) -> str:
        """Take the venue's balances as right from now on: a person's word on what nothing explains.

        Positions are lowered to what is there. The holds stay; whoever says this lifts them.

        Raises:
            Unavailable: the venue or the store could not be asked.
        """
        async with self._turn:
            balances = await self._balances()
            await self._book.adopt_balances(balances)
            for symbol, held in dict(self._book.positions).items():
                there = max(Decimal(0), balances.get(symbol.partition("/")[0], Decimal(0)))
                if there < held.quantity:
                    await self._book.shrink(symbol, there)
            await self._note("venue_accepted", {"owner": owner, "reason": reason})
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
            return False
        self._failed = False
        self.succeed()
        return await self._judge(comparison)

    async def _judge(self, comparison: Comparison) -> bool:
        drift, before = comparison.drift, self._seen
        self._seen = drift
        if drift and (comparison.in_flight or drift != before):
            self.detail = "a difference is looked at again"
            return False
        if drift:
            for found in comparison.halting:
                self._halt(found)
            self._show(drift)
            self.metrics.reconciled("drifted")
            self.detail = "what differs must be settled by a person"
            return True
        self._show(drift)
        if comparison.in_flight or (comparison.steps and not self.recovered):
            self.detail = "what was mended is looked at again"
            return False
        if not self.recovered and not await self._tell_of_recovery():
            return False
        await self._end_well(comparison)
        return True

    def _remember(self, comparison: Comparison) -> None:
        """Keep what a recovery finds until its end: what is healed is not found again."""
        if not self.recovered:
            self._found |= dict.fromkeys(comparison.discrepancies)

    async def _tell_of_recovery(self) -> bool:
        """Record what the recovery found, be it nothing; return whether that is stored."""
        found, seconds = self._found, clock.monotonic() - self._began
        detail = {
            "found": told(list(found)[:LONGEST_TOLD]),
            "count": len(found),
            "away_seconds": self._away_seconds(),
            "took_seconds": round(seconds, 3),
        }
        try:
            await self._note("recovered", detail)
        except UNREADABLE as error:
            self.detail = f"the recovery is not recorded: {error}"
            return False
        self.metrics.recovery_took(seconds)
        return True

    async def _end_well(self, comparison: Comparison) -> None:
        self.metrics.reconciled("healed" if comparison.steps else "clean")
        self.detail = "records and venue agree"
        with contextlib.suppress(*UNREADABLE):  # then a little more history is read next time
            await self._store.set_fact(WATERMARK, clock.timestamp() - OVERLAP_SECONDS)
        if not self.recovered:
            self.recovered = True
            self._found.clear()
            self.metrics.recovery_complete(complete=True)
            log.info("recovered")
            reached(Place.RECOVERED)

    def _halt(self, found: Discrepancy) -> None:
        reason = f"{found.cause} of {found.subject}: ours {found.ours}, the venue's {found.theirs}"
        log.error("drift", cause=found.cause, subject=found.subject, detail=reason)
        self._hold(f"recovery-{found.cause}-{found.subject}", reason)

    async def _compare(self, *, at_start: bool) -> Comparison:
        since = await self._store.fact(WATERMARK, float)
        ours, theirs = await gather(self._broker, self._store, self._held(), since=since or 0.0)
        reached(Place.GATHERED)
        return compare(ours, theirs, self._policy, now=clock.timestamp(), at_start=at_start)

    async def _begin_records(self) -> None:
        """Take over an account of which there are no records: at the first start, or after a loss.

        The venue's history tells of orders that are ours by their ids. With them the positions are
        whole again; without all of it, nobody knows what the bot holds.
        """
        ours, theirs = await gather(self._broker, self._store, self._held(), since=0.0)
        found = compare(ours, theirs, self._policy, now=clock.timestamp(), at_start=True)
        self._remember(found)
        rebuilt = [step for step in found.steps if isinstance(step, Adopt)]
        if rebuilt and not theirs.history.complete:
            self._hold(
                "recovery-partial_history",
                "the records were lost, and the venue does not tell the whole history",
            )
        for step in found.steps:
            await self._take_over(step, theirs.snapshot.at)
        totals = {name: one.total for name, one in theirs.snapshot.balances.items()}
        # Before the balances: with them and without it, a bot that died in between would count the
        # whole history again, on top of balances that it is in.
        await self._store.set_fact(WATERMARK, theirs.snapshot.at)
        await self._book.adopt_balances(totals)
        reached(Place.RECORDS_BEGUN)
        log.info("records_begun", orders_found=len(rebuilt), currencies=len(totals))

    async def _take_over(self, step: Step, at: float) -> None:
        """Heal before balances were adopted: what happened until then is in them."""
        if not isinstance(step, CountTrade | CountLedger):
            await heal(step, self._book, self._broker)
            return
        adopted = adopted_of(step)
        # What is older is never asked for again.
        if adopted.at >= at - 2 * OVERLAP_SECONDS:
            await self._book.adopt(adopted, amounts={}, code="already_counted")

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

    async def _tell(self, comparison: Comparison, *, at_start: bool) -> None:
        """Record every discrepancy with its cause, and the counts that rules look at."""
        by_cause: dict[Cause, int] = {}
        for found in comparison.discrepancies:
            by_cause[found.cause] = by_cause.get(found.cause, 0) + 1
            self.metrics.discrepancy(found.cause)
        self.metrics.orphaned_orders(by_cause.get(Cause.ORPHANED_ORDER, 0))
        self.metrics.lost_orders(by_cause.get(Cause.LOST_ORDER, 0))
        worth = tuple(one for one in comparison.discrepancies if one.remedy is not Remedy.WAIT)
        if worth and worth != self._told:
            found_now = told(comparison.discrepancies)
            await self._note("recovery" if at_start else "comparison", {"found": found_now})
        self._told = worth  # what stays different is told once, not every minute

    async def _note(self, code: str, detail: Mapping[str, object]) -> None:
        event = Event(at=clock.timestamp(), kind=EventKind.RECOVERY, code=code, detail=dict(detail))
        await self._book.note(event)

    def _show(self, drift: Drift) -> None:
        for symbol, quantity in drift.positions.items():
            self.metrics.position_drift(symbol, float(quantity))
        for currency, amount in drift.balances.items():
            if amount or currency in self._currencies:
                self.metrics.balance_drift(currency, float(amount))

    async def _pause(self, seconds: float) -> None:
        self._asked.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._asked.wait()
