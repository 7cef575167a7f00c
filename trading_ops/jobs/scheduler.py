"""The scheduler: each pass compares the stored state with the time, and starts due jobs.

The whole state is in the database, so the next pass, in this process or in another replica,
continues after a kill at any point. A replica runs a job only while it holds the job's lease.
"""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from trading_ops import clock, logs
from trading_ops.config.settings import Settings
from trading_ops.domain.decision import Pause
from trading_ops.domain.durations import format_duration
from trading_ops.domain.gates import by_maintenance, by_observe_only, by_pause
from trading_ops.domain.job import JobOutcome, JobRun, JobState
from trading_ops.domain.maintenance import FURTHEST, Maintenance, RecurringWindow, covering
from trading_ops.errors import ConfigError, RequestRefused, StoreError
from trading_ops.jobs.config import JobEntry, calendars
from trading_ops.jobs.job import Context, Job, JobResult, Plan, load
from trading_ops.jobs.schedule import AtSession, TradingSession, grace, jitter, next_due
from trading_ops.jobs.windows import Recurring, ordered
from trading_ops.reconciler.lease import Leases
from trading_ops.reconciler.metrics import JobMetrics
from trading_ops.store import Connection, maintenance
from trading_ops.store import jobs as stored
from trading_ops.store.reader import Reader
from trading_ops.store.writer import Writer
from trading_ops.tasks import Succeeded, unwatched

log = logs.get(__name__)

PASS_SECONDS = 3.0
ON_TIME = timedelta(minutes=5)
"""A due time older than this, plus the jitter, counts as missed; see also `grace`."""

SCHEDULE = "schedule"
"""The actor of a run that no operator started."""

WINDOWS_KEY = "maintenance windows"
WINDOWS_NAME = "maintenance_windows"
"""The name of invalid recurring windows among the failing jobs, for the alert."""

FILE_NAME = "jobs.yml"
"""That of invalid entries of the file."""

SESSIONS_JOB = "trading_sessions"
SESSIONS_AGAIN = timedelta(hours=1)
"""Delay between two attempts to fill an empty table; an alert shows failures."""

LEASE_CHECK_SECONDS = 1.0
"""Interval of checks that a running job still has its lease."""

DRAIN_SECONDS = 2.0
"""Time for running jobs at shutdown; the remaining ones are cancelled and become `unknown`."""


def key_of_job(name: str) -> str:
    """Return the lease key that a replica must hold to run a job."""
    return f"job:{name}"


@dataclass(frozen=True, kw_only=True)
class Known:
    """A consistent snapshot of the state for one pass."""

    states: Mapping[str, JobState]
    running: Mapping[str, JobRun]
    latest: Mapping[str, JobRun]
    succeeded: Mapping[str, JobRun]
    sessions: Mapping[str, tuple[TradingSession, ...]]
    pause: Pause | None
    windows: tuple[Maintenance, ...]
    recurring: tuple[RecurringWindow, ...]


@dataclass(frozen=True, kw_only=True)
class JobStatus:
    """A job's configuration and current status."""

    entry: JobEntry
    state: JobState | None
    due_at: datetime | None
    """The next due time; None: disabled, paused, or no session is stored."""

    running: JobRun | None
    last: JobRun | None
    succeeded: JobRun | None


