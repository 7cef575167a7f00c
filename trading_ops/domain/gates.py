"""The gates: checks that can block a due step. All fail closed.

A gate returns None if it is open, else the decision and its reason. Runbook steps and manual
actions pass the same gates, with a common input, `GateInput`. The transaction that starts a step
reloads the rows under its lock and checks the same gates (`store.attempts.start`).

The functions `by_pause`, `by_observe_only` and `by_maintenance` say why operators or settings
suppress automation; manual actions, jobs and holds call them too.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from trading_ops.domain.approval import ApprovalState, digest
from trading_ops.domain.attempt import RUNNING, AttemptState, DeliverySemantics
from trading_ops.domain.decision import (
    AttemptHistory,
    Escalate,
    GlobalLimits,
    Impostor,
    Pause,
    Reason,
    Wait,
    World,
)
from trading_ops.domain.durations import format_duration
from trading_ops.domain.incident import Incident
from trading_ops.domain.maintenance import Maintenance
from trading_ops.domain.runbook import Limits, Runbook, RunbookStep


@dataclass(frozen=True, kw_only=True)
class Suppressed:
    """No action may run."""

    reason: Reason
    note: str
    """Who suppresses it and why; continues the reason in a sentence."""

    until: datetime | None = None
    """None: until someone changes it."""

    def __str__(self) -> str:
        return f"{self.reason.value.replace('_', '-')} {self.note}"


def by_pause(pause: Pause | None, now: datetime) -> Suppressed | None:
    """Automation is paused."""
    if pause is None or now >= pause.expires_at:
        return None
    note = f"by {pause.owner}: {pause.reason}"
    return Suppressed(reason=Reason.PAUSED, note=note, until=pause.expires_at)


def by_observe_only(
    *, everywhere: bool, runbook: str | None = None, target: str | None = None
) -> Suppressed | None:
    """Automation only observes: everywhere, for a runbook, or for a target.

    Args:
        everywhere: the setting.
        runbook: alert of the runbook, if it is observe-only.
        target: its name, if it is observe-only.
    """
    if everywhere:
        note = "everywhere, by settings"
    elif runbook is not None:
        note = f"runbook {runbook}"
    elif target is not None:
        note = f"target {target}"
    else:
        return None
    return Suppressed(reason=Reason.OBSERVE_ONLY, note=note)


def by_maintenance(window: Maintenance | None) -> Suppressed | None:
    """The target or the fleet is in maintenance; takes the window that covers it."""
    if window is None:
        return None
    note = f"of {window.target or 'the whole fleet'} by {window.owner}: {window.reason}"
    return Suppressed(reason=Reason.MAINTENANCE, note=note, until=window.ends_at)


@dataclass(frozen=True, kw_only=True)
class GateInput:
    """A step to run, with all inputs of the gates."""

    step: RunbookStep
    index: int | None
    """Index of the runbook's step; None: manual."""

    target: str
    incident: Incident | None
    runbook: Runbook | None
    """None, like the incident: manual."""

    history: AttemptHistory
    world: World
    limits: GlobalLimits
    now: datetime
    emergency: bool = False
    """Manual emergency action: fleet-wide gates do not apply."""

    @classmethod
    def of_runbook(
        cls,
        incident: Incident,
        runbook: Runbook,
        index: int,
        *,
        history: AttemptHistory,
        world: World,
        limits: GlobalLimits,
        now: datetime,
    ) -> Self:
        """Return a step of an incident's runbook."""
        return cls(
            step=runbook.steps[index],
            index=index,
            target=incident.target or "",
            incident=incident,
            runbook=runbook,
            history=history,
            world=world,
            limits=limits,
            now=now,
        )

    @property
    def gates(self) -> "tuple[Gate, ...]":
        """The gates that apply.

        Safe steps of runbooks pass only the suppression gates; safe manual actions pass none.
        """
        if self.step.delivery is DeliverySemantics.SAFE_DIRECTION:
            return () if self.incident is None else SUPPRESSION_GATES
        every = SUPPRESSION_GATES + ACTION_GATES
        return tuple(gate for gate in every if gate not in FLEET_GATES) if self.emergency else every

    @property
    def own_limits(self) -> Limits:
        """Attempt limits: the runbook's, or the default for manual actions."""
        return self.runbook.limits if self.runbook else Limits()

    @property
    def digest(self) -> str:
        """Digest that an approval is bound to."""
        return digest(
            incident_id=self.incident.id if self.incident else None,
            action=self.step.action,
            target=self.target,
            params=self.step.params,
            step=self.index,
        )


