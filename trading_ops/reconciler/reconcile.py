"""Reconciles one incident: builds the context, calls `decide`, executes the decision, records it.

Decisions are recorded with their reason, in the timeline, the metrics and the log; one that equals
the incident's last decision is not recorded again. The decisions of a pass are stored together: a
storm needs a few transactions, not thousands.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

from trading_ops import clock, logs
from trading_ops.domain.attempt import Attempt, AttemptState
from trading_ops.domain.decide import decide
from trading_ops.domain.decision import (
    NEEDS_APPROVAL,
    AlertState,
    Close,
    Decision,
    Escalate,
    GlobalLimits,
    Reason,
    Run,
    Verify,
    Wait,
    World,
)
from trading_ops.domain.gates import GateInput
from trading_ops.domain.hold import RECONCILER
from trading_ops.domain.incident import Incident
from trading_ops.domain.observation import AlertSnapshot, alert_state, blocking
from trading_ops.domain.runbook import Runbook
from trading_ops.domain.target import Target
from trading_ops.errors import TradingOpsError
from trading_ops.reconciler.crash_recovery import AttemptRecovery
from trading_ops.reconciler.execute import AttemptRunner
from trading_ops.reconciler.lease import Leases, key_of
from trading_ops.reconciler.metrics import ReconcilerMetrics, kind_of
from trading_ops.reconciler.runbook_index import RunbookIndex
from trading_ops.reconciler.state import ReconcilerState, WorldBuilder
from trading_ops.reconciler.verify import Verifier
from trading_ops.reconciler.workqueue import LastReconcile, Workers
from trading_ops.store import Connection, approvals, attempts, events, failpoints, incidents, leases
from trading_ops.store.failpoints import Failpoint
from trading_ops.store.writer import Writer

Change = Callable[[Connection], object]

CHUNK = 500


@dataclass(frozen=True, kw_only=True)
class _PendingWrite:
    incident: Incident
    decision: Decision | None
    """None: only a change."""

    change: Change | None


@dataclass(kw_only=True)
class DecisionLog:
    """Collects the decisions of a pass and stores them in one transaction."""

    writer: Writer
    leases: Leases
    index: RunbookIndex
    metrics: ReconcilerMetrics
    _last: dict[str, Decision] = field(init=False, default_factory=dict)
    _entries: list[_PendingWrite] = field(init=False, default_factory=list)

    def record(self, incident: Incident, decision: Decision, change: Change | None = None) -> None:
        """Store a decision and its changes at the end of the pass.

        Dropped if it equals the incident's last decision and changes nothing.
        """
        if decision.reason is Reason.ATTEMPT_RUNNING:
            return  # the timeline already has `started`; recording this would depend on timing
        if change is not None or not self._is_known(incident, decision):
            self._entries.append(_PendingWrite(incident=incident, decision=decision, change=change))

    def add_change(self, incident: Incident, change: Change) -> None:
        """Store something else at the end of the pass."""
        self._entries.append(_PendingWrite(incident=incident, decision=None, change=change))

    @property
    def pending(self) -> frozenset[str]:
        """Ids of incidents with pending writes."""
        return frozenset(entry.incident.id for entry in self._entries)

    async def flush(self) -> list[tuple[Incident, Exception]]:
        """Store the entries, then count them; return the incidents whose storing crashed.

        Raises:
            StoreError: some entries were not stored; they are dropped and decided again.
        """
        entries, self._entries = self._entries, []
        crashed = []
        for begin in range(0, len(entries), CHUNK):
            crashed += await self._flush(entries[begin : begin + CHUNK])
        return crashed

    async def _flush(self, chunk: list[_PendingWrite]) -> list[tuple[Incident, Exception]]:
        _reached(chunk, Failpoint.ESCALATE_BEFORE, Failpoint.CLOSE_BEFORE)
        try:
            stored = await self.writer.run(partial(self._store, entries=chunk))
        except TradingOpsError:
            raise
        except Exception as error:  # noqa: BLE001 - a bug must not block the other entries
            if len(chunk) == 1:
                return [(chunk[0].incident, error)]
            return [crash for entry in chunk for crash in await self._flush([entry])]
        _reached(chunk, Failpoint.ESCALATE_AFTER, Failpoint.CLOSE_AFTER)
        for entry in stored:
            if entry.decision is not None:
                self.count(entry.incident, entry.decision)
        return []

    def _store(self, connection: Connection, entries: list[_PendingWrite]) -> list[_PendingWrite]:
        """Store the entries of incidents that this replica still owns; return them."""
        now = clock.now()
        held = self._held(connection, {key_of(entry.incident) for entry in entries}, now)
        mine = [entry for entry in entries if key_of(entry.incident) in held]
        for entry in mine:
            if entry.decision is not None:
                self.write(connection, entry.incident, entry.decision, now)
            if entry.change is not None:
                entry.change(connection)
        return mine

    def _held(self, connection: Connection, keys: set[str], now: datetime) -> set[str]:
        """Return the keys that no other replica took over while this one was frozen."""
        if self.leases.alone:
            return keys
        return {
            key
            for key in sorted(keys)
            if leases.is_held(connection, self.leases.claim(key), now=now)
        }

    def write(
        self, connection: Connection, incident: Incident, decision: Decision, now: datetime
    ) -> None:
        """Write a decision in the caller's transaction; the caller must `count` it afterwards."""
        events.add(
            connection,
            at=now,
            kind=f"decided_{kind_of(decision)}",
            incident_id=incident.id,
            reason=decision.reason,
            note=self._note(incident, decision),
        )

    def count(self, incident: Incident, decision: Decision) -> None:
        """Count and log a decision that is now in the timeline."""
        self.metrics.observe_lag(incident, decision, first=incident.id not in self._last)
        self._last[incident.id] = decision
        self.metrics.count_decision(decision)
        if isinstance(decision, Close):
            lasted = (clock.now() - incident.opened_at).total_seconds()
            alert = incident.alert if incident.alert in self.index.runbooks else "other"
            self.metrics.recovery.labels(alert).observe(lasted)
        log.info(
            "decided",
            incident=incident.id,
            alert=incident.alert,
            target=incident.target,
            decision=kind_of(decision),
            reason=decision.reason.value,
            note=decision.note,
        )

    def forget(self, keys: Collection[str]) -> None:
        """Forget incidents that are closed or owned by another replica."""
        for key in keys:
            self._last.pop(key, None)

    def _is_known(self, incident: Incident, decision: Decision) -> bool:
        last = self._last.get(incident.id)
        return (
            last is not None
            and type(last) is type(decision)
            and (last.reason, last.note) == (decision.reason, decision.note)
        )

    def _note(self, incident: Incident, decision: Decision) -> str:
        """Return the decision's note; for a closed gate also the blocked step and the time."""
        runbook = self.index.runbook(incident.alert)
        if not isinstance(decision, Wait) or decision.blocked_step is None or runbook is None:
            return decision.note
        parts = [f"would have run {runbook.steps[decision.blocked_step].action}"]
        if decision.note:
            parts.append(decision.note)
        if decision.until is not None:
            parts.append(f"until {decision.until.isoformat(timespec='seconds')}")
        return "; ".join(parts)


