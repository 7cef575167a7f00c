"""The loop: compares observed with desired state, and takes at most one step per target.

A pass starts when a notification was stored, when a task ended, each second while an incident is
open, and at the poll interval otherwise. It processes only what is due (`workqueue`), so it costs
what has changed. It can be killed at any point and started again: it keeps no state that matters.
"""

import asyncio
import math
from dataclasses import dataclass, field, replace
from functools import partial

from trading_ops import clock, logs
from trading_ops.domain.decision import GlobalLimits
from trading_ops.domain.incident import Incident
from trading_ops.domain.observation import AlertSnapshot, is_audible
from trading_ops.errors import TradingOpsError
from trading_ops.reconciler.acknowledgements import AcknowledgementSync
from trading_ops.reconciler.clocks import ClockReports
from trading_ops.reconciler.crash_recovery import CrashCounter
from trading_ops.reconciler.intake import Intake
from trading_ops.reconciler.lease import Leases, key_of
from trading_ops.reconciler.manual_actions import ManualActions
from trading_ops.reconciler.metrics import ReconcilerMetrics, show_open
from trading_ops.reconciler.observe import Observer
from trading_ops.reconciler.reconcile import IncidentReconciler, until_seconds
from trading_ops.reconciler.retention import Retention
from trading_ops.reconciler.runbook_index import RunbookIndex
from trading_ops.reconciler.secondary_oncall import SilenceMonitor
from trading_ops.reconciler.state import ReconcilerState, read_state
from trading_ops.reconciler.workqueue import REQUEUE_SECONDS, Workers, WorkQueue, requeue_in
from trading_ops.store.reader import Reader
from trading_ops.tasks import Succeeded, Tasks, unwatched

log = logs.get(__name__)

DRAIN_SECONDS = 5.0
RETENTION_SECONDS = 3600.0
REST_PER_ALERT_SECONDS = 0.0001
"""Seconds between polls of the sources per alert in their answer, so that polling does not take all
the time in a storm. Counted by alerts, since the clock also runs while the process is frozen."""

LONGEST_REST_SECONDS = 5.0

UNREGISTERED_AT_ONCE = 1_000
"""Incidents without a registered target per pass; the rest waits for the next passes."""

CONCURRENT = 32
"""Incidents processed concurrently."""

BATCH_SECONDS = 0.2
"""Seconds that a pass waits for a batch. A target that does not answer its precondition probe takes
two seconds: such an incident finishes in the background."""


