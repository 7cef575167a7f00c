"""How an attempt starts: a gate that no two reconcilers and no crash can pass twice."""

import uuid
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection, select

from trading_ops.domain.attempt import Attempt, AttemptId, AttemptState, Delivery
from trading_ops.domain.decision import History, Reason, Wait
from trading_ops.domain.gates import Shut, Wanted, shut, taken
from trading_ops.domain.maintenance import covering
from trading_ops.domain.runbook import LONGEST_WINDOW
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
from trading_ops.store.dialects import lock_until_commit
from trading_ops.store.fencing import raise_fence
from trading_ops.store.tables import incidents

STARTING = 0x7472_6F71
"""The advisory lock under which attempts are counted and started; see `incidents.OPENING`."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is about to be started: a runbook's step, or a manual action."""

    wanted: Wanted
    """The input of the decision. Stored rows are loaded again; the rest, such as the view of
    Prometheus and the answers of the target, is taken from here."""

    claim: Claim | None = None
    """The lease under which it starts; None: there is no other replica."""

    ordered_by: str | None = None
    """Who ordered the manual action."""

    reason: str = ""
    """Why they did."""


def start(connection: Connection, plan: Plan, *, now: datetime) -> Attempt | None:
    """Commit that a step starts, or return None when a gate closed since it was decided."""
    if closed_gate(connection, plan, now=now) is not None:
        return None
    wanted, step = plan.wanted, plan.wanted.step
    key = AttemptId(str(uuid.uuid4()))
    # Last of all, for it changes something: with it the attempt starts, or neither happens.
    if step.approval and not approvals.use(connection, wanted.digest, attempt_id=key, now=now):
        return None
    attempt = Attempt(
        id=key,
        incident_id=wanted.incident.id if wanted.incident else None,
        runbook=wanted.runbook.alert if wanted.runbook else "",
        target=wanted.target,
        action=step.action,
        params=dict(step.params),
        step=wanted.index or 0,
        delivery=step.delivery,
        fence=raise_fence(connection, wanted.target),
        state=AttemptState.STARTED,
        ordered_by=plan.ordered_by,
        started_at=now,
    )
    attempts.add(connection, attempt, actor=plan.ordered_by or "reconciler", reason=plan.reason)
    return attempt


def closed_gate(connection: Connection, plan: Plan, *, now: datetime) -> Shut | None:
    """Ask the gates again, over the rows as they are inside this transaction."""
    claim, incident = plan.claim, plan.wanted.incident
    if claim is not None and not claims.is_held(connection, claim, now=now, margin=claims.MARGIN):
        return Wait(reason=Reason.TARGET_BUSY, note=f"the lease of {claim.key} was lost")
    wanted = _reload(connection, plan.wanted, now)
    if incident is None:
        return shut(wanted)
    row = connection.execute(
        select(incidents.c.closed_at, incidents.c.escalated_at).where(incidents.c.id == incident.id)
    ).one_or_none()
    if row is None or row.closed_at is not None:
        return Wait(reason=Reason.RESOLVED, note="the incident was closed")
    return taken(replace(incident, escalated_at=row.escalated_at), wanted.world) or shut(wanted)


def _reload(connection: Connection, wanted: Wanted, now: datetime) -> Wanted:
    """Replace everything that another writer may have changed."""
    target, incident = wanted.target, wanted.incident
    acknowledged = acknowledgements.phrase(connection, incident.id) if incident else None
    world = replace(
        wanted.world, pause=pauses.current(connection, now=now), acknowledged=acknowledged
    )
    if wanted.step.delivery is Delivery.SAFE_DIRECTION:
        return replace(wanted, world=world, now=now)  # no other gate is asked
    _start_one_at_a_time(connection)
    since = now - wanted.limits.window
    return replace(
        wanted,
        world=replace(
            world,
            maintenance=covering(maintenance.current(connection, now=now), target, now),
            halted=holds.halted_by_people(connection).get(target),
            approvals=approvals.standing(connection, now=now) if wanted.step.approval else {},
        ),
        history=History(
            target=tuple(attempts.of_target(connection, target, since=now - LONGEST_WINDOW)),
            everywhere=attempts.count_since(connection, since, now=now),
        ),
        now=now,
    )


def _start_one_at_a_time(connection: Connection) -> None:
    """Two replicas that start together on different targets would both see the last free budget."""
    lock_until_commit(connection, STARTING)