ClosedGate = Wait | Escalate
Gate = Callable[[GateInput], ClosedGate | None]


def first_closed_gate(given: GateInput) -> ClosedGate | None:
    """Return the decision of the first closed gate; None: all are open."""
    return next((closed for gate in given.gates if (closed := gate(given)) is not None), None)


def acknowledged_or_escalated(incident: Incident, world: World) -> Wait | None:
    """The incident is acknowledged or escalated."""
    if world.acknowledged is not None:
        return Wait(reason=Reason.ACKNOWLEDGED, note=f"suppressed: {world.acknowledged}")
    if incident.escalated_at is not None:
        return Wait(reason=Reason.ESCALATED)
    return None


def paused(given: GateInput) -> ClosedGate | None:
    """Automation is paused."""
    return _wait(given, by_pause(given.world.pause, given.now))


def observe_only(given: GateInput) -> ClosedGate | None:
    """Observe-only: everywhere, for this runbook, or for this target."""
    world, book = given.world, given.runbook
    found = by_observe_only(
        everywhere=world.observe_only,
        runbook=book.alert if book is not None and book.observe_only else None,
        target=given.target if world.target_observe_only else None,
    )
    return _wait(given, found)


def maintenance(given: GateInput) -> ClosedGate | None:
    """The target or the fleet is in maintenance."""
    return _wait(given, by_maintenance(given.world.maintenance))


def _wait(given: GateInput, found: Suppressed | None) -> ClosedGate | None:
    if found is None:
        return None
    return Wait(reason=found.reason, until=found.until, note=found.note, blocked_step=given.index)


def halted(given: GateInput) -> ClosedGate | None:
    """An operator has halted the target: do not change what they investigate.

    Some steps may run anyway: a restarted bot comes back halted.
    """
    if given.world.halted is None or given.step.while_halted:
        return None
    return Wait(reason=Reason.TARGET_HALTED, note=given.world.halted, blocked_step=given.index)


def cause(given: GateInput) -> ClosedGate | None:
    """Do not remediate a bot for a fault of its venue."""
    if given.world.blocking:
        note = ", ".join(given.world.blocking)
        return Wait(reason=Reason.CAUSE_ELSEWHERE, note=note, blocked_step=given.index)
    incident, runbook = given.incident, given.runbook
    if incident is None or runbook is None or not runbook.unless:
        return None
    # A sender may give any start time. One far in the future is a clock step: do not wait.
    within = given.limits.cause_detection
    shows_by = min(incident.starts_at, incident.received_at) + within
    is_early = given.now < shows_by <= given.now + 2 * within
    if given.step.delivery is DeliverySemantics.ONE_SHOT and is_early:
        return Wait(reason=Reason.AWAITING_CAUSE, until=shows_by, blocked_step=given.index)
    return None


def storm(given: GateInput) -> ClosedGate | None:
    """A storm: too many targets fail at once, or did recently."""
    world, most = given.world, given.limits.storm_of(given.world.fleet)
    if max(world.failing_targets, world.failing_peak) <= most:
        return None
    # No count: each change of it would be a new decision for every incident.
    quiet = format_duration(given.limits.storm_quiet)
    note = f"more than {most} targets failed at once within {quiet}"
    return Wait(reason=Reason.STORM, note=note, blocked_step=given.index)


def healthy_share(given: GateInput) -> ClosedGate | None:
    """Too many targets of this kind are unhealthy to act on another one."""
    peers, failing, limits = given.world.peers, given.world.failing_peers, given.limits
    if (
        failing <= limits.unhealthy_targets
        or peers - failing >= limits.minimum_healthy_share * peers
    ):
        return None  # also for a fleet of one, which has no peers
    note = f"fewer than {limits.minimum_healthy_share:.0%} of {peers} other targets are healthy"
    return Wait(reason=Reason.FLEET_UNHEALTHY, note=note, blocked_step=given.index)


def global_budget(given: GateInput) -> ClosedGate | None:
    """The global attempt budget is exhausted."""
    most = given.limits.attempts_of(given.world.fleet)
    if given.history.everywhere < most:
        return None
    note = f"{most} attempts in {format_duration(given.limits.window)}"
    return Wait(reason=Reason.GLOBAL_BUDGET, note=note, blocked_step=given.index)


