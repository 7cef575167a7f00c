"""The one place that decides what to do next for an incident, and says why.

`decide` is pure and total: same arguments, same answer, for every combination of them. The order
of the checks is the order of this file: what is under way, what the alert says now, who has it,
which gate is shut, which step is next, and whether its budget allows it. Every gate fails closed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import assert_never

from trading_ops.domain.attempt import (
    RUNNING,
    STEP_IS_SPENT,
    Attempt,
    AttemptState,
    Delivery,
)
from trading_ops.domain.incident import Incident
from trading_ops.domain.runbook import Runbook, Step


class Reason(StrEnum):
    """Why: at once the log text, the stored value and the metric label."""

    STEP_DUE = "step_due"
    ATTEMPT_SUCCEEDED = "attempt_succeeded"

    ATTEMPT_RUNNING = "attempt_running"
    OUTCOME_UNKNOWN = "outcome_unknown"
    SOURCE_UNKNOWN = "source_unknown"
    ALERT_PENDING = "alert_pending"
    SILENCED = "silenced"
    INHIBITED = "inhibited"
    AWAITING_RESOLVE = "awaiting_resolve"
    WITH_A_PERSON = "with_a_person"
    PEOPLE_ONLY = "people_only"
    PAUSED = "paused"
    OBSERVE_ONLY = "observe_only"
    CAUSE_ELSEWHERE = "cause_elsewhere"
    CAUSE_MAY_SHOW = "cause_may_show"
    COOLDOWN = "cooldown"
    TARGET_BUSY = "target_busy"
    TARGET_HEALTHY = "target_healthy"

    NO_RUNBOOK = "no_runbook"
    TARGET_UNKNOWN = "target_unknown"
    STEPS_EXHAUSTED = "steps_exhausted"
    ATTEMPTS_EXHAUSTED = "attempts_exhausted"
    GLOBAL_BUDGET = "global_budget"
    STORM = "storm"

    RECOVERED = "recovered"
    RESOLVED = "resolved"


class AlertView(StrEnum):
    """What Prometheus and Alertmanager together say of the incident's alert now."""

    FIRING = "firing"
    PENDING = "pending"
    SILENCED = "silenced"
    INHIBITED = "inhibited"
    ABSENT = "absent"
    UNKNOWN = "unknown"
    """A source is out of reach, empty, partial or too young. Never read as resolved."""


@dataclass(frozen=True, kw_only=True)
class Pause:
    """Automation stopped by a person."""

    owner: str
    reason: str
    expires_at: datetime


@dataclass(frozen=True, kw_only=True)
class World:
    """What is true around the incident at this moment."""

    view: AlertView
    pause: Pause | None = None
    observe_only: bool = False
    target_registered: bool = True
    blocking: tuple[str, ...] = ()
    """Alerts of the runbook's `unless` that are pending or firing for the target or its venue."""

    failing_targets: int = 1
    """Targets with an open incident, this one included."""

    precondition: str | None = None
    """Why the next step must not run on the target as probed now; None: it may."""


@dataclass(frozen=True, kw_only=True)
class History:
    """What was done before. All attempts are oldest first."""

    incident: tuple[Attempt, ...] = ()
    """Attempts of this incident."""

    target: tuple[Attempt, ...] = ()
    """Attempts on this target inside the longest window, since its budget was last forgiven."""

    everywhere: int = 0
    """Attempts on all targets inside the global window."""