@dataclass(kw_only=True)
class Scheduler:
    """Runs the jobs of one reconciler."""

    entries: Mapping[str, JobEntry]
    writer: Writer
    reader: Reader
    lease: Leases
    metrics: JobMetrics
    settings: Settings
    windows: Sequence[Recurring] = ()
    """The recurring maintenance windows of the file."""

    refused_entries: int = 0
    """Those of jobs.yml that were left out because they are invalid."""

    refused_windows: int = 0
    """Those of the file that were left out because they are invalid."""

    jobs: Mapping[str, Job] = field(default_factory=dict)
    """For tests: jobs that are not in the registry."""

    _runs: dict[str, asyncio.Task[None]] = field(init=False, default_factory=dict)
    _planned: set[tuple[str, datetime]] = field(init=False, default_factory=set)
    _ordered: dict[RecurringWindow, Recurring | None] = field(init=False, default_factory=dict)
    _due: dict[str, tuple[object, datetime | None]] = field(init=False, default_factory=dict)

    async def run(self, succeeded: Succeeded = unwatched) -> None:
        """Start due jobs until cancelled."""
        try:
            while True:
                try:
                    await self.pass_once()
                except StoreError as error:
                    log.warning("jobs_not_scheduled", error=str(error))
                else:
                    succeeded()
                await asyncio.sleep(PASS_SECONDS)
        finally:
            await self.stop()

    async def pass_once(self) -> None:
        """Close interrupted runs, start due jobs, and update the metrics."""
        now = clock.now()
        known = await self.known(now)
        if new := self.entries.keys() - known.states.keys():
            await self.writer.run(partial(stored.register, names=new, now=now))
        for name, left in known.running.items():
            if left.replica != self.lease.replica and name in self.entries:
                await self._close(name)
        for name, entry in self.entries.items():
            state = known.states.get(name)
            if state is None or not entry.enabled or state.paused_at is not None:
                continue
            if name not in known.running:
                await self._consider(entry, state, known, now)
        await self._store_sessions(known, now)
        await self._plan_windows(known, now)
        self._show(known, now)

    async def _plan_windows(self, known: Known, now: datetime) -> None:
        """Store the next window of each recurring one, on one replica only."""
        found = [
            (recurring.order, window)
            for recurring in (*self.windows, *self._ordered_windows(known.recurring))
            if (window := recurring.next(now)) is not None
            and window.begins_at - now <= FURTHEST  # a leap day: planned when it is near
        ]
        wanted = [
            (order, window)
            for order, window in found
            if (window.owner, window.begins_at) not in self._planned
        ]
        if not wanted:
            return
        async with self.lease.pinned(WINDOWS_KEY) as held:
            if not held:
                return
            for order, window in wanted:
                change = partial(maintenance.begin_once, window=window, now=now)
                if order is not None:
                    change = partial(
                        maintenance.plan_recurring, key=order.id, window=window, now=now
                    )
                try:
                    stored_window = await self.writer.run(change)
                except RequestRefused as error:
                    log.warning("maintenance_not_planned", owner=window.owner, error=str(error))
                else:
                    if stored_window is not None:
                        log.info("maintenance_planned", id=stored_window.id, owner=window.owner)
        self._planned = {(window.owner, window.begins_at) for _, window in found}

    def _ordered_windows(self, orders: Sequence[RecurringWindow]) -> list[Recurring]:
        """Return the windows that operators created, without those that this release refuses."""
        for order in orders:
            if order not in self._ordered:
                try:
                    self._ordered[order] = ordered(order)
                except ConfigError as error:
                    self._ordered[order] = None
                    log.warning("maintenance_not_planned", id=order.id, error=str(error))
        found = [self._ordered[order] for order in orders]
        self.metrics.failing.labels(FILE_NAME).set(1 if self.refused_entries else 0)
        refused = self.refused_windows or None in found
        self.metrics.failing.labels(WINDOWS_NAME).set(1 if refused else 0)
        return [recurring for recurring in found if recurring is not None]

    async def _store_sessions(self, known: Known, now: datetime) -> None:
        """Fill the table of a calendar without future sessions, ahead of the job's schedule."""
        entry = self.entries.get(SESSIONS_JOB)
        empty = [
            name
            for name, sessions in known.sessions.items()
            if not sessions or sessions[-1].closes_at < now
        ]
        if not empty or entry is None or not entry.enabled or self.settings.observe_only:
            return
        last = known.latest.get(SESSIONS_JOB)
        if last is None or now - last.started_at > SESSIONS_AGAIN:
            await self._begin(entry, due_at=None, actor=SCHEDULE)

    async def known(self, now: datetime) -> Known:
        """Read the state for one pass."""
        return await self.reader.read(partial(_read, names=calendars(self.entries), now=now))

    async def statuses(self) -> list[JobStatus]:
        """Return the current status of every job, by name."""
        now = clock.now()
        known = await self.known(now)
        return [self._status(entry, known, now) for _, entry in sorted(self.entries.items())]

    async def plan(self, name: str) -> Plan:
        """Return a job's plan."""
        return await self._job(name).plan(self._context(self.entries[name]))

    async def start(self, name: str, *, owner: str) -> int:
        """Run a job now on an operator's request; return the run's id.

        Pauses of automation and maintenance windows do not block an operator; observe-only does.

        Raises:
            RequestRefused: it is already running, another replica has its lease, or observe-only is
                set.
        """
        if self.settings.observe_only:
            raise RequestRefused(
                "the reconciler is observe-only: use --dry-run, or change settings"
            )
        run = await self._begin(self.entries[name], due_at=None, actor=owner)
        if run is None:
            raise RequestRefused(f"{name} is running, or another reconciler is about to run it")
        return run

    async def _consider(
        self, entry: JobEntry, state: JobState, known: Known, now: datetime
    ) -> None:
        due = self._due_at(entry, state, known, now)
        if state.held_due_at is not None and (due is None or due > now):
            due = state.held_due_at
        if due is None or due + jitter(entry.name, due, entry.jitter) > now:
            return
        gate = self._gate(entry, known, now)
        if gate is None:
            late = now - due - entry.jitter
            if not (entry.skip_missed and late > ON_TIME and due != state.held_due_at):
                await self._begin(entry, due_at=due, actor=SCHEDULE)
                return
            missed_by = timedelta(seconds=late // timedelta(seconds=1))
            gate = f"missed by {format_duration(missed_by)}, and misfire: skip"
        elif due == state.held_due_at:
            return  # recorded once
        hold = not entry.skip_missed and not self.settings.observe_only
        await self._refuse(entry.name, due, gate, hold=hold)

    def _gate(self, entry: JobEntry, known: Known, now: datetime) -> str | None:
        """Return the closed gate as text; only maintenance of the whole fleet concerns jobs."""
        window = None if entry.in_maintenance else covering(known.windows, None, now)
        found = (
            by_observe_only(everywhere=self.settings.observe_only)
            or by_pause(known.pause, now)
            or by_maintenance(window)
        )
        return None if found is None else str(found)

    async def _begin(self, entry: JobEntry, *, due_at: datetime | None, actor: str) -> int | None:
        """Begin a run if this replica has the lease, which the run keeps."""
        begun: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        if entry.name in self._runs:
            return None
        work = self._hold_and_run(entry, due_at, actor, begun)
        self._runs[entry.name] = asyncio.create_task(work, name=key_of_job(entry.name))
        return await begun

    async def _hold_and_run(
        self,
        entry: JobEntry,
        due_at: datetime | None,
        actor: str,
        begun: asyncio.Future[int | None],
    ) -> None:
        key = key_of_job(entry.name)
        try:
            async with self.lease.pinned(key) as held:
                run = None
                if held:
                    change = partial(
                        stored.begin,
                        claim=self.lease.claim(key),
                        job=entry.name,
                        due_at=due_at,
                        actor=actor,
                        now=clock.now(),
                    )
                    run = await self.writer.run(change)
                _answer(begun, run)
                if run is not None:
                    log.info("job_started", job=entry.name, run=run, actor=actor)
                    result = await self._guarded(entry)
                    await self._finish(entry.name, run, result)
        except StoreError as error:
            log.warning("job_not_recorded", job=entry.name, error=str(error))
        finally:
            _answer(begun, None)
            del self._runs[entry.name]

    async def _guarded(self, entry: JobEntry) -> JobResult:
        work = self._job(entry.name).run(self._context(entry))
        try:
            async with asyncio.timeout(entry.timeout.total_seconds()) as limit:
                return await self._while_held(key_of_job(entry.name), work)
        except Exception as error:
            if isinstance(error, TimeoutError) and limit.expired():
                return JobResult(
                    JobOutcome.FAILED, f"timed out after {format_duration(entry.timeout)}"
                )
            log.warning("job_error", job=entry.name, exc_info=True)
            return JobResult(JobOutcome.FAILED, f"{type(error).__name__}: {error}")

    async def _while_held(self, key: str, work: Coroutine[Any, Any, JobResult]) -> JobResult:
        """Run work; cancel it when another replica may have taken over the lease."""
        task = asyncio.create_task(work)
        try:
            while not task.done():
                await asyncio.wait({task}, timeout=LEASE_CHECK_SECONDS)
                if not task.done() and key not in self.lease.keys:
                    return JobResult(JobOutcome.UNKNOWN, "aborted: the lease was lost")
            return task.result()
        finally:
            task.cancel()
            await asyncio.wait({task})

    async def _finish(self, name: str, run: int, result: JobResult) -> None:
        """Store the outcome; retry while the database is unreachable."""
        wait = 1.0
        while True:
            try:
                noted = await self.writer.run(
                    partial(
                        stored.finish,
                        run=run,
                        outcome=result.outcome,
                        detail=result.detail,
                        now=clock.now(),
                    )
                )
            except StoreError as error:
                log.warning("job_outcome_not_stored", job=name, error=str(error))
                await asyncio.sleep(wait)
                wait = min(2 * wait, 30.0)
            else:
                log.info("job_finished", job=name, run=run, outcome=result.outcome, noted=noted)
                return

    async def _close(self, name: str) -> None:
        key = key_of_job(name)
        async with self.lease.pinned(key) as held:
            if held:
                change = partial(
                    stored.close_left_behind,
                    claim=self.lease.claim(key),
                    job=name,
                    now=clock.now(),
                )
                if await self.writer.run(change):
                    log.warning("job_abandoned", job=name)

    async def _refuse(self, name: str, due: datetime, gate: str, *, hold: bool) -> None:
        key = key_of_job(name)
        async with self.lease.pinned(key) as held:
            if held:
                change = partial(
                    stored.refuse,
                    job=name,
                    due_at=due,
                    detail=gate,
                    hold=hold,
                    replica=self.lease.replica,
                    now=clock.now(),
                )
                await self.writer.run(change)
                log.info("job_refused", job=name, reason=gate)

    async def stop(self, within: float = DRAIN_SECONDS) -> None:
        """Stop running jobs; one that does not end in time stays open and becomes `unknown`."""
        running = list(self._runs.values())
        if running:
            _, late = await asyncio.wait(running, timeout=within)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _job(self, name: str) -> Job:
        return self.jobs[name] if name in self.jobs else load(name)

    def _context(self, entry: JobEntry) -> Context:
        return Context(
            settings=self.settings,
            writer=self.writer,
            reader=self.reader,
            schedule=entry.schedule,
            timeout=entry.timeout,
            calendars=calendars(self.entries),
        )

    def _due_at(
        self, entry: JobEntry, state: JobState, known: Known, now: datetime
    ) -> datetime | None:
        """Return the next due time, recomputed only if one of its inputs changed."""
        sessions: tuple[TradingSession, ...] = ()
        if isinstance(entry.schedule, AtSession):
            sessions = known.sessions[entry.schedule.calendar]
        depends = state.handled_at, sessions
        if self._due.get(entry.name, (None, None))[0] != depends:
            due = next_due(entry.schedule, state.handled_at, now, sessions)
            self._due[entry.name] = depends, due
        return self._due[entry.name][1]

    def _grace(self, entry: JobEntry, due: datetime, known: Known) -> timedelta:
        schedule = entry.schedule
        sessions = known.sessions[schedule.calendar] if isinstance(schedule, AtSession) else ()
        return grace(schedule, due, sessions, most=ON_TIME)

    def _status(self, entry: JobEntry, known: Known, now: datetime) -> JobStatus:
        state = known.states.get(entry.name)
        due = None
        if state is not None and entry.enabled and state.paused_at is None:
            due = self._due_at(entry, state, known, now)
        return JobStatus(
            entry=entry,
            state=state,
            due_at=due,
            running=known.running.get(entry.name),
            last=known.latest.get(entry.name),
            succeeded=known.succeeded.get(entry.name),
        )

    def _show(self, known: Known, now: datetime) -> None:
        for name, entry in self.entries.items():
            status = self._status(entry, known, now)
            if status.due_at is None or status.running is not None:
                # Nothing is expected; a series that remained would eventually be in the past.
                self.metrics.expected.remove_by_labels({"name": name})
            else:
                expected = status.due_at + entry.jitter + self._grace(entry, status.due_at, known)
                self.metrics.expected.labels(name).set(expected.timestamp())
            ok = status.last is None or status.last.outcome in (
                JobOutcome.DONE,
                JobOutcome.NOTHING_TO_DO,
            )
            self.metrics.failing.labels(name).set(0 if ok else 1)
            if status.last is not None and status.last.ended_at is not None:
                took = status.last.ended_at - status.last.started_at
                self.metrics.duration.labels(name).set(took.total_seconds())
            done = status.succeeded.ended_at if status.succeeded is not None else None
            self.metrics.succeeded.labels(name).set(done.timestamp() if done else 0)


def _answer(begun: asyncio.Future[int | None], run: int | None) -> None:
    if not begun.done():
        begun.set_result(run)


def _read(connection: Connection, *, names: frozenset[str], now: datetime) -> Known:
    return Known(
        states=stored.states(connection),
        running={run.job: run for run in stored.running(connection)},
        latest=stored.latest(connection),
        succeeded=stored.succeeded(connection),
        sessions={
            name: tuple(
                TradingSession(*session) for session in stored.sessions_of(connection, name)
            )
            for name in sorted(names)
        },
        pause=maintenance.current_pause(connection, now=now),
        windows=tuple(maintenance.current(connection, now=now)),
        recurring=tuple(maintenance.recurring(connection)),
    )
