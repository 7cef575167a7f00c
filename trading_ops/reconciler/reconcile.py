"""Reconciles one incident: builds the context, calls `decide` and executes the decision."""

from dataclasses import dataclass, replace
from functools import partial

from trading_ops import clock, logs
from trading_ops.domain.attempt import Attempt, AttemptState
from trading_ops.domain.decide import decide
from trading_ops.domain.decision import (
    AlertView,
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
from trading_ops.domain.gates import Wanted
from trading_ops.domain.hold import MACHINE
from trading_ops.domain.incident import Incident
from trading_ops.domain.observation import Snapshot, blocking, view_of
from trading_ops.domain.runbook import Runbook
from trading_ops.domain.target import Target
from trading_ops.reconciler.crash_recovery import Recovery
from trading_ops.reconciler.decision_log import DecisionLog, Work
from trading_ops.reconciler.execute import AttemptRunner
from trading_ops.reconciler.lease import Lease, key_of
from trading_ops.reconciler.runbook_index import RunbookIndex
from trading_ops.reconciler.state import Context, State
from trading_ops.reconciler.verify import Verifier
from trading_ops.reconciler.workqueue import LastReconcile, Workers
from trading_ops.store import Connection, approvals, attempts, events, failpoints, incidents
from trading_ops.store.failpoints import Failpoint
from trading_ops.store.writer import Writer

log = logs.get(__name__)

SEEN = frozenset({AlertView.FIRING, AlertView.SILENCED, AlertView.INHIBITED})
BACK = SEEN | {AlertView.PENDING}
"""A flapping alert is not quiet if its condition returned, even briefly."""

ASKS = frozenset({Reason.APPROVAL_MISSING, Reason.APPROVAL_EXPIRED})
"""Wait reasons for an approval; without an end, it was not requested yet."""


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
    """Reconciles incidents."""

    writer: Writer
    index: RunbookIndex
    lease: Lease
    decision_log: DecisionLog
    workers: Workers
    runner: AttemptRunner
    verifier: Verifier
    recovery: Recovery
    limits: GlobalLimits
    context: Context

    def glance(
        self, incident: Incident, state: State, snapshot: Snapshot
    ) -> tuple[AlertView, tuple[str, ...]]:
        """Return the sources' view of an incident; a change makes the incident due."""
        runbook = self.index.runbook(incident.alert)
        target = self.index.registry.find(incident.target or "")
        blocked = blocking(runbook, target, snapshot) if runbook and target else ()
        return view_of(incident, state.last(incident), snapshot), blocked

    async def look(self, incident: Incident, state: State, snapshot: Snapshot) -> LastReconcile:
        """Reconcile one incident: start or record the decision."""
        case = _Case(
            incident=incident,
            runbook=self.index.runbook(incident.alert),
            target=self.index.registry.find(incident.target or ""),
            state=state,
            snapshot=snapshot,
        )
        world = await self._world(case)
        if incident.resolved_at is not None and world.view in SEEN:
            forget = partial(incidents.forget_resolved, key=incident.id, now=clock.now())
            self.decision_log.also(incident, forget)
        if incident.quiet_since is not None and world.view in BACK:
            came_back = partial(incidents.end_quiet, key=incident.id, now=clock.now())
            self.decision_log.also(incident, came_back)
        decision = self._decide(case, world)
        await self._carry_out(case, decision, world)
        last = state.last(incident)
        if last is not None:
            await self._look_after(case, last)
        return LastReconcile(view=world.view, blocking=world.blocking, decision=decision)

    def _decide(self, case: _Case, world: World) -> Decision:
        now = clock.now()
        history = case.state.history(case.incident, now)
        return decide(case.incident, case.runbook, history, world, self.limits, now)

    async def _world(self, case: _Case) -> World:
        view, blocked = self.glance(case.incident, case.state, case.snapshot)
        world = self.context.world(
            case.target,
            case.state,
            clock.now(),
            incident=case.incident,
            view=view,
            blocked=blocked,
        )
        if case.runbook is None or case.target is None or view is not AlertView.FIRING:
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
                wanted = Wanted.of_runbook(
                    incident,
                    case.runbook,
                    decision.step,
                    history=case.state.history(incident, now),
                    world=world,
                    limits=self.limits,
                    now=now,
                )
                await self._start(incident, decision, wanted, case.target)
            case Verify() if case.runbook and case.target and case.runbook.verify:
                key = f"verify:{decision.attempt.id}"
                if key not in self.workers:
                    self.decision_log.enter(incident, decision)
                    verify, until = case.runbook.verify, decision.until
                    work = self.verifier.verify(decision.attempt, verify, case.target, until)
                    self.workers.start(key, work, incident_id=incident.id)
            case Escalate():
                work_ = partial(incidents.escalate, key=incident.id, decision=decision, now=now)
                self.decision_log.enter(incident, decision, work_)
            case Close():
                close = partial(incidents.close, key=incident.id, decision=decision, now=now)
                self.decision_log.enter(incident, decision, close)
            case Wait():
                self.decision_log.enter(incident, decision, self._said_by(case, decision))
            case _:
                self.decision_log.enter(incident, decision)

    def _said_by(self, case: _Case, decision: Wait) -> Work | None:
        """Return the write of a wait: the alert went quiet, or an approval is requested."""
        incident, now = case.incident, clock.now()
        if decision.reason is Reason.FLAPPING and incident.quiet_since is None:
            return partial(incidents.go_quiet, key=incident.id, now=now)
        asks = decision.until is None and decision.reason in ASKS
        if not asks or case.runbook is None or case.target is None or decision.would is None:
            return None
        step = case.runbook.steps[decision.would]
        return partial(
            approvals.request,
            incident_id=incident.id,
            action=step.action,
            target=case.target.name,
            params=step.params,
            step=decision.would,
            requested_by=MACHINE,
            now=now,
        )

    async def _look_after(self, case: _Case, last: Attempt) -> None:
        """Make sure that a running attempt has a job that completes it."""
        if last.state is AttemptState.UNKNOWN:
            self._probe(case, last)
        elif last.state is AttemptState.STARTED and last.id not in self.workers:
            # The process that started it died, or its job could not store its end.
            await self.recovery.adopt(last, "the process that ran it is gone")

    def _probe(self, case: _Case, attempt: Attempt) -> None:
        key = f"probe:{attempt.id}"
        if case.runbook is None or case.target is None or key in self.workers:
            return
        if attempt.step < len(case.runbook.steps):
            step = case.runbook.steps[attempt.step]
            work = self.recovery.probe(attempt, step, case.target)
            self.workers.start(key, work, incident_id=case.incident.id)

    async def _start(
        self, incident: Incident, decision: Run, wanted: Wanted, target: Target
    ) -> None:
        now = clock.now()
        claim = None if self.lease.alone else self.lease.claim(key_of(incident))
        plan = attempts.Plan(wanted=wanted, claim=claim)

        def start_and_say_so(connection: Connection) -> Attempt | None:
            before = events.mark(connection)
            self.decision_log.write(connection, incident, decision, now)
            attempt = attempts.start(connection, plan, now=now)
            if attempt is None:
                events.rewind(connection, before)  # not started, so not decided
            return attempt

        failpoints.reached(Failpoint.START_BEFORE)
        attempt = await self.writer.run(start_and_say_so)
        if attempt is None:
            return  # a gate closed meanwhile; the next pass records which
        failpoints.reached(Failpoint.STARTED)
        self.decision_log.count(incident, decision)
        work = self.runner.perform(attempt, wanted.step, target)
        self.workers.start(attempt.id, work, incident_id=incident.id)


def until_seconds(decision: Decision) -> float | None:
    """Return the seconds until the end of a wait; None: no end."""
    if isinstance(decision, Wait) and decision.until is not None:
        return (decision.until - clock.now()).total_seconds()
    return None