@dataclass(frozen=True, kw_only=True)
class GlobalLimits:
    """What holds for all runbooks together."""

    attempts: int = 20
    """Attempts on all targets inside `window`."""

    window: timedelta = timedelta(minutes=10)
    storm_targets: int = 3
    """More targets than this failing at once is a storm: stop and call a person."""

    settle: timedelta = timedelta(seconds=30)
    """How long a verified alert may go on firing before it counts as broken again."""

    cause_detection: timedelta = timedelta(seconds=3)
    """A one-shot waits this long after the alert began, so that its cause can show itself."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """Carry out this step now."""

    step: int
    reason: Reason = Reason.STEP_DUE
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Wait:
    """Do nothing, for a reason; look again at `until`, or when something changes."""

    reason: Reason
    until: datetime | None = None
    note: str = ""
    would: int | None = None
    """The step that would have run, had this gate been open."""


@dataclass(frozen=True, kw_only=True)
class Verify:
    """Ask Prometheus whether this attempt's symptom is gone."""

    attempt: Attempt
    until: datetime
    reason: Reason = Reason.ATTEMPT_SUCCEEDED
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Escalate:
    """Hand over to a person."""

    reason: Reason
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Close:
    """The episode is over."""

    reason: Reason
    note: str = ""


Decision = Run | Wait | Verify | Escalate | Close


def decide(
    incident: Incident,
    runbook: Runbook | None,
    history: History,
    world: World,
    limits: GlobalLimits,
    now: datetime,
) -> Decision:
    """Say what to do next for one open incident."""
    last = history.incident[-1] if history.incident else None
    return (
        _under_way(last, runbook)
        or _alert_now(world, last)
        or _in_whose_hands(incident, runbook, world, last, limits, now)
        or _next_step(incident, runbook, history, world, limits, now)
    )


def next_step(runbook: Runbook, attempts: tuple[Attempt, ...]) -> int:
    """Return the index of the step that is due; equal to the number of steps when none is left.

    A verified attempt whose symptom came back counts as spent too: the same cure did not last.
    """
    spent = STEP_IS_SPENT | {AttemptState.VERIFIED}
    return min(
        max((attempt.step + 1 for attempt in attempts if attempt.state in spent), default=0),
        len(runbook.steps),
    )


def _under_way(last: Attempt | None, runbook: Runbook | None) -> Decision | None:
    """Finish what was begun before anything else is looked at."""
    if last is None or last.state not in RUNNING:
        return None
    match last.state:
        case AttemptState.SUCCEEDED if runbook is not None and last.step < len(runbook.steps):
            ended = last.ended_at or last.started_at
            return Verify(attempt=last, until=ended + runbook.steps[last.step].verify_within)
        case AttemptState.UNKNOWN:
            return Wait(reason=Reason.OUTCOME_UNKNOWN, note=f"{last.action}: probing the target")
        case _:
            return Wait(reason=Reason.ATTEMPT_RUNNING, note=last.action)


def _alert_now(world: World, last: Attempt | None) -> Decision | None:
    """Act only on what certainly fires and is nobody else's."""
    match world.view:
        case AlertView.FIRING:
            return None
        case AlertView.ABSENT:
            healed = last is not None and last.state is AttemptState.VERIFIED
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


def _in_whose_hands(
    incident: Incident,
    runbook: Runbook | None,
    world: World,
    last: Attempt | None,
    limits: GlobalLimits,
    now: datetime,
) -> Decision | None:
    """Leave alone what is healed and fading, what a person has, and what only a person can do."""
    if incident.escalated_at is not None:
        return Wait(reason=Reason.WITH_A_PERSON)
    if last is not None and last.state is AttemptState.VERIFIED and last.verified_at is not None:
        fades = last.verified_at + limits.settle
        if now < fades:
            return Wait(reason=Reason.AWAITING_RESOLVE, until=fades)
    if runbook is None:
        return Escalate(reason=Reason.NO_RUNBOOK, note=f"runbooks/{incident.alert}.md is missing")
    if not runbook.steps:
        return Wait(reason=Reason.PEOPLE_ONLY)
    if not world.target_registered:
        return Escalate(
            reason=Reason.TARGET_UNKNOWN,
            note=f"label {runbook.target_label} names no target of targets.yml",
        )
    return None


