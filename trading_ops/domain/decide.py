"""The one place that decides what to do next for an incident, and says why.

`decide` is pure and total: same arguments, same answer, for every combination of them. The order
of the checks is the order of this file: what is under way, what the alert says now, who has it,
which step is next, and which gate is shut. Every gate fails closed.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from trading_ops.domain.attempt import RUNNING, STEP_IS_SPENT, Attempt, AttemptState, Delivery
from trading_ops.domain.decision import (
    AlertView,
    Close,
    Decision,
    Escalate,
    GlobalLimits,
    History,
    Reason,
    Run,
    Verify,
    Wait,
    World,
)
from trading_ops.domain.incident import Incident
from trading_ops.domain.runbook import Runbook, Step


@dataclass(frozen=True, kw_only=True)
class _Case:
    """The arguments of `decide`, handed from check to check."""

    incident: Incident
    runbook: Runbook | None
    history: History
    world: World
    limits: GlobalLimits
    now: datetime

    @property
    def last(self) -> Attempt | None:
        return self.history.incident[-1] if self.history.incident else None


@dataclass(frozen=True, kw_only=True)
class _Due:
    """The step that is due, with its plan."""

    runbook: Runbook
    index: int

    @property
    def step(self) -> Step:
        return self.runbook.steps[self.index]


def decide(
    incident: Incident,
    runbook: Runbook | None,
    history: History,
    world: World,
    limits: GlobalLimits,
    now: datetime,
) -> Decision:
    """Say what to do next for one open incident."""
    case = _Case(
        incident=incident, runbook=runbook, history=history, world=world, limits=limits, now=now
    )
    under_way = _under_way(case) or _alert_now(case) or _in_whose_hands(case)
    if under_way is not None:
        return under_way
    if runbook is None:
        note = f"runbooks/{incident.alert}.md is missing"
        return Escalate(reason=Reason.NO_RUNBOOK, note=note)
    if not runbook.steps:
        return Wait(reason=Reason.PEOPLE_ONLY)
    if not world.target_registered:
        note = f"label {runbook.target_label} names no target of targets.yml"
        return Escalate(reason=Reason.TARGET_UNKNOWN, note=note)
    index = next_step(runbook, history.incident)
    if index == len(runbook.steps):
        note = f"all {index} steps were tried; it still fires"
        return Escalate(reason=Reason.STEPS_EXHAUSTED, note=note)
    return _through_the_gates(case, _Due(runbook=runbook, index=index))


def next_step(runbook: Runbook, attempts: tuple[Attempt, ...]) -> int:
    """Return the index of the step that is due; equal to the number of steps when none is left.

    A verified attempt whose symptom came back counts as spent too: the same cure did not last.
    """
    spent = STEP_IS_SPENT | {AttemptState.VERIFIED}
    reached = max((attempt.step + 1 for attempt in attempts if attempt.state in spent), default=0)
    return min(reached, len(runbook.steps))


def _under_way(case: _Case) -> Decision | None:
    """Finish what was begun before anything else is looked at."""
    last, runbook = case.last, case.runbook
    if last is None or last.state not in RUNNING:
        return None
    if last.state is AttemptState.STARTED:
        return Wait(reason=Reason.ATTEMPT_RUNNING, note=last.action)
    if last.state is AttemptState.SUCCEEDED and runbook and last.step < len(runbook.steps):
        ended = last.ended_at or last.started_at
        return Verify(attempt=last, until=ended + runbook.steps[last.step].verify_within)
    # Nobody can tell yet what became of it, or by which plan to judge it.
    probed_by = (last.ended_at or last.started_at) + case.limits.probe_within
    if case.now < probed_by:
        return Wait(reason=Reason.OUTCOME_UNKNOWN, until=probed_by, note=last.action)
    if case.incident.escalated_at is None:
        return Escalate(reason=Reason.OUTCOME_UNKNOWN, note=last.action)
    return None


def _alert_now(case: _Case) -> Decision | None:
    """Act only on what certainly fires and is nobody else's."""
    match case.world.view:
        case AlertView.FIRING:
            return None
        case AlertView.ABSENT:
            healed = case.last is not None and case.last.state is AttemptState.VERIFIED
            return Close(reason=Reason.RECOVERED if healed else Reason.RESOLVED)
        case AlertView.PENDING:
            return Wait(reason=Reason.ALERT_PENDING)
        case AlertView.SILENCED:
            return Wait(reason=Reason.SILENCED, note="hands off: silenced in Alertmanager")
        case AlertView.INHIBITED:
            return Wait(reason=Reason.INHIBITED, note="hands off: inhibited in Alertmanager")
        case AlertView.UNKNOWN:
            return Wait(reason=Reason.SOURCE_UNKNOWN)
        case never:
            assert_never(never)


