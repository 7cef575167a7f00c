"""Decides the next step for an incident, with the reason.

`decide` is pure and total. The checks are in the order of this file: running attempts, the current
state of the alert, acknowledgements, the next step, and the gates (`gates`).
"""

from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from trading_ops.domain.attempt import RUNNING, STEP_IS_SPENT, Attempt, AttemptState
from trading_ops.domain.decision import (
    AlertState,
    AttemptHistory,
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
from trading_ops.domain.durations import format_duration
from trading_ops.domain.gates import (
    GateInput,
    acknowledged_or_escalated,
    first_closed_gate,
    over_at,
)
from trading_ops.domain.incident import Incident
from trading_ops.domain.runbook import Runbook, RunbookStep
from trading_ops.domain.target import Kind


@dataclass(frozen=True, kw_only=True)
class _Case:
    """The arguments of `decide`."""

    incident: Incident
    runbook: Runbook | None
    history: AttemptHistory
    world: World
    limits: GlobalLimits
    now: datetime

    @property
    def last(self) -> Attempt | None:
        return self.history.incident[-1] if self.history.incident else None


def decide(
    incident: Incident,
    runbook: Runbook | None,
    history: AttemptHistory,
    world: World,
    limits: GlobalLimits,
    now: datetime,
) -> Decision:
    """Return the next decision for one open incident."""
    case = _Case(
        incident=incident, runbook=runbook, history=history, world=world, limits=limits, now=now
    )
    early = _by_running_attempt(case) or _by_alert_state(case) or _left_alone(case)
    if early is not None:
        return early
    if runbook is None:
        note = f"runbooks/{incident.alert}.md is missing"
        return Escalate(reason=Reason.NO_RUNBOOK, note=note)
    if not runbook.steps:
        return Wait(reason=Reason.PAGE_ONLY)
    if not world.target_registered:
        note = f"the label {runbook.target_label} matches no target in targets.yml"
        return Escalate(reason=Reason.TARGET_UNKNOWN, note=note)
    skipped = [step.action for step in runbook.steps if not _fits(step, world.target_kind)]
    if len(skipped) == len(runbook.steps):
        # Its `page_after` label pages on-call, as for a page-only runbook.
        note = f"not possible on a {world.target_kind}: {', '.join(dict.fromkeys(skipped))}"
        return Wait(reason=Reason.PAGE_ONLY, note=note)
    index = next_step(runbook, history.incident, world.target_kind)
    if index == len(runbook.steps):
        note = f"all {index - len(skipped)} steps were tried; the alert still fires"
        if skipped:
            note += f"; not possible on a {world.target_kind}: {', '.join(skipped)}"
        return Escalate(reason=Reason.STEPS_EXHAUSTED, note=note)
    given = GateInput.of_runbook(
        incident, runbook, index, history=history, world=world, limits=limits, now=now
    )
    return first_closed_gate(given) or Run(step=index, note=given.step.action)


def next_step(runbook: Runbook, attempts: tuple[Attempt, ...], kind: Kind | None = None) -> int:
    """Return the index of the step that is due; the number of steps if none is left.

    A step whose verified attempt did not last is also done. Steps that do not support this kind of
    target are skipped.
    """
    spent = STEP_IS_SPENT | {AttemptState.VERIFIED}
    reached = max((attempt.step + 1 for attempt in attempts if attempt.state in spent), default=0)
    left = range(min(reached, len(runbook.steps)), len(runbook.steps))
    return next((index for index in left if _fits(runbook.steps[index], kind)), len(runbook.steps))


def _fits(step: RunbookStep, kind: Kind | None) -> bool:
    return kind is None or kind in step.kinds


def _by_running_attempt(case: _Case) -> Decision | None:
    """Wait for a running attempt first."""
    last, runbook = case.last, case.runbook
    if last is None or last.state not in RUNNING:
        return None
    if last.state is AttemptState.STARTED:
        return Wait(reason=Reason.ATTEMPT_RUNNING, note=last.action)
    judged = case.world.target_registered and runbook and last.step < len(runbook.steps)
    if last.state is AttemptState.SUCCEEDED and runbook and judged:
        ended = last.ended_at or last.started_at
        return Verify(attempt=last, until=ended + runbook.steps[last.step].verify_within)
    # The outcome, or the plan to verify it, is unknown.
    probed_by = over_at(last.ended_at or last.started_at, case.limits.probe_within, case.now)
    if case.now < probed_by:
        return Wait(reason=Reason.OUTCOME_UNKNOWN, until=probed_by, note=last.action)
    if case.incident.escalated_at is None:
        return Escalate(reason=Reason.OUTCOME_UNKNOWN, note=last.action)
    return None


def _by_alert_state(case: _Case) -> Decision | None:
    """Act only on alerts that certainly fire and are not suppressed."""
    match case.world.view:
        case AlertState.FIRING:
            return None
        case AlertState.ABSENT:
            return _flapping(case) or _resolved(case)
        case AlertState.PENDING:
            return Wait(reason=Reason.ALERT_PENDING)
        case AlertState.SILENCED:
            if case.world.acknowledged is not None:  # the silence is that of the acknowledgement
                return acknowledged_or_escalated(case.incident, case.world)
            return Wait(reason=Reason.SILENCED, note="suppressed: silenced in Alertmanager")
        case AlertState.INHIBITED:
            return Wait(reason=Reason.INHIBITED, note="suppressed: inhibited in Alertmanager")
        case AlertState.UNKNOWN:
            return Wait(reason=Reason.SOURCE_UNKNOWN)
        case never:
            assert_never(never)


def _flapping(case: _Case) -> Decision | None:
    """Keep a flapping alert in one incident until it stays resolved.

    A new incident would start with the first step again; this one continues with the next step, and
    finally escalates. The count uses the opening time of the incident, so it does not change later.
    """
    count, limits = case.history.episodes, case.limits
    until = over_at(case.incident.quiet_since or case.now, limits.flap_quiet, case.now)
    if count < limits.flap_episodes or case.now >= until:
        return None
    note = f"{count} episodes in {format_duration(limits.flap_window)}"
    return Wait(reason=Reason.FLAPPING, until=until, note=note)


def _resolved(case: _Case) -> Close:
    verified = case.last is not None and case.last.state is AttemptState.VERIFIED
    return Close(reason=Reason.RECOVERED if verified else Reason.RESOLVED)


def _left_alone(case: _Case) -> Decision | None:
    """Do not act on incidents with an operator, or with a verified fix that is settling."""
    if (held := acknowledged_or_escalated(case.incident, case.world)) is not None:
        return held
    last = case.last
    if last is not None and last.state is AttemptState.VERIFIED and last.verified_at is not None:
        fades = over_at(last.verified_at, case.limits.settle, case.now)
        if case.now < fades:
            return Wait(reason=Reason.AWAITING_RESOLVE, until=fades)
    return None
