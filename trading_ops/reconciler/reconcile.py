"""Reconciles one incident: builds the context, calls `decide` and executes the decision."""

from dataclasses import dataclass, replace
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
from trading_ops.domain.observation import Snapshot, alert_state, blocking
from trading_ops.domain.runbook import Runbook
from trading_ops.domain.target import Target
from trading_ops.reconciler.crash_recovery import AttemptRecovery
from trading_ops.reconciler.decision_log import Change, DecisionLog
from trading_ops.reconciler.execute import AttemptRunner
from trading_ops.reconciler.lease import Leases, key_of
from trading_ops.reconciler.runbook_index import RunbookIndex
from trading_ops.reconciler.state import State, WorldBuilder
from trading_ops.reconciler.verify import Verifier
from trading_ops.reconciler.workqueue import LastReconcile, Workers
from trading_ops.store import Connection, approvals, attempts, events, failpoints, incidents
from trading_ops.store.failpoints import Failpoint
from trading_ops.store.writer import Writer

log = logs.get(__name__)

FIRING_STATES = frozenset({AlertState.FIRING, AlertState.SILENCED, AlertState.INHIBITED})
ACTIVE_STATES = FIRING_STATES | {AlertState.PENDING}
"""A flapping alert is not quiet if its condition returned, even briefly."""


@dataclass(frozen=True, kw_only=True)
class _Case:
    """One incident in processing."""

    incident: Incident
    runbook: Runbook | None
    target: Target | None
    state: State
    snapshot: Snapshot


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
        self, incident: Incident, state: State, snapshot: Snapshot
    ) -> tuple[AlertState, tuple[str, ...]]:
        """Return the sources' view of an incident; a change makes the incident due."""
        runbook = self.index.runbook(incident.alert)
        target = self.index.registry.find(incident.target or "")
        blocked = blocking(runbook, target, snapshot) if runbook and target else ()
        return alert_state(incident, state.last(incident), snapshot), blocked

    async def reconcile(
        self, incident: Incident, state: State, snapshot: Snapshot
    ) -> LastReconcile:
        """Reconcile one incident: start or record the decision."""
        case = _Case(
            incident=incident,
            runbook=self.index.runbook(incident.alert),
            target=self.index.registry.find(incident.target or ""),
            state=state,
            snapshot=snapshot,
        )
        world = await self._world(case)
        if incident.resolved_at is not None and world.view in FIRING_STATES:
            clear = partial(incidents.forget_resolved, key=incident.id, now=clock.now())
            self.decision_log.add_change(incident, clear)
        if incident.quiet_since is not None and world.view in ACTIVE_STATES:
            came_back = partial(incidents.end_quiet, key=incident.id, now=clock.now())
            self.decision_log.add_change(incident, came_back)
        decision = self._decide(case, world)
        await self._carry_out(case, decision, world)
        last = state.last(incident)
        if last is not None:
            await self._complete_attempt(case, last)
        return LastReconcile(view=world.view, blocking=world.blocking, decision=decision)

    def _decide(self, case: _Case, world: World) -> Decision:
        now = clock.now()
        history = case.state.history(case.incident, now)
        return decide(case.incident, case.runbook, history, world, self.limits, now)

    async def _world(self, case: _Case) -> World:
        view, blocked = self.observe(case.incident, case.state, case.snapshot)
        world = self.world_builder.build(
            case.target,
            case.state,
            clock.now(),
            incident=case.incident,
            view=view,
            blocked=blocked,
        )
        if case.runbook is None or case.target is None or view is not AlertState.FIRING:
            return world
        # Probe the target only for a step that would run now.
        decision = self._decide(case, world)
        if not isinstance(decision, Run):
            return world
        step = case.runbook.steps[decision.step]
        return replace(world, precondition=await self.runner.precondition(step, case.target))

    async def _carry_out(self, case: _Case, decision: Decision, world: World) -> None:
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

    def _change_of_wait(self, case: _Case, decision: Wait) -> Change | None:
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

    async def _complete_attempt(self, case: _Case, last: Attempt) -> None:
        """Make sure that a running attempt has a job that completes it."""
        if last.state is AttemptState.UNKNOWN:
            self._probe(case, last)
        elif last.state is AttemptState.STARTED and last.id not in self.workers:
            # The process that started it died, or its job could not store its end.
            await self.recovery.mark_unknown(last, "the process that ran it is gone")

    def _probe(self, case: _Case, attempt: Attempt) -> None:
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