def _in_whose_hands(case: _Case) -> Decision | None:
    """Leave alone what a person has, and what is healed and only fading."""
    if case.incident.escalated_at is not None:
        return Wait(reason=Reason.WITH_A_PERSON)
    last = case.last
    if last is not None and last.state is AttemptState.VERIFIED and last.verified_at is not None:
        fades = last.verified_at + case.limits.settle
        if case.now < fades:
            return Wait(reason=Reason.AWAITING_RESOLVE, until=fades)
    return None


def _through_the_gates(case: _Case, due: _Due) -> Decision:
    """Hold the step that is due against every gate."""
    gates = (_automation, _cause, _others, _budget, _precondition)
    # A step in the safe direction passes every gate but a person's word about automation itself.
    safe = due.step.delivery is Delivery.SAFE_DIRECTION
    for gate in gates[:1] if safe else gates:
        shut = gate(case, due)
        if shut is not None:
            return shut
    return Run(step=due.index, note=due.step.action)


def _automation(case: _Case, due: _Due) -> Decision | None:
    pause = case.world.pause
    if pause is not None:
        note = f"by {pause.owner}: {pause.reason}"
        return Wait(reason=Reason.PAUSED, until=pause.expires_at, note=note, would=due.index)
    if case.world.observe_only:
        return Wait(reason=Reason.OBSERVE_ONLY, would=due.index)
    return None


def _cause(case: _Case, due: _Due) -> Decision | None:
    """Do not cure a bot of its venue's illness."""
    if case.world.blocking:
        note = ", ".join(case.world.blocking)
        return Wait(reason=Reason.CAUSE_ELSEWHERE, note=note, would=due.index)
    shows_by = case.incident.starts_at + case.limits.cause_detection
    one_shot = due.step.delivery is Delivery.ONE_SHOT
    if one_shot and due.runbook.unless and case.now < shows_by:
        return Wait(reason=Reason.CAUSE_MAY_SHOW, until=shows_by, would=due.index)
    return None


def _others(case: _Case, due: _Due) -> Decision | None:
    """Look beyond this incident: the fleet's state, the global budget, the target's other work."""
    failing, everywhere = case.world.failing_targets, case.history.everywhere
    if failing > case.limits.storm_targets:
        return Escalate(reason=Reason.STORM, note=f"{failing} targets are failing at once")
    if everywhere >= case.limits.attempts:
        note = f"{everywhere} attempts in {case.limits.window}"
        return Escalate(reason=Reason.GLOBAL_BUDGET, note=note)
    busy = next((attempt for attempt in case.history.target if attempt.state in RUNNING), None)
    if busy is not None:
        note = f"{due.step.action} waits for {busy.action}"
        return Wait(reason=Reason.TARGET_BUSY, note=note, would=due.index)
    return None


def _budget(case: _Case, due: _Due) -> Decision | None:
    """Keep to the runbook's limits, and to the same limits per target and action.

    The second count matters because one fault can raise several alerts: their runbooks together
    must not restart a bot more often than one of them may.
    """
    runbook, action = due.runbook, due.step.action
    since = case.now - runbook.limits.window
    recent = [attempt for attempt in case.history.target if attempt.started_at > since]
    ours = [attempt for attempt in recent if attempt.runbook == runbook.alert]
    same = [attempt for attempt in recent if attempt.action == action]
    for counted, what in ((ours, f"runbook {runbook.alert}"), (same, action)):
        if len(counted) >= runbook.limits.attempts:
            note = f"{len(counted)} attempts of {what} in {runbook.limits.window}"
            return Escalate(reason=Reason.ATTEMPTS_EXHAUSTED, note=note)
    starts = [attempt.started_at for attempt in (*ours, *same)]
    if starts:
        until = max(starts) + runbook.limits.cooldown
        if case.now < until:
            return Wait(reason=Reason.COOLDOWN, until=until, note=action, would=due.index)
    return None


def _precondition(case: _Case, due: _Due) -> Decision | None:
    if case.world.precondition is None:
        return None
    return Wait(reason=Reason.TARGET_HEALTHY, note=case.world.precondition, would=due.index)
