"""Evaluates every open readiness run: a background task of the reconciler.

Time is evaluated in slots, each once, at its end: hours in which a bot worked while the reconciler
or its network was down are found in Prometheus afterwards. Time that Prometheus does not have does
not count.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from trading_ops import clock, logs
from trading_ops.clients.prometheus import Prometheus
from trading_ops.domain import readiness
from trading_ops.domain.hold import RECONCILER, HeldState
from trading_ops.domain.readiness import (
    CriterionResult,
    CriterionStatus,
    Observation,
    OnBreach,
    RunState,
    advance,
    figure,
    judge,
    judge_restarts,
)
from trading_ops.domain.runbook import fill_query
from trading_ops.domain.target import BOTS, NAMED_BOTS, Registry, Target
from trading_ops.errors import ClientError, Refused, StoreError
from trading_ops.holds.holds import HoldManager
from trading_ops.holds.suppression import Suppression
from trading_ops.reconciler.metrics import ReadinessMetrics
from trading_ops.store import Connection
from trading_ops.store import readiness as stored_runs
from trading_ops.store.reader import Reader
from trading_ops.store.readiness import StoredRun
from trading_ops.store.writer import Writer
from trading_ops.tasks import Succeeded, unwatched

log = logs.get(__name__)

EVERY_SECONDS = 15.0
SLOT = timedelta(minutes=1)
"""Minimum length of a slot where hours count."""

SLOTS_A_PASS = 24
"""Maximum slots of one run per pass; after a long pause the rest follows in the next passes."""

CHECKS_LAST = timedelta(days=7)
LONGEST_RUN = timedelta(days=7)
"""Maximum of `$run`: what a query reads each minute stays bounded."""

RECORDS_LAST = timedelta(days=30)

RESTARTING = ("restart_bot", "roll_bot", "failover_bot")
CRASHES = ("TradingBotDown",)
"""Their runbooks restart a process that died, which does not explain the restart."""


@dataclass(frozen=True, kw_only=True)
class _Records:
    """The stored facts about one slot."""

    verified: dict[str, datetime]
    drilled: dict[str, datetime]
    explained: str


@dataclass(kw_only=True)
class Evaluator:
    """Advances the runs."""

    reader: Reader
    writer: Writer
    prometheus: Prometheus
    registry: Registry
    holding: HoldManager
    suppression: Suppression
    metrics: ReadinessMetrics
    now: Callable[[], datetime] = clock.now
    longest_slot: timedelta = timedelta(minutes=5)
    """Maximum length of a slot, after a pause."""

    wakeup: asyncio.Event = field(default_factory=asyncio.Event)
    """Set to evaluate now."""

    _shown: set[str] = field(init=False)
    """Bots whose metrics may differ from those of a bot without a run."""

    _not_reduced: dict[str, tuple[str, str]] = field(init=False, default_factory=dict)
    """By bot: the hold that was not placed, and why; each reason is logged once."""

    def __post_init__(self) -> None:
        """At first, every bot needs its metrics."""
        self._shown = {target.name for target in self.registry if target.kind in NAMED_BOTS}

    async def run(self, succeeded: Succeeded = unwatched) -> None:
        """Evaluate until cancelled."""
        while True:
            try:
                await self.evaluate()
            except StoreError as error:
                log.warning("readiness_not_stored", error=str(error))
            else:
                succeeded()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(EVERY_SECONDS):
                    await self.wakeup.wait()
            self.wakeup.clear()

    async def evaluate(self) -> None:
        """Evaluate each open run up to now.

        Raises:
            StoreError: the database did not answer.
        """
        found = await self.reader.read(stored_runs.open_runs)
        for stored in found:
            target = self.registry.find(stored.run.bot)
            if target is None:
                continue
            try:
                await self._catch_up(stored, target)
            except ClientError as error:
                # The slot is evaluated when Prometheus answers again.
                log.warning("readiness_not_evaluated", bot=stored.run.bot, error=str(error))
        await self._reduce_late()
        self._show(await self.reader.read(stored_runs.open_runs) if found else [])

    async def _catch_up(self, stored: StoredRun, target: Target) -> None:
        for _ in range(SLOTS_A_PASS):
            until = end_of_slot(stored, self.now(), self.longest_slot)
            if until is None:
                return
            seen = await self._observe(stored, target, until)
            run, changes = advance(stored.plan, stored.run, seen, self.now())
            if run.state is RunState.HELD and stored.run.state is not RunState.HELD:
                await self._reduce(target, run)
            save = partial(
                stored_runs.save, stored=stored, run=run, changes=changes, now=self.now()
            )
            if not await self.writer.run(save):
                return  # another replica, or an operator, was first
            for change in changes:
                log.warning(change.kind, note=change.note)
            stored = StoredRun(run=run, plan=stored.plan, version=stored.version + 1)

    def _show(self, found: list[StoredRun]) -> None:
        metrics, bots = self.metrics, {stored.run.bot for stored in found}
        metrics.sign_off_due.clear()
        for bot in self._shown - bots:  # bots without a run are at stage 0
            for gauge in (metrics.stage, metrics.credited, metrics.regressed, metrics.held):
                gauge.labels(bot).set(0)
            for status in CriterionStatus:
                metrics.criteria.labels(bot, status.value).set(0)
        self._shown = bots
        for stored in found:
            run, bot = stored.run, stored.run.bot
            metrics.stage.labels(bot).set(run.stage + 1)
            metrics.credited.labels(bot).set(run.credited.total_seconds())
            for status in CriterionStatus:
                count = sum(result.status is status for result in run.results.values())
                metrics.criteria.labels(bot, status.value).set(count)
            metrics.regressed.labels(bot).set(len(readiness.regressed(run)))
            metrics.held.labels(bot).set(run.state is RunState.HELD)
            due = readiness.sign_off_due(stored.plan, run)
            if due is not None and run.state is not RunState.HELD:
                metrics.sign_off_due.labels(bot).set(due.timestamp())

    async def _reduce_late(self) -> None:
        """Make bots reduce-only whose breach met a pause or a maintenance window that has ended.

        A hold that was placed once is never placed again: an operator may have released it.
        """
        for run in await self.reader.read(stored_runs.held_without_hold):
            target = self.registry.find(run.bot)
            if target is not None:
                await self._reduce(target, run)

    async def _reduce(self, target: Target, run: readiness.ReadinessRun) -> None:
        """Make the bot reduce-only; after a kill, the next start finds the same hold."""
        await self.suppression.refresh()
        held_off = self.suppression.why(target, self.now())
        key = run.hold_key
        if target.kind not in BOTS or held_off is not None:
            why = f"a {target.kind} takes no orders" if held_off is None else str(held_off)
            if self._not_reduced.get(target.name) != (key, why):
                log.warning("readiness_not_reduced", bot=target.name, why=why)
            self._not_reduced[target.name] = (key, why)
            return
        await self.holding.place(
            target,
            HeldState.REDUCING.value,
            owner=RECONCILER,
            reason=f"readiness: {run.reason}"[:200],
            key=key,
        )

    async def _observe(self, stored: StoredRun, target: Target, until: datetime) -> Observation:
        run, plan = stored.run, stored.plan
        criteria = plan.criteria(run.stage)
        ranges = {
            "$window": until - run.evaluated_until,
            "$run": min(until - run.begun_at, LONGEST_RUN),
        }
        records = await self.reader.read(partial(_records, stored=stored, until=until))
        results, start = {}, None
        for name, criterion in criteria.items():
            if criterion.restarts:
                start, _ = await self._measure(criterion.query, target, ranges, until)
                results[name] = judge_restarts(run, start, records.explained, until)
            elif criterion.query:
                value, evidence = await self._measure(criterion.query, target, ranges, until)
                results[name] = judge(criterion, value, evidence, until)
            elif criterion.verified:
                lacking = f"no verified attempt in {RECORDS_LAST.days} days"
                results[name] = _of_records(criterion.verified, records.verified, lacking, until)
            elif criterion.drilled:
                lacking = f"no ended incident since {_drills_since(stored):%Y-%m-%d %H:%M}"
                results[name] = _of_records(criterion.drilled, records.drilled, lacking, until)
            else:
                results[name] = _of_check(run.results.get(name), until)
        present, _ = await self._measure(plan.present, target, ranges, until)
        return Observation(
            until=until,
            present=timedelta(seconds=present or 0.0),
            results=results,
            start=start,
        )

    async def _measure(
        self, query: str, target: Target, ranges: Mapping[str, timedelta], until: datetime
    ) -> tuple[float | None, str]:
        """Return the one value of a query, or None and why there is none.

        Raises:
            Unreachable: Prometheus did not answer.
        """
        for name, length in ranges.items():
            query = query.replace(name, f"{max(1, int(length.total_seconds()))}s")
        filled = fill_query(query, target)
        try:
            samples = await self.prometheus.query(filled, at=until)
        except Refused as error:
            return None, f"Prometheus refused the query: {error}"[:300]
        if len(samples) == 1:
            return samples[0].value, figure(samples[0].value)
        if samples:
            return None, f"the query returned {len(samples)} samples instead of one"
        return None, f"no sample of {filled}"[:300]


def end_of_slot(stored: StoredRun, now: datetime, longest: timedelta) -> datetime | None:
    """Return the end of the next slot of a run; None: too little time has passed."""
    since = now - stored.run.evaluated_until
    if stored.plan.stages[stored.run.stage].on_breach is OnBreach.WAIT:
        return now if since > timedelta(0) else None
    return min(now, stored.run.evaluated_until + longest) if since >= SLOT else None


def _drills_since(stored: StoredRun) -> datetime:
    return stored.run.begun_at - RECORDS_LAST


def _records(connection: Connection, *, stored: StoredRun, until: datetime) -> _Records:
    run = stored.run
    criteria = stored.plan.criteria(run.stage).values()
    actions = {name for criterion in criteria for name in criterion.verified}
    alerts = {name for criterion in criteria for name in criterion.drilled}
    verified = stored_runs.verified_actions(
        connection, run.bot, actions, since=until - RECORDS_LAST
    )
    drilled = stored_runs.ended_alerts(connection, run.bot, alerts, since=_drills_since(stored))
    explained = stored_runs.explanation(
        connection,
        run.bot,
        actions=RESTARTING,
        crashes=CRASHES,
        since=run.seen_at or run.begun_at,
        until=until,
    )
    return _Records(verified=verified, drilled=drilled, explained=explained)


def _of_records(
    wanted: Sequence[str], found: Mapping[str, datetime], lacking: str, until: datetime
) -> CriterionResult:
    missing = [name for name in wanted if name not in found]
    if missing:
        evidence = f"{lacking}: {', '.join(missing)}"
        return CriterionResult(status=CriterionStatus.UNKNOWN, evidence=evidence, at=until)
    evidence = ", ".join(f"{name} at {found[name]:%Y-%m-%d %H:%M}" for name in wanted)
    return CriterionResult(status=CriterionStatus.PASSED, evidence=evidence, at=until)


def _of_check(last: CriterionResult | None, until: datetime) -> CriterionResult:
    if last is None:
        return CriterionResult(status=CriterionStatus.UNKNOWN, evidence="not checked yet", at=until)
    if until - last.at > CHECKS_LAST:
        evidence = f"checked more than {CHECKS_LAST.days} days ago"
        return CriterionResult(status=CriterionStatus.UNKNOWN, evidence=evidence, at=last.at)
    return last
