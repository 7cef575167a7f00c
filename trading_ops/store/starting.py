"""How an attempt starts: a gate that no two reconcilers and no crash can pass twice."""

import uuid
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from trading_ops.domain.approval import digest
from trading_ops.domain.attempt import RUNNING, Attempt, AttemptId, AttemptState, Delivery
from trading_ops.domain.gates import is_ahead
from trading_ops.domain.incident import Incident
from trading_ops.domain.maintenance import covering
from trading_ops.domain.runbook import Limits, Runbook
from trading_ops.store import (
    acknowledgements,
    approvals,
    attempts,
    claims,
    holds,
    maintenance,
    pauses,
)
from trading_ops.store.claims import Claim
from trading_ops.store.fencing import raise_fence
from trading_ops.store.tables import incidents

STARTING = 0x7472_6F71
"""The advisory lock under which attempts are counted and started; see `incidents.OPENING`."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is about to be started."""

    incident: Incident
    runbook: Runbook
    step: int
    target: str
    """The root target."""

    everywhere_limit: int
    everywhere_since: datetime
    claim: Claim | None = None
    """The lease under which it starts; None: there is no other replica."""


def start(connection: Connection, plan: Plan, *, now: datetime) -> Attempt | None:
    """Commit that a step starts, or return None when a gate shut since it was decided.

    Everything that another writer could have changed is looked at again inside this transaction:
    the lease, the incident, the pause, maintenance, a person's halt, what runs on the target, the
    budgets, the cooldown, and the approval, which is spent here.
    """
    step = plan.runbook.steps[plan.step]
    key = AttemptId(str(uuid.uuid4()))
    if not _still_allowed(connection, plan, now):
        return None
    # Last of all, for it changes something: with it the attempt starts, or neither happens.
    if step.approval and not approvals.use(connection, _bound(plan), attempt_id=key, now=now):
        return None
    attempt = Attempt(
        id=key,
        incident_id=plan.incident.id,
        runbook=plan.runbook.alert,
        target=plan.target,
        action=step.action,
        params=dict(step.params),
        step=plan.step,
        delivery=step.delivery,
        fence=raise_fence(connection, plan.target),
        state=AttemptState.STARTED,
        started_at=now,
    )
    attempts.add(connection, attempt)
    return attempt


def _still_allowed(connection: Connection, plan: Plan, now: datetime) -> bool:
    incident_is_open = connection.execute(
        select(incidents.c.id).where(
            incidents.c.id == plan.incident.id,
            incidents.c.closed_at.is_(None),
            incidents.c.escalated_at.is_(None),
        )
    ).one_or_none()
    if plan.claim is not None and not claims.is_held(
        connection, plan.claim, now=now, margin=claims.MARGIN
    ):
        return False
    if incident_is_open is None or pauses.current(connection, now=now) is not None:
        return False
    if acknowledgements.stands(connection, plan.incident.id):
        return False
    step, limits = plan.runbook.steps[plan.step], plan.runbook.limits
    if step.delivery is Delivery.SAFE_DIRECTION:
        return True  # it waits for nobody and has no budget, exactly as in `decide`
    if covering(maintenance.current(connection, now=now), plan.target, now) is not None:
        return False
    if not step.while_halted and plan.target in holds.halted_by_people(connection):
        return False
    if not has_budget(connection, plan.target, step.action, limits, plan.runbook.alert, now=now):
        return False
    return starts_below(connection, plan.everywhere_limit, since=plan.everywhere_since, now=now)


def has_budget(
    connection: Connection,
    target: str,
    action: str,
    limits: Limits,
    runbook: str | None,
    *,
    now: datetime,
) -> bool:
    """Whether nothing runs on the target, and neither attempts nor cooldown speak against one more.

    Args:
        connection: inside the transaction that starts it.
        target: the root target.
        action: what would be done.
        limits: how often it may be.
        runbook: the alert whose runbook asks for it; None: a person orders it.
        now: when it would start.
    """
    known = attempts.of_target(connection, target, since=now - max(limits.window, limits.cooldown))
    if any(attempt.state in RUNNING for attempt in known):
        return False
    ours = [one.started_at for one in known if runbook is not None and one.runbook == runbook]
    same = [one.started_at for one in known if one.action == action]
    since, cooled = now - limits.window, now - limits.cooldown
    return all(
        sum(start > since and not is_ahead(start, now, limits.window) for start in starts)
        < limits.attempts
        and all(start <= cooled or is_ahead(start, now, limits.cooldown) for start in starts)
        for starts in (ours, same)
    )


def _bound(plan: Plan) -> str:
    """Return what the step's approval must be bound to; the same as in `domain.gates`."""
    step = plan.runbook.steps[plan.step]
    return digest(
        incident_id=plan.incident.id,
        action=step.action,
        target=plan.target,
        params=step.params,
        step=plan.step,
    )


def starts_below(connection: Connection, limit: int, *, since: datetime, now: datetime) -> bool:
    """Whether fewer attempts than that were started everywhere; nobody else starts one meanwhile.

    Two replicas that start at once on different targets would both see the last free one.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(STARTING)))
    return attempts.count_since(connection, since, now=now) < limit
