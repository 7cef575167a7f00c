"""The gates: checks that can block a due step. All fail closed.

A gate returns None if it is open, else the decision and its reason. Runbook steps and manual
actions pass the same gates, with a common input, `Wanted`. The transaction that starts a step
reloads the rows under its lock and checks the same gates (`store.attempts.start`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from trading_ops.domain.approval import ApprovalState, digest
from trading_ops.domain.attempt import RUNNING, AttemptState, Delivery
from trading_ops.domain.decision import (
    Escalate,
    GlobalLimits,
    History,
    Reason,
    Stranger,
    Wait,
    World,
)
from trading_ops.domain.incident import Incident
from trading_ops.domain.runbook import Limits, Runbook, Step


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A step to run, with all inputs of the gates."""

    step: Step
    index: int | None
    """Index of the runbook's step; None: manual."""

    target: str
    incident: Incident | None
    runbook: Runbook | None
    """None, like the incident: manual."""

    history: History
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
        history: History,
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
        if self.step.delivery is Delivery.SAFE_DIRECTION:
            return () if self.incident is None else AUTOMATION
        every = AUTOMATION + OTHERS
        return tuple(one for one in every if one not in FLEET) if self.emergency else every

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


Shut = Wait | Escalate
Gate = Callable[[Wanted], Shut | None]


def shut(wanted: Wanted) -> Shut | None:
    """Return the decision of the first closed gate; None: all are open."""
    return next((said for gate in wanted.gates if (said := gate(wanted)) is not None), None)


def taken(incident: Incident, world: World) -> Wait | None:
    """The incident is acknowledged or escalated."""
    if world.acknowledged is not None:
        return Wait(reason=Reason.SILENCED, note=f"suppressed: {world.acknowledged}")
    if incident.escalated_at is not None:
        return Wait(reason=Reason.ESCALATED)
    return None


def paused(wanted: Wanted) -> Shut | None:
    """Automation is paused."""
    pause = wanted.world.pause
    if pause is None:
        return None
    note = f"by {pause.owner}: {pause.reason}"
    return Wait(reason=Reason.PAUSED, until=pause.expires_at, note=note, would=wanted.index)


def observe_only(wanted: Wanted) -> Shut | None:
    """Observe-only: everywhere, for this runbook, or for this target."""
    if wanted.world.observe_only:
        note = "everywhere, by settings"
    elif wanted.runbook is not None and wanted.runbook.observe_only:
        note = f"runbook {wanted.runbook.alert}"
    elif wanted.world.target_observe_only:
        note = f"target {wanted.target}"
    else:
        return None
    return Wait(reason=Reason.OBSERVE_ONLY, note=note, would=wanted.index)


def maintenance(wanted: Wanted) -> Shut | None:
    """The target or the fleet is in maintenance."""
    window = wanted.world.maintenance
    if window is None:
        return None
    note = f"of {window.target or 'the whole fleet'} by {window.owner}: {window.reason}"
    return Wait(reason=Reason.MAINTENANCE, until=window.ends_at, note=note, would=wanted.index)


def halted(wanted: Wanted) -> Shut | None:
    """An operator has halted the target: do not change what they investigate.

    Some steps may run anyway: a restarted bot comes back halted.
    """
    if wanted.world.halted is None or wanted.step.while_halted:
        return None
    return Wait(reason=Reason.TARGET_HALTED, note=wanted.world.halted, would=wanted.index)


def cause(wanted: Wanted) -> Shut | None:
    """Do not remediate a bot for a fault of its venue."""
    if wanted.world.blocking:
        note = ", ".join(wanted.world.blocking)
        return Wait(reason=Reason.CAUSE_ELSEWHERE, note=note, would=wanted.index)
    incident, runbook = wanted.incident, wanted.runbook
    if incident is None or runbook is None or not runbook.unless:
        return None
    # A sender may give any start time. One far in the future is a clock step: do not wait.
    within = wanted.limits.cause_detection
    shows_by = min(incident.starts_at, incident.received_at) + within
    is_early = wanted.now < shows_by <= wanted.now + 2 * within
    if wanted.step.delivery is Delivery.ONE_SHOT and is_early:
        return Wait(reason=Reason.CAUSE_MAY_SHOW, until=shows_by, would=wanted.index)
    return None


def storm(wanted: Wanted) -> Shut | None:
    """A storm: too many targets fail at once, or did recently."""
    world, most = wanted.world, wanted.limits.storm_of(wanted.world.fleet)
    if max(world.failing_targets, world.failing_peak) <= most:
        return None
    # No count: each change of it would be a new decision for every incident.
    note = f"more than {most} targets failed at once within {wanted.limits.storm_quiet}"
    return Wait(reason=Reason.STORM, note=note, would=wanted.index)


def healthy_share(wanted: Wanted) -> Shut | None:
    """Too many targets of this kind are unhealthy to act on another one."""
    peers, ill, limits = wanted.world.peers, wanted.world.failing_peers, wanted.limits
    if ill <= limits.unhealthy_targets or peers - ill >= limits.minimum_healthy_share * peers:
        return None  # also for a fleet of one, which has no peers
    note = f"fewer than {limits.minimum_healthy_share:.0%} of {peers} other targets are healthy"
    return Wait(reason=Reason.FLEET_UNHEALTHY, note=note, would=wanted.index)


