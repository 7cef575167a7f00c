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
from trading_ops.domain.observation import Snapshot, is_audible
from trading_ops.errors import TradingOpsError
from trading_ops.reconciler.acknowledgements import Acknowledging
from trading_ops.reconciler.clocks import ClockReports
from trading_ops.reconciler.crash_recovery import Crashes
from trading_ops.reconciler.intake import Intake
from trading_ops.reconciler.lease import Lease, key_of
from trading_ops.reconciler.manual_actions import Manual
from trading_ops.reconciler.metrics import ReconcilerMetrics, show_open
from trading_ops.reconciler.observe import Observer
from trading_ops.reconciler.reconcile import IncidentReconciler, until_seconds
from trading_ops.reconciler.retention import Retention
from trading_ops.reconciler.runbook_index import RunbookIndex
from trading_ops.reconciler.secondary_oncall import SilenceWatch
from trading_ops.reconciler.state import State, read_state
from trading_ops.reconciler.workqueue import SOON_SECONDS, Workers, WorkQueue, again_in
from trading_ops.store.reader import Reader
from trading_ops.tasks import Succeeded, Tasks, unwatched

log = logs.get(__name__)

DRAIN_SECONDS = 5.0
RETENTION_SECONDS = 3600.0
REST_PER_ALERT_SECONDS = 0.0001
"""Seconds between polls of the sources per alert in their answer, so that polling does not take all
the time in a storm. Counted by alerts, since the clock also runs while the process is frozen."""

LONGEST_REST_SECONDS = 5.0

OTHERS_AT_ONCE = 1_000
"""Incidents without a registered target per pass; the rest waits for the next passes."""

AT_ONCE = 32
"""Incidents processed concurrently."""

LOOK_SECONDS = 0.2
"""Seconds that a pass waits for a batch. A target that does not answer its precondition probe takes
two seconds: such an incident finishes in the background."""