@dataclass(kw_only=True)
class Loop:
    """One reconciler's loop over the open incidents."""

    reader: Reader
    index: RunbookIndex
    leases: Leases
    intake: Intake
    observer: Observer
    incident_reconciler: IncidentReconciler
    manual_actions: ManualActions
    acknowledgements: AcknowledgementSync
    clock_reports: ClockReports
    silences: SilenceMonitor
    workers: Workers
    retention: Retention
    tasks: Tasks
    metrics: ReconcilerMetrics
    limits: GlobalLimits
    poll_seconds: float
    wakeup: asyncio.Event
    passed_at: float = field(init=False, default=-math.inf)
    """Monotonic time of the end of the last complete pass."""

    attempted_at: float = field(init=False, default=-math.inf)
    """Monotonic time of the end of the last pass, successful or not."""

    snapshot: AlertSnapshot | None = field(init=False, default=None)
    """The sources' last answers."""

    state: ReconcilerState = field(init=False, default_factory=ReconcilerState)
    _queue: WorkQueue = field(init=False, default_factory=WorkQueue)
    _crashes: CrashCounter = field(init=False)
    _mine: frozenset[str] = field(init=False, default=frozenset())
    """Ids of the open incidents whose keys this replica holds."""

    _my_incidents: list[Incident] = field(init=False, default_factory=list)
    _held_keys: frozenset[str] = field(init=False, default=frozenset())
    _began_at: float = field(init=False, default=-math.inf)
    _has_state: bool = field(init=False, default=False)
    _not_before: float = field(init=False, default=-math.inf)

    def __post_init__(self) -> None:
        self._crashes = CrashCounter(writer=self.incident_reconciler.writer)

    async def run(self, succeeded: Succeeded = unwatched) -> None:
        """Run until cancelled, then let running jobs finish."""
        self._began_at = clock.monotonic()
        await self.leases.begin()
        await self._crashes.count_deaths(self.workers.crash_marks)
        await self.intake.remember_watchdog()
        renewing = partial(self.leases.run, works=self._passes_succeed)
        try:
            async with self.tasks.running("leases", renewing):
                try:
                    await self._run_passes(succeeded)
                finally:
                    await self.workers.stop(DRAIN_SECONDS)
        finally:
            await self.leases.end()

    async def _run_passes(self, succeeded: Succeeded) -> None:
        polled_at = removed_at = -math.inf
        while True:
            self.wakeup.clear()
            due = max(polled_at + self.poll_seconds, self._not_before) <= clock.monotonic()
            polled_at = clock.monotonic() if due else polled_at
            rest = await self._guarded_pass(succeeded, poll=due)
            self.attempted_at = clock.monotonic()
            if clock.monotonic() - removed_at > RETENTION_SECONDS:
                removed_at = clock.monotonic()
                if "retention" not in self.workers:
                    self.workers.spawn("retention", self.retention.run_once(), wake_loop=False)
            until_poll = polled_at + self.poll_seconds - clock.monotonic()
            await self._sleep(min(rest, max(until_poll, self._resting)))

    def is_running(self) -> bool:
        """Whether passes run, including failing ones: a lost database must not stop the process."""
        return self._is_recent(self.attempted_at)

    def _passes_succeed(self) -> bool:
        return self._is_recent(self.passed_at)

    def _is_recent(self, moment: float) -> bool:
        since = max(moment, self._began_at)
        return clock.monotonic() - since < 2 * self.poll_seconds + DRAIN_SECONDS

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(max(seconds, 0.0)):
                await self.wakeup.wait()
        except TimeoutError:
            pass

    async def _guarded_pass(self, succeeded: Succeeded, *, poll: bool) -> float:
        began = clock.monotonic()
        try:
            rest = await self.make_pass(poll=poll)
        except TradingOpsError as error:
            log.warning("pass_failed", error=str(error))
        except Exception:  # one failed pass must not stop the loop
            log.exception("pass_crashed")
        else:
            succeeded()
            self.passed_at = clock.monotonic()
            self.metrics.passed.set(clock.timestamp())
            self.metrics.pass_duration.observe(self.passed_at - began)
            return rest
        return REQUEUE_SECONDS

    async def make_pass(self, *, poll: bool) -> float:
        """Make one pass; return the maximum seconds until the next one."""
        fired = self.incident_reconciler.world_builder.fired
        batch = await self.intake.process_pending(await self.observer.external_labels(), fired)
        await self._refresh()
        if poll or batch.incomplete or self._is_due():
            late = await self._observe()
            due = self._queue.take(clock.monotonic()) - late
            self._queue.add(late)
            await self._reconcile_due([self.state.by_id[key] for key in due if key in self._mine])
        for reason, count in self._queue.waits_for_fleet().items():
            self.metrics.incidents_waiting.labels(reason).set(count)
        self._acknowledge()
        if "clocks" not in self.workers and self.clock_reports.export():
            self.workers.spawn("clocks", self.clock_reports.report(), wake_loop=False)
        if batch.more:
            return 0.0
        self.manual_actions.probe_orphans(self.state)
        if not self.state.by_id and not self.state.overrides.manual:
            return math.inf
        soon = min(self._queue.next_in(clock.monotonic()), REQUEUE_SECONDS)
        return max(soon, self._resting)

    @property
    def _resting(self) -> float:
        """Seconds until the sources are polled again; a notification shortens it."""
        return max(0.0, self._not_before - clock.monotonic())

    def _is_due(self) -> bool:
        """Whether an incident is due; between polls, only those with a target."""
        now = clock.monotonic()
        if now >= self._not_before:
            return self._queue.is_due(now)
        due = (self.state.by_id.get(key) for key in self._queue.due(now))
        return any(incident is not None and incident.target is not None for incident in due)

    def _acknowledge(self) -> None:
        """Read and synchronize silences in the background: Alertmanager may be slow."""
        mine, head = self._my_incidents, self.state.head
        if "acknowledge" not in self.workers and self.acknowledgements.is_due(mine, head=head):
            sync = self.acknowledgements.sync(mine, head=head)
            self.workers.spawn("acknowledge", sync, wake_loop=False)
        if "silences" not in self.workers and self.silences.is_due():
            self.workers.spawn("silences", self.silences.poll(self.snapshot), wake_loop=False)

    async def _refresh(self) -> None:
        """Read changes from the store, and acquire the leases of open incidents."""
        former = self.state if self._has_state else None
        state = await self._read(former)
        held = await self.leases.hold(state.keys)
        if held - self._held_keys and not self.leases.alone:
            # The previous holder of the leases may have acted since the state was read.
            state = await self._read(former)
        unchanged = state is former and held == self._held_keys
        mine = self._mine
        if not unchanged:
            mine = frozenset(
                key for key, incident in state.by_id.items() if key_of(incident) in held
            )
        if not (self._has_state and self.leases.alone):
            # A previous process or another replica may have crashed on incidents new to this one.
            await self._crashes.load(self.reader, mine - self._mine, state)
        # Kept only now: had the store failed, the changes would be lost.
        self.state, self._has_state = state, True
        self.metrics.paused.set(state.pause_at(clock.now()) is not None)
        if unchanged:
            return
        self._held_keys = held
        if state.changed or former is None or former.by_id.keys() != state.by_id.keys():
            show_open(self.metrics, state.incidents, self.index)
        self._forget(self._mine - mine)
        self._queue.add((mine - self._mine) | (state.changed & mine))
        self._mine = mine
        self._my_incidents = [incident for key, incident in state.by_id.items() if key in mine]

    async def _read(self, former: ReconcilerState | None) -> ReconcilerState:
        read = partial(read_state, limits=self.limits, now=clock.now(), former=former)
        return await self.reader.read(read)

    def _forget(self, keys: frozenset[str]) -> None:
        for key in keys:
            self._queue.forget(key)
        self._crashes.forget(keys)
        self.incident_reconciler.decision_log.forget(keys)

    async def _observe(self) -> set[str]:
        """Poll the sources, and mark incidents with changed alerts as due.

        Returns:
            Incidents that are newer than the answer: they wait for the next poll.

        The sources are polled after the store was read: an incident must never be processed with an
        answer that is older than the incident.
        """
        before, polled_at = self.snapshot.prometheus if self.snapshot else None, clock.monotonic()
        self.snapshot = snapshot = replace(await self.observer.poll(), before=before)
        acknowledged = self.state.overrides.acknowledged.keys() & self._mine
        audible = [key for key in acknowledged if is_audible(self.state.by_id[key], snapshot)]
        self.acknowledgements.note_lost_silences(audible, queried_at=polled_at)
        alerts = len(snapshot.prometheus.alerts) if snapshot.prometheus else 0
        rest = min(alerts * REST_PER_ALERT_SECONDS, LONGEST_REST_SECONDS)
        self._not_before = clock.monotonic() + rest
        late = set[str]()
        state_before, known = (
            self.state.by_id,
            {incident.fingerprint for incident in self.state.by_id.values()},
        )
        if snapshot.prometheus and await self.observer.adopt(snapshot, known):
            await self._refresh()
            firing = snapshot.prometheus.alerts
            new = (self.state.by_id[key] for key in self._mine - state_before.keys())
            late = {incident.id for incident in new if incident.fingerprint not in firing}
        if snapshot.prometheus:
            self.incident_reconciler.world_builder.note_firing(snapshot.prometheus, self.state)
        world_builder = self.incident_reconciler.world_builder
        self.snapshot = snapshot = replace(
            snapshot, fired=world_builder.fired, fired_since_start=world_builder.fired_since_start
        )
        for key in self._mine:
            last = self._queue.last(key)
            observed = self.incident_reconciler.observe(self.state.by_id[key], self.state, snapshot)
            if last is None or observed != (last.view, last.blocking):
                self._queue.add((key,))
        return late

    async def _reconcile_due(self, due: list[Incident]) -> None:
        # Remediable incidents first: a storm of page-only ones must not delay them.
        due.sort(key=lambda incident: (incident.target is None, incident.opened_at))
        others = [incident.id for incident in due if incident.target is None]
        self._queue.add(others[UNREGISTERED_AT_ONCE:])
        if len(others) > UNREGISTERED_AT_ONCE:
            del due[UNREGISTERED_AT_ONCE - len(others) :]
        # An incident in process is due again when that ends.
        due = [incident for incident in due if _job_key(incident) not in self.workers]
        due = [incident for incident in due if not self._crashes.is_set_aside(incident, self.state)]
        # An incident that may have killed a process is handled alone, so that only it is counted.
        alone = [incident for incident in due if self._crashes.is_suspect(incident)]
        together = [incident for incident in due if not self._crashes.is_suspect(incident)]
        try:
            await self._handle(together)
            for incident in self._crashes.one_at_a_time(alone):
                await self._handle([incident])
            self._queue.add(self._crashes.postponed)
        except Exception:
            self._queue.add(incident.id for incident in due)  # decided again in a second
            raise

    async def _handle(self, due: list[Incident]) -> None:
        for begin in range(0, len(due), CONCURRENT):
            await self._reconcile_concurrently(due[begin : begin + CONCURRENT])
        decision_log = self.incident_reconciler.decision_log
        with self.workers.crash_marks.marked(decision_log.pending):
            crashed = await decision_log.flush()
        for incident, error in crashed:
            await self._crashes.add(incident, self.state, error)
            self._queue.retry(incident.id, clock.monotonic())

    async def _reconcile_concurrently(self, due: list[Incident]) -> None:
        tasks = {
            asyncio.create_task(self._guarded_reconcile(incident)): incident for incident in due
        }
        try:
            _, late = await asyncio.wait(tasks, timeout=BATCH_SECONDS)
        except asyncio.CancelledError:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            raise
        for task in late:
            self.workers.spawn(_job_key(tasks[task]), self._finish_late(tasks[task].id, task))

    async def _finish_late(self, incident_id: str, task: asyncio.Task[None]) -> None:
        """Wait for an incident that outlasted its pass, then store its decision in another pass."""
        await task
        self._queue.add((incident_id,))

    async def _guarded_reconcile(self, incident: Incident) -> None:
        assert self.snapshot is not None  # noqa: S101 - the sources are polled first
        try:
            with self.workers.crash_marks.marked((incident.id,)):
                last = await self.incident_reconciler.reconcile(incident, self.state, self.snapshot)
        except TradingOpsError as error:
            log.warning("incident_failed", incident=incident.id, error=str(error))
        except Exception as error:  # noqa: BLE001 - one bad incident must not block the others
            await self._crashes.add(incident, self.state, error)
        else:
            wait = requeue_in(last.decision, until_seconds(last.decision))
            self._queue.done(incident.id, last, requeue_in=wait, now=clock.monotonic())
            return
        self._queue.retry(incident.id, clock.monotonic())


def _job_key(incident: Incident) -> str:
    return f"reconcile:{incident.id}"