def global_budget(wanted: Wanted) -> Shut | None:
    """The global attempt budget is spent."""
    most = wanted.limits.attempts_of(wanted.world.fleet)
    if wanted.history.everywhere < most:
        return None
    note = f"{most} attempts in {wanted.limits.window}"
    return Wait(reason=Reason.GLOBAL_BUDGET, note=note, would=wanted.index)


def busy(wanted: Wanted) -> Shut | None:
    """One action at a time for each target."""
    running = next((one for one in wanted.history.target if one.state in RUNNING), None)
    if running is None:
        return None
    began = running.ended_at or running.started_at
    lost_by = over_at(began, wanted.limits.probe_within, wanted.now)
    by_hand = running.incident_id is None
    if by_hand and running.state is AttemptState.UNKNOWN and wanted.now >= lost_by:
        # It has no incident that would page, unlike an automatic attempt.
        note = f"the outcome of {running.action}, ordered by {running.ordered_by}, is unknown"
        return Escalate(reason=Reason.OUTCOME_UNKNOWN, note=note)
    note = f"{wanted.step.action} waits for {running.action}"
    return Wait(reason=Reason.TARGET_BUSY, note=note, would=wanted.index)


def own_budget(wanted: Wanted) -> Shut | None:
    """The attempt limits of the runbook, and the same limits per target and action.

    The second count matters because one fault can fire several alerts: their runbooks together must
    not restart a bot more often than one of them may.
    """
    limits, action, runbook = wanted.own_limits, wanted.step.action, wanted.runbook
    done = wanted.history.target
    ours = [one for one in done if runbook is not None and one.runbook == runbook.alert]
    same = [one for one in done if one.action == action]
    since = wanted.now - limits.window
    for group, what in ((ours, f"runbook {runbook.alert if runbook else ''}"), (same, action)):
        tried = sum(
            one.started_at > since and not is_ahead(one.started_at, wanted.now, limits.window)
            for one in group
        )
        if tried >= limits.attempts:
            note = f"{tried} attempts of {what} in {limits.window}"
            return Escalate(reason=Reason.ATTEMPTS_EXHAUSTED, note=note)
    starts = [
        one.started_at
        for one in (*ours, *same)
        if not is_ahead(one.started_at, wanted.now, limits.cooldown)
    ]
    if starts and wanted.now < (until := max(starts) + limits.cooldown):
        return Wait(reason=Reason.COOLDOWN, until=until, note=action, would=wanted.index)
    return None


def is_ahead(start: datetime, now: datetime, span: timedelta) -> bool:
    """Whether a start is so far in the future that the clock has stepped back since.

    A period of `span` from then would last as long as the step, so it counts as over.
    """
    return start > now + span


def over_at(start: datetime, span: timedelta, now: datetime) -> datetime:
    """Return the end of a period; now if the clock has stepped back since its start."""
    return now if is_ahead(start, now, span) else start + span


def approved(wanted: Wanted) -> Shut | None:
    """A valid approval by a second operator for exactly this step, if required."""
    if not wanted.step.approval:
        return None
    asked = wanted.world.approvals.get(wanted.digest)
    if asked is None:
        note = f"{wanted.step.action} on {wanted.target}"
        return Wait(reason=Reason.APPROVAL_MISSING, note=note, would=wanted.index)
    state = asked.standing(wanted.now)
    if state is ApprovalState.APPROVED:
        return None
    if state is ApprovalState.DENIED:
        note = f"by {asked.decided_by}: {wanted.step.action} on {wanted.target}"
        return Escalate(reason=Reason.APPROVAL_DENIED, note=note)
    if state is ApprovalState.PENDING:
        note, until = f"request {asked.id} waits for approval", asked.expires_at
        return Wait(reason=Reason.APPROVAL_MISSING, until=until, note=note, would=wanted.index)
    expired = state is ApprovalState.EXPIRED  # otherwise it was used: it is valid for one attempt
    reason = Reason.APPROVAL_EXPIRED if expired else Reason.APPROVAL_MISSING
    return Wait(reason=reason, note=f"the previous request is {asked.id}", would=wanted.index)


def error_budget(wanted: Wanted) -> Shut | None:
    """The target's error budget is spent: it gets no new release."""
    spent = wanted.world.budget_spent
    return None if spent is None else Wait(reason=Reason.BUDGET_SPENT, note=spent)


def precondition(wanted: Wanted) -> Shut | None:
    """The probed target refuses a one-shot, or another process answered for it."""
    said = wanted.world.precondition
    if said is None:
        return None
    healthy = not isinstance(said, Stranger)
    reason = Reason.TARGET_HEALTHY if healthy else Reason.TARGET_IMPOSTOR
    return Wait(reason=reason, note=str(said), would=wanted.index)


FLEET: tuple[Gate, ...] = (storm, healthy_share, global_budget)
"""Fleet-wide gates. A rule pages for them, once for all incidents."""

AUTOMATION: tuple[Gate, ...] = (paused, observe_only)
OTHERS: tuple[Gate, ...] = (
    maintenance,
    halted,
    cause,
    *FLEET,
    busy,
    own_budget,
    approved,
    error_budget,
    precondition,
)