def _reached(entries: list[_PendingWrite], escalating: Failpoint, closing: Failpoint) -> None:
    if any(isinstance(entry.decision, Escalate) for entry in entries):
        failpoints.reached(escalating)
    if any(isinstance(entry.decision, Close) for entry in entries):
        failpoints.reached(closing)


log = logs.get(__name__)

FIRING_STATES = frozenset({AlertState.FIRING, AlertState.SILENCED, AlertState.INHIBITED})
ACTIVE_STATES = FIRING_STATES | {AlertState.PENDING}
"""A flapping alert is not quiet if its condition returned, even briefly."""


@dataclass(frozen=True, kw_only=True)
class _Reconciliation:
    """One incident in processing."""

    incident: Incident
    runbook: Runbook | None
    target: Target | None
    state: ReconcilerState
    snapshot: AlertSnapshot


@dataclass(frozen=True, kw_only=True)
class IncidentReconciler:
    """Decides and starts the next step of an incident; at most one per target and pass."""

    writer: Writer
    index: RunbookIndex
    leases: Leases
    decision_log: DecisionLog
    workers: Workers
    runner: AttemptRunner
    verifier: Verifier
    recovery: AttemptRecovery
    limits: GlobalLimits
    world_builder: WorldBuilder

    def observe(
        self, incident: Incident, state: ReconcilerState, snapshot: AlertSnapshot
    ) -> tuple[AlertState, tuple[str, ...]]:
        """Return the sources' view of an incident; a change makes the incident due."""
        runbook = self.index.runbook(incident.alert)
        target = self.index.registry.find(incident.target or "")
        blocked = blocking(runbook, target, snapshot) if runbook and target else ()
        return alert_state(incident, state.last(incident), snapshot), blocked

    async def reconcile(
        self, incident: Incident, state: ReconcilerState, snapshot: AlertSnapshot
    ) -> LastReconcile:
        """Reconcile one incident: start or record the decision."""
        case = _Reconciliation(
            incident=incident,
            runbook=self.index.runbook(incident.alert),
            target=self.index.registry.find(incident.target or ""),
            state=state,
            snapshot=snapshot,
        )
        world, decision = await self._world_and_decision(case)
        if incident.resolved_at is not None and world.view in FIRING_STATES:
            clear = partial(incidents.forget_resolved, key=incident.id, now=clock.now())
            self.decision_log.add_change(incident, clear)
        if incident.quiet_since is not None and world.view in ACTIVE_STATES:
            came_back = partial(incidents.end_quiet, key=incident.id, now=clock.now())
            self.decision_log.add_change(incident, came_back)
        await self._carry_out(case, decision, world)
        last = state.last(incident)
        if last is not None:
            await self._complete_attempt(case, last)
        return LastReconcile(view=world.view, blocking=world.blocking, decision=decision)

    def _decide(self, case: _Reconciliation, world: World) -> Decision:
        now = clock.now()
        history = case.state.history(case.incident, now)
        return decide(case.incident, case.runbook, history, world, self.limits, now)

    async def _world_and_decision(self, case: _Reconciliation) -> tuple[World, Decision]:
        view, blocked = self.observe(case.incident, case.state, case.snapshot)
        world = self.world_builder.build(
            case.target,
            case.state,
            clock.now(),
            incident=case.incident,
            view=view,
            blocked=blocked,
        )
        decision = self._decide(case, world)
        if not isinstance(decision, Run) or case.runbook is None or case.target is None:
            return world, decision
        # Probe the target only for a step that would run now.
        step = case.runbook.steps[decision.step]
        precondition = await self.runner.precondition(step, case.target)
        if precondition is None:
            return world, decision
        world = replace(world, precondition=precondition)
        return world, self._decide(case, world)

    async def _carry_out(self, case: _Reconciliation, decision: Decision, world: World) -> None:
        incident, now = case.incident, clock.now()
        match decision:
            case Run() if case.runbook is not None and case.target is not None:
                gate_input = GateInput.of_runbook(
                    incident,
                    case.runbook,
                    decision.step,
                    history=case.state.history(incident, now),
                    world=world,
                    limits=self.limits,
                    now=now,
                )
                await self._start(incident, decision, gate_input, case.target)
            case Verify() if case.runbook and case.target and case.runbook.verify:
                key = f"verify:{decision.attempt.id}"
                if key not in self.workers:
                    self.decision_log.record(incident, decision)
                    verify, until = case.runbook.verify, decision.until
                    work = self.verifier.verify(decision.attempt, verify, case.target, until)
                    self.workers.spawn(key, work, incident_id=incident.id)
            case Escalate():
                escalate = partial(incidents.escalate, key=incident.id, decision=decision, now=now)
                self.decision_log.record(incident, decision, escalate)
            case Close():
                close = partial(incidents.close, key=incident.id, decision=decision, now=now)
                self.decision_log.record(incident, decision, close)
            case Wait():
                self.decision_log.record(incident, decision, self._change_of_wait(case, decision))
            case _:
                self.decision_log.record(incident, decision)

    def _change_of_wait(self, case: _Reconciliation, decision: Wait) -> Change | None:
        """Return the write of a wait: the alert went quiet, or an approval is requested."""
        incident, now = case.incident, clock.now()
        if decision.reason is Reason.FLAPPING and incident.quiet_since is None:
            return partial(incidents.go_quiet, key=incident.id, now=now)
        missing = decision.until is None and decision.reason in NEEDS_APPROVAL
        if (
            not missing
            or case.runbook is None
            or case.target is None
            or decision.blocked_step is None
        ):
            return None
        step = case.runbook.steps[decision.blocked_step]
        return partial(
            approvals.request,
            incident_id=incident.id,
            action=step.action,
            target=case.target.name,
            params=step.params,
            step=decision.blocked_step,
            requested_by=RECONCILER,
            now=now,
        )

    async def _complete_attempt(self, case: _Reconciliation, last: Attempt) -> None:
        """Make sure that a running attempt has a job that completes it."""
        if last.state is AttemptState.UNKNOWN:
            self._probe(case, last)
        elif last.state is AttemptState.STARTED and last.id not in self.workers:
            # The process that started it died, or its job could not store its end.
            await self.recovery.mark_unknown(last, "the process that ran it is gone")

    def _probe(self, case: _Reconciliation, attempt: Attempt) -> None:
        key = f"probe:{attempt.id}"
        if case.runbook is None or case.target is None or key in self.workers:
            return
        if attempt.step < len(case.runbook.steps):
            step = case.runbook.steps[attempt.step]
            work = self.recovery.probe(attempt, step, case.target)
            self.workers.spawn(key, work, incident_id=case.incident.id)

    async def _start(
        self, incident: Incident, decision: Run, gate_input: GateInput, target: Target
    ) -> None:
        now = clock.now()
        claim = None if self.leases.alone else self.leases.claim(key_of(incident))
        request = attempts.StartRequest(gate_input=gate_input, claim=claim)

        def start_and_record(connection: Connection) -> Attempt | None:
            before = events.mark(connection)
            self.decision_log.write(connection, incident, decision, now)
            attempt = attempts.start(connection, request, now=now)
            if attempt is None:
                events.rewind(connection, before)  # not started, so not decided
            return attempt

        failpoints.reached(Failpoint.START_BEFORE)
        attempt = await self.writer.run(start_and_record)
        if attempt is None:
            return  # a gate has closed since; the next pass records which
        failpoints.reached(Failpoint.STARTED)
        self.decision_log.count(incident, decision)
        work = self.runner.perform(attempt, gate_input.step, target)
        self.workers.spawn(attempt.id, work, incident_id=incident.id)


def until_seconds(decision: Decision) -> float | None:
    """Return the seconds until the end of a wait; None: no end."""
    if isinstance(decision, Wait) and decision.until is not None:
        return (decision.until - clock.now()).total_seconds()
    return None