def _next_step(
    incident: Incident,
    runbook: Runbook | None,
    history: History,
    world: World,
    limits: GlobalLimits,
    now: datetime,
) -> Decision:
    """Find the step that is due and hold it against every gate."""
    assert runbook is not None  # noqa: S101 - `_in_whose_hands` has answered for the others
    index = next_step(runbook, history.incident)
    if index == len(runbook.steps):
        return Escalate(
            reason=Reason.STEPS_EXHAUSTED, note=f"all {index} steps were tried; it still fires"
        )
    step = runbook.steps[index]
    gates: tuple[Callable[[], Decision | None], ...] = (
        lambda: _automation(world, index),
        lambda: _others(step, history, world, limits, index),
        lambda: _cause(incident, step, runbook, world, limits, now, index),
        lambda: _budget(step, runbook, history, now, index),
        lambda: _precondition(world, index),
    )
    # A step in the safe direction passes every gate but a person's word about automation itself.
    passes = gates[:1] if step.delivery is Delivery.SAFE_DIRECTION else gates
    for gate in passes:
        shut = gate()
        if shut is not None:
            return shut
    return Run(step=index, note=step.action)


def _automation(world: World, index: int) -> Decision | None:
    if world.pause is not None:
        note = f"by {world.pause.owner}: {world.pause.reason}"
        return Wait(reason=Reason.PAUSED, until=world.pause.expires_at, note=note, would=index)
    if world.observe_only:
        return Wait(reason=Reason.OBSERVE_ONLY, would=index)
    return None


def _others(
    step: Step, history: History, world: World, limits: GlobalLimits, index: int
) -> Decision | None:
    """Look beyond this incident: the fleet's state, the global budget, the target's other work."""
    if world.failing_targets > limits.storm_targets:
        note = f"{world.failing_targets} targets are failing at once"
        return Escalate(reason=Reason.STORM, note=note)
    if history.everywhere >= limits.attempts:
        note = f"{history.everywhere} attempts in {limits.window}"
        return Escalate(reason=Reason.GLOBAL_BUDGET, note=note)
    busy = next((attempt for attempt in history.target if attempt.state in RUNNING), None)
    if busy is not None:
        note = f"{step.action} waits for {busy.action}"
        return Wait(reason=Reason.TARGET_BUSY, note=note, would=index)
    return None


def _cause(
    incident: Incident,
    step: Step,
    runbook: Runbook,
    world: World,
    limits: GlobalLimits,
    now: datetime,
    index: int,
) -> Decision | None:
    """Do not cure a bot of its venue's illness."""
    if world.blocking:
        note = ", ".join(world.blocking)
        return Wait(reason=Reason.CAUSE_ELSEWHERE, note=note, would=index)
    shows_by = incident.starts_at + limits.cause_detection
    if step.delivery is Delivery.ONE_SHOT and runbook.unless and now < shows_by:
        return Wait(reason=Reason.CAUSE_MAY_SHOW, until=shows_by, would=index)
    return None


def _budget(
    step: Step, runbook: Runbook, history: History, now: datetime, index: int
) -> Decision | None:
    """Keep to the runbook's limits, and to the same limits per target and action.

    The second count matters because one fault can raise several alerts: their runbooks together
    must not restart a bot more often than one of them may.
    """
    since = now - runbook.limits.window
    recent = [attempt for attempt in history.target if attempt.started_at > since]
    ours = [attempt for attempt in recent if attempt.runbook == runbook.alert]
    same = [attempt for attempt in recent if attempt.action == step.action]
    for counted, what in ((ours, f"runbook {runbook.alert}"), (same, step.action)):
        if len(counted) >= runbook.limits.attempts:
            note = f"{len(counted)} attempts of {what} in {runbook.limits.window}"
            return Escalate(reason=Reason.ATTEMPTS_EXHAUSTED, note=note)
    if ours or same:
        latest = max(attempt.started_at for attempt in (*ours, *same))
        until = latest + runbook.limits.cooldown
        if now < until:
            return Wait(reason=Reason.COOLDOWN, until=until, note=step.action, would=index)
    return None


def _precondition(world: World, index: int) -> Decision | None:
    if world.precondition is None:
        return None
    return Wait(reason=Reason.TARGET_HEALTHY, note=world.precondition, would=index)
