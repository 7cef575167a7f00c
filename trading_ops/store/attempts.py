"""Attempts: `start` is the gate that no two reconcilers and no crash can pass twice."""

import uuid
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, func, insert, select, update

from trading_ops.domain.approval import digest
from trading_ops.domain.attempt import RUNNING, Attempt, AttemptId, AttemptState, Delivery
from trading_ops.domain.incident import Incident
from trading_ops.domain.maintenance import covering
from trading_ops.domain.runbook import Limits, Runbook
from trading_ops.store import (
    acknowledgements,
    approvals,
    claims,
    events,
    holds,
    maintenance,
    pauses,
)
from trading_ops.store.claims import Claim
from trading_ops.store.tables import attempts, fences, incidents

STARTING = 0x7472_6F71
"""The advisory lock under which attempts are counted and started; see `incidents.OPENING`."""

RUNNING_VALUES = [state.value for state in RUNNING]


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
    add(connection, attempt)
    return attempt


def add(
    connection: Connection, attempt: Attempt, *, actor: str = "reconciler", reason: str = ""
) -> None:
    """Store an attempt that starts; the gates were looked at before, in the same transaction."""
    connection.execute(
        insert(attempts).values(
            id=attempt.id,
            incident_id=attempt.incident_id,
            runbook=attempt.runbook,
            target=attempt.target,
            action=attempt.action,
            params=dict(attempt.params),
            step=attempt.step,
            delivery=attempt.delivery.value,
            fence=attempt.fence,
            state=attempt.state.value,
            ordered_by=attempt.ordered_by,
            started_at=attempt.started_at,
        )
    )
    events.add(
        connection,
        at=attempt.started_at,
        kind="started",
        incident_id=attempt.incident_id,
        attempt_id=attempt.id,
        actor=actor,
        reason=reason,
        note=f"{attempt.action} on {attempt.target}",
        after={
            "state": attempt.state,
            "params": dict(attempt.params),
            "step": attempt.step,
            "fence": attempt.fence,
        },
    )


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
    return starts_below(connection, plan.everywhere_limit, since=plan.everywhere_since)


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
    known = of_target(connection, target, since=now - max(limits.window, limits.cooldown))
    if any(attempt.state in RUNNING for attempt in known):
        return False
    ours = [one.started_at for one in known if runbook is not None and one.runbook == runbook]
    same = [one.started_at for one in known if one.action == action]
    since, cooled = now - limits.window, now - limits.cooldown
    return all(
        sum(start > since for start in starts) < limits.attempts
        and all(start <= cooled for start in starts)
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


def raise_fence(connection: Connection, target: str) -> int:
    """Return the target's next fencing token: greater than every one before it."""
    row = connection.execute(
        select(fences.c.fence).where(fences.c.target == target).with_for_update()
    ).one_or_none()
    if row is None:
        connection.execute(insert(fences).values(target=target, fence=1))
        return 1
    token = int(row.fence) + 1
    connection.execute(update(fences).where(fences.c.target == target).values(fence=token))
    return token


def adopt_fence(connection: Connection, attempt: Attempt, highest: int, *, now: datetime) -> bool:
    """Raise a target's fence to what its executor has seen, if that is no word of a successor.

    The executor has seen a higher fence than an attempt's. If this database has given out a higher
    one since, the attempt is stale, and that is what fences are for: nothing is changed. If not,
    the executor remembers another database: this one is new, or was restored from a backup.

    Returns:
        Whether the fence was raised, so that the next attempt will be taken.
    """
    changed = connection.execute(
        update(fences)
        .where(
            fences.c.target == attempt.target,
            fences.c.fence == attempt.fence,
            fences.c.fence < highest,
        )
        .values(fence=highest)
    ).rowcount
    if changed:
        events.add(
            connection,
            at=now,
            kind="fence_adopted",
            incident_id=attempt.incident_id,
            attempt_id=attempt.id,
            note=f"{attempt.target}: its executor has seen {highest}, from another database's time",
            before={"fence": attempt.fence},
            after={"fence": highest},
        )
    return bool(changed)


def finish(
    connection: Connection,
    attempt: Attempt,
    state: AttemptState,
    *,
    detail: str,
    now: datetime,
    only_from: Collection[AttemptState],
) -> bool:
    """Move an attempt on by compare-and-set; False means that somebody else did it first."""
    verification = state in (AttemptState.VERIFIED, AttemptState.UNVERIFIED)
    whole = f"{attempt.detail}; {detail}" if verification and attempt.detail else detail
    values: dict[str, object] = {"state": state.value, "detail": whole}
    if state is AttemptState.VERIFIED:
        values["verified_at"] = now
    elif state is not AttemptState.UNVERIFIED:
        values["ended_at"] = now
    was = connection.execute(
        select(attempts.c.state).where(attempts.c.id == attempt.id).with_for_update()
    ).scalar_one_or_none()
    changed = connection.execute(
        update(attempts)
        .where(
            attempts.c.id == attempt.id,
            attempts.c.fence == attempt.fence,
            attempts.c.state.in_([one.value for one in only_from]),
        )
        .values(**values)
    ).rowcount
    if changed:
        events.add(
            connection,
            at=now,
            kind=state.value,
            incident_id=attempt.incident_id,
            attempt_id=attempt.id,
            note=f"{attempt.action}: {detail}" if detail else attempt.action,
            before={"state": was},
            after={"state": state, "fence": attempt.fence},
        )
    return bool(changed)


def of_incident(connection: Connection, incident_id: str) -> list[Attempt]:
    """Return the attempts of one incident, oldest first."""
    # By the fence, which only grows: the clocks of two replicas, or one put back, may differ.
    statement = select(attempts).where(attempts.c.incident_id == incident_id)
    return _read(connection.execute(statement.order_by(attempts.c.fence)).mappings().all())


def of_open_incidents(
    connection: Connection, only: Collection[str] | None = None
) -> dict[str, tuple[Attempt, ...]]:
    """Return the attempts of open incidents by incident id, oldest first, in one query.

    Args:
        connection: to read from.
        only: ids of incidents; None for all that are open.
    """
    statement = (
        select(attempts)
        .join(incidents, incidents.c.id == attempts.c.incident_id)
        .where(incidents.c.closed_at.is_(None))
        .order_by(attempts.c.fence)
    )
    if only is not None:
        statement = statement.where(attempts.c.incident_id.in_(only))
    found: dict[str, list[Attempt]] = defaultdict(list)
    for attempt in _read(connection.execute(statement).mappings().all()):
        if attempt.incident_id is not None:
            found[attempt.incident_id].append(attempt)
    return {key: tuple(group) for key, group in found.items()}


def of_target(connection: Connection, target: str, *, since: datetime) -> list[Attempt]:
    """Return what counts against a target's budgets since a moment, and what runs, oldest first."""
    forgiven = connection.execute(
        select(fences.c.forgiven_at).where(fences.c.target == target)
    ).scalar_one_or_none()
    begin = max(since, forgiven) if forgiven else since
    counts = (attempts.c.started_at > begin) | attempts.c.state.in_(RUNNING_VALUES)
    statement = select(attempts).where(attempts.c.target == target, counts)
    return _read(connection.execute(statement.order_by(attempts.c.started_at)).mappings().all())


def starts_below(connection: Connection, limit: int, *, since: datetime) -> bool:
    """Whether fewer attempts than that were started everywhere; nobody else starts one meanwhile.

    Two replicas that start at once on different targets would both see the last free one.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(STARTING)))
    return count_since(connection, since) < limit


def count_since(connection: Connection, since: datetime) -> int:
    """Return how many attempts were started on all targets since a moment, forgiven ones apart."""
    statement = (
        select(func.count())
        .select_from(attempts.outerjoin(fences, fences.c.target == attempts.c.target))
        .where(
            attempts.c.started_at > since,
            (fences.c.forgiven_at.is_(None)) | (attempts.c.started_at > fences.c.forgiven_at),
        )
    )
    return connection.execute(statement).scalar_one()


def starts_since(connection: Connection, since: datetime) -> list[datetime]:
    """Return when attempts were started on any target since a moment, forgiven ones apart."""
    statement = (
        select(attempts.c.started_at)
        .select_from(attempts.outerjoin(fences, fences.c.target == attempts.c.target))
        .where(
            attempts.c.started_at > since,
            (fences.c.forgiven_at.is_(None)) | (attempts.c.started_at > fences.c.forgiven_at),
        )
    )
    return list(connection.execute(statement).scalars())


def running(connection: Connection) -> list[Attempt]:
    """Return all attempts that hold a target."""
    statement = select(attempts).where(attempts.c.state.in_(RUNNING_VALUES))
    return _read(connection.execute(statement.order_by(attempts.c.started_at)).mappings().all())


def forgive(connection: Connection, target: str, *, owner: str, reason: str, now: datetime) -> None:
    """Let a target's budgets start anew: a person's word, kept in the story."""
    fence = raise_fence(connection, target)
    mine = fences.c.target == target
    was = connection.execute(select(fences.c.forgiven_at).where(mine)).scalar_one()
    connection.execute(update(fences).where(mine).values(forgiven_at=now))
    events.add(
        connection,
        at=now,
        kind="forgiven",
        actor=owner,
        reason=reason,
        note=f"budgets of {target}",
        before={"forgiven_at": was},
        after={"forgiven_at": now, "fence": fence},
    )


def read(connection: Connection, statement: Select[Any]) -> list[Attempt]:
    """Return the attempts that a query over their table finds."""
    return _read(connection.execute(statement).mappings().all())


def _read(rows: Collection[RowMapping]) -> list[Attempt]:
    read = []
    for row in rows:
        values: dict[str, Any] = dict(row)
        values["delivery"] = Delivery(row["delivery"])
        values["state"] = AttemptState(row["state"])
        read.append(Attempt(**values))
    return read