@dataclass(kw_only=True)
class Loop:
    """One reconciler's loop over the open incidents."""

    reader: Reader
    index: RunbookIndex
    lease: Lease
    intake: Intake
    observer: Observer
    incident_reconciler: IncidentReconciler
    manual: Manual
    acknowledging: Acknowledging
    clock_reports: ClockReports
    silences: SilenceWatch
    workers: Workers
    retention: Retention
    tasks: Tasks
    metrics: ReconcilerMetrics
    limits: GlobalLimits
    poll_seconds: float
    wakeup: asyncio.Event
    passed_at: float = field(init=False, default=-math.inf)
    """Monotonic time of the end of the last complete pass."""

    turned_at: float = field(init=False, default=-math.inf)
    """Monotonic time of the end of the last pass, successful or not."""

    snapshot: Snapshot | None = field(init=False, default=None)
    """The sources' last answers."""

    state: State = field(init=False, default_factory=State)
    _queue: WorkQueue = field(init=False, default_factory=WorkQueue)
    _crashes: Crashes = field(init=False)
    _mine: frozenset[str] = field(init=False, default=frozenset())
    """Ids of the open incidents whose keys this replica holds."""

    _my_incidents: list[Incident] = field(init=False, default_factory=list)
    _held: frozenset[str] = field(init=False, default=frozenset())
    _began_at: float = field(init=False, default=-math.inf)
    _read_once: bool = field(init=False, default=False)
    _not_before: float = field(init=False, default=-math.inf)

    def __post_init__(self) -> None:
        self._crashes = Crashes(writer=self.incident_reconciler.writer)

    async def run(self, succeeded: Succeeded = unwatched) -> None:
        """Run until cancelled, then let running jobs finish."""
        self._began_at = clock.monotonic()
        await self.lease.begin()
        await self._crashes.count_deaths(self.workers.handling)
        await self.intake.remember_watchdog()
        renewing = partial(self.lease.run, works=self._comes_round)
        try:
            async with self.tasks.running("leases", renewing):
                try:
                    await self._come_round(succeeded)
                finally:
                    await self.workers.stop(DRAIN_SECONDS)
        finally:
            await self.lease.end()

    async def _come_round(self, succeeded: Succeeded) -> None:
        polled_at = removed_at = -math.inf
        while True:
            self.wakeup.clear()
            due = max(polled_at + self.poll_seconds, self._not_before) <= clock.monotonic()
            polled_at = clock.monotonic() if due else polled_at
            rest = await self._guarded_pass(succeeded, poll=due)
            self.turned_at = clock.monotonic()
            if clock.monotonic() - removed_at > RETENTION_SECONDS:
                removed_at = clock.monotonic()
                if "retention" not in self.workers:
                    self.workers.start("retention", self.retention.run_once(), wakes=False)
            until_poll = polled_at + self.poll_seconds - clock.monotonic()
            await self._sleep(min(rest, max(until_poll, self._resting)))

    def turns(self) -> bool:
        """Whether passes run, including failing ones: a lost database must not stop the process."""
        return self._is_recent(self.turned_at)

    def _comes_round(self) -> bool:
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
        return SOON_SECONDS

    async def make_pass(self, *, poll: bool) -> float:
        """Make one pass; return the maximum seconds until the next one."""
        taken = await self.intake.take_apart(await self.observer.external_labels())
        await self._refresh()
        if poll or taken.cut or self._is_worth_asking():
            late = await self._look_around()
            due = self._queue.take(clock.monotonic()) - late
            self._queue.add(late)
            await self._look_at([self.state.by_id[key] for key in due if key in self._mine])
        for reason, count in self._queue.held().items():
            self.metrics.incidents_held.labels(reason).set(count)
        self._acknowledge()
        if "clocks" not in self.workers and self.clock_reports.show():
            self.workers.start("clocks", self.clock_reports.report(), wakes=False)
        if taken.more:
            return 0.0
        self.manual.look_after(self.state)
        if not self.state.by_id and not self.state.overrides.manual:
            return math.inf
        soon = min(self._queue.next_in(clock.monotonic()), SOON_SECONDS)
        return max(soon, self._resting)

    @property
    def _resting(self) -> float:
        """Seconds until the sources are polled again; a notification shortens it."""
        return max(0.0, self._not_before - clock.monotonic())

    def _is_worth_asking(self) -> bool:
        """Whether an incident is due; between polls, only those with a target."""
        now = clock.monotonic()
        if now >= self._not_before:
            return self._queue.is_due(now)
        due = (self.state.by_id.get(key) for key in self._queue.due(now))
        return any(one is not None and one.target is not None for one in due)

    def _acknowledge(self) -> None:
        """Read and synchronize silences in the background: Alertmanager may be slow."""
        mine, head = self._my_incidents, self.state.head
        if "acknowledge" not in self.workers and self.acknowledging.is_due(mine, head=head):
            project = self.acknowledging.project(mine, head=head)
            self.workers.start("acknowledge", project, wakes=False)
        if "silences" not in self.workers and self.silences.is_due():
            self.workers.start("silences", self.silences.look(self.snapshot), wakes=False)

    async def _refresh(self) -> None:
        """Read changes from the store, and acquire the leases of open incidents."""
        former = self.state if self._read_once else None
        state = await self._read(former)
        held = await self.lease.hold(state.keys)
        if held - self._held and not self.lease.alone:
            # The previous holder of the leases may have acted since the state was read.
            state = await self._read(former)
        unchanged = state is former and held == self._held
        mine = self._mine
        if not unchanged:
            mine = frozenset(key for key, one in state.by_id.items() if key_of(one) in held)
        if not (self._read_once and self.lease.alone):
            # A previous process or another replica may have crashed on incidents new to this one.
            await self._crashes.learn(self.reader, mine - self._mine, state)
        # Kept only now: had the store failed, the changes would be lost.
        self.state, self._read_once = state, True
        self.metrics.paused.set(state.pause_at(clock.now()) is not None)
        if unchanged:
            return
        self._held = held
        if state.changed or former is None or former.by_id.keys() != state.by_id.keys():
            show_open(self.metrics, state.incidents, self.index)
        self._give_up(self._mine - mine)
        self._queue.add((mine - self._mine) | (state.changed & mine))
        self._mine = mine
        self._my_incidents = [one for key, one in state.by_id.items() if key in mine]

    async def _read(self, former: State | None) -> State:
        read = partial(read_state, limits=self.limits, now=clock.now(), former=former)
        return await self.reader.read(read)

    def _give_up(self, keys: frozenset[str]) -> None:
        for key in keys:
            self._queue.forget(key)
        self._crashes.forget(keys)
        self.incident_reconciler.decision_log.forget(keys)

    async def _look_around(self) -> set[str]:
        """Poll the sources, and mark incidents with changed alerts as due.

        Returns:
            Incidents that are newer than the answer: they wait for the next poll.

        The sources are polled after the store was read: an incident must never be processed with an
        answer that is older than the incident.
        """
        before, asked = self.snapshot.prometheus if self.snapshot else None, clock.monotonic()
        self.snapshot = snapshot = replace(await self.observer.look(), before=before)
        acknowledged = self.state.overrides.acknowledged.keys() & self._mine
        audible = [key for key in acknowledged if is_audible(self.state.by_id[key], snapshot)]
        self.acknowledging.compare(audible, asked=asked)
        alerts = len(snapshot.prometheus.alerts) if snapshot.prometheus else 0
        rest = min(alerts * REST_PER_ALERT_SECONDS, LONGEST_REST_SECONDS)
        self._not_before = clock.monotonic() + rest
        late = set[str]()
        asked_for, known = self.state.by_id, {one.fingerprint for one in self.state.by_id.values()}
        if snapshot.prometheus and await self.observer.adopt(snapshot, known):
            await self._refresh()
            told = snapshot.prometheus.alerts
            new = (self.state.by_id[key] for key in self._mine - asked_for.keys())
            late = {one.id for one in new if one.fingerprint not in told}
        if snapshot.prometheus:
            self.incident_reconciler.context.see(snapshot.prometheus, self.state)
        context = self.incident_reconciler.context
        self.snapshot = snapshot = replace(
            snapshot, fired=context.fired, fired_since_start=context.fired_since_start
        )
        for key in self._mine:
            sight = self._queue.sight(key)
            glance = self.incident_reconciler.glance(self.state.by_id[key], self.state, snapshot)
            if sight is None or glance != (sight.view, sight.blocking):
                self._queue.add((key,))
        return late

    async def _look_at(self, due: list[Incident]) -> None:
        # Remediable incidents first: a storm of page-only ones must not delay them.
        due.sort(key=lambda incident: (incident.target is None, incident.opened_at))
        others = [incident.id for incident in due if incident.target is None]
        self._queue.add(others[OTHERS_AT_ONCE:])
        if len(others) > OTHERS_AT_ONCE:
            del due[OTHERS_AT_ONCE - len(others) :]
        # An incident in process is due again when that ends.
        due = [incident for incident in due if _look_key(incident) not in self.workers]
        due = [one for one in due if not self._crashes.is_set_aside(one, self.state)]
        # An incident that may have killed a process is handled alone, so that only it is counted.
        alone = [one for one in due if self._crashes.is_suspect(one)]
        together = [one for one in due if not self._crashes.is_suspect(one)]
        try:
            for group in (together, *([one] for one in alone)):
                await self._handle(group)
        except Exception:
            self._queue.add(incident.id for incident in due)  # decided again in a second
            raise

    async def _handle(self, due: list[Incident]) -> None:
        for begin in range(0, len(due), AT_ONCE):
            await self._look_side_by_side(due[begin : begin + AT_ONCE])
        decision_log = self.incident_reconciler.decision_log
        with self.workers.handling.of(decision_log.waiting):
            crashed = await decision_log.post()
        for incident, error in crashed:
            await self._crashes.add(incident, self.state, error)
            self._queue.retry(incident.id, clock.monotonic())

    async def _look_side_by_side(self, due: list[Incident]) -> None:
        looks = {asyncio.create_task(self._guarded_look(one)): one for one in due}
        try:
            _, late = await asyncio.wait(looks, timeout=LOOK_SECONDS)
        except asyncio.CancelledError:
            for look in looks:
                look.cancel()
            await asyncio.wait(looks)
            raise
        for look in late:
            self.workers.start(_look_key(looks[look]), self._end_look(looks[look].id, look))

    async def _end_look(self, incident_id: str, look: asyncio.Task[None]) -> None:
        """Wait for an incident that outlasted its pass, then store its decision in another pass."""
        await look
        self._queue.add((incident_id,))

    async def _guarded_look(self, incident: Incident) -> None:
        assert self.snapshot is not None  # noqa: S101 - the sources are polled first
        try:
            with self.workers.handling.of((incident.id,)):
                sight = await self.incident_reconciler.look(incident, self.state, self.snapshot)
        except TradingOpsError as error:
            log.warning("incident_failed", incident=incident.id, error=str(error))
        except Exception as error:  # noqa: BLE001 - one bad incident must not block the others
            await self._crashes.add(incident, self.state, error)
        else:
            wait = again_in(sight.decision, until_seconds(sight.decision))
            self._queue.looked(incident.id, sight, again_in=wait, now=clock.monotonic())
            return
        self._queue.retry(incident.id, clock.monotonic())


def _look_key(incident: Incident) -> str:
    return f"look:{incident.id}"