def busy(given: GateInput) -> ClosedGate | None:
    """One action at a time for each target."""
    running = next((attempt for attempt in given.history.target if attempt.state in RUNNING), None)
    if running is None:
        return None
    began = running.ended_at or running.started_at
    lost_by = over_at(began, given.limits.probe_within, given.now)
    manual = running.incident_id is None
    if manual and running.state is AttemptState.UNKNOWN and given.now >= lost_by:
        # It has no incident that would page, unlike an automatic attempt.
        note = f"the outcome of {running.action}, requested by {running.requested_by}, is unknown"
        return Escalate(reason=Reason.OUTCOME_UNKNOWN, note=note)
    note = f"{given.step.action} waits for {running.action}"
    return Wait(reason=Reason.TARGET_BUSY, note=note, blocked_step=given.index)


def own_budget(given: GateInput) -> ClosedGate | None:
    """The attempt limits of the runbook, and the same limits per target and action.

    The second count matters because one fault can fire several alerts: their runbooks together must
    not restart a bot more often than one of them may.
    """
    limits, action, runbook = given.own_limits, given.step.action, given.runbook
    done = given.history.target
    ours = [attempt for attempt in done if runbook is not None and attempt.runbook == runbook.alert]
    same = [attempt for attempt in done if attempt.action == action]
    since = given.now - limits.window
    for group, scope in ((ours, f"runbook {runbook.alert if runbook else ''}"), (same, action)):
        tried = sum(
            attempt.started_at > since
            and not is_ahead(attempt.started_at, given.now, limits.window)
            for attempt in group
        )
        if tried >= limits.attempts:
            note = f"{tried} attempts of {scope} in {format_duration(limits.window)}"
            return Escalate(reason=Reason.ATTEMPTS_EXHAUSTED, note=note)
    starts = [
        attempt.started_at
        for attempt in (*ours, *same)
        if not is_ahead(attempt.started_at, given.now, limits.cooldown)
    ]
    if starts and given.now < (until := max(starts) + limits.cooldown):
        return Wait(reason=Reason.COOLDOWN, until=until, note=action, blocked_step=given.index)
    return None


def is_ahead(start: datetime, now: datetime, span: timedelta) -> bool:
    """Whether a start is so far in the future that the clock has stepped back since.

    A period of `span` from then would last as long as the step, so it counts as over.
    """
    return start > now + span


def over_at(start: datetime, span: timedelta, now: datetime) -> datetime:
    """Return the end of a period; now if the clock has stepped back since its start."""
    return now if is_ahead(start, now, span) else start + span


def approved(given: GateInput) -> ClosedGate | None:
    """A valid approval by a second operator for exactly this step, if required."""
    if not given.step.approval:
        return None
    approval = given.world.approvals.get(given.digest)
    if approval is None:
        note = f"{given.step.action} on {given.target}"
        return Wait(reason=Reason.APPROVAL_MISSING, note=note, blocked_step=given.index)
    state = approval.state_at(given.now)
    if state is ApprovalState.APPROVED:
        return None
    if state is ApprovalState.DENIED:
        note = f"by {approval.decided_by}: {given.step.action} on {given.target}"
        return Escalate(reason=Reason.APPROVAL_DENIED, note=note)
    if state is ApprovalState.PENDING:
        note, until = f"request {approval.id} waits for approval", approval.expires_at
        return Wait(
            reason=Reason.APPROVAL_MISSING, until=until, note=note, blocked_step=given.index
        )
    expired = state is ApprovalState.EXPIRED  # otherwise it was used: it is valid for one attempt
    reason = Reason.APPROVAL_EXPIRED if expired else Reason.APPROVAL_MISSING
    return Wait(
        reason=reason, note=f"the previous request is {approval.id}", blocked_step=given.index
    )


def error_budget(given: GateInput) -> ClosedGate | None:
    """The target's error budget is exhausted: it gets no new release."""
    spent = given.world.budget_spent
    return None if spent is None else Wait(reason=Reason.BUDGET_SPENT, note=spent)


def precondition(given: GateInput) -> ClosedGate | None:
    """The probed target refuses a one-shot, or another process answered for it."""
    refusal = given.world.precondition
    if refusal is None:
        return None
    healthy = not isinstance(refusal, Impostor)
    reason = Reason.TARGET_HEALTHY if healthy else Reason.TARGET_IMPOSTOR
    return Wait(reason=reason, note=str(refusal), blocked_step=given.index)


FLEET_GATES: tuple[Gate, ...] = (storm, healthy_share, global_budget)
"""Fleet-wide gates. A rule pages for them, once for all incidents."""

SUPPRESSION_GATES: tuple[Gate, ...] = (paused, observe_only)
ACTION_GATES: tuple[Gate, ...] = (
    maintenance,
    halted,
    cause,
    *FLEET_GATES,
    busy,
    own_budget,
    approved,
    error_budget,
    precondition,
)
