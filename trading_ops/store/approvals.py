"""Approvals: requested once, decided by another operator, valid for one start and a short time."""

import uuid
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, func, or_, select, update

from trading_ops.domain.approval import (
    APPROVAL_LASTS,
    REQUEST_LASTS,
    Approval,
    ApprovalState,
    digest,
    same_person,
)
from trading_ops.errors import RequestRefused
from trading_ops.store import events
from trading_ops.store.engine import upsert
from trading_ops.store.tables import approvals, incidents

OPEN = (ApprovalState.PENDING, ApprovalState.APPROVED)
"""States that can still lead to a start."""


def request(
    connection: Connection,
    *,
    incident_id: str | None,
    action: str,
    target: str,
    params: Mapping[str, str],
    step: int | None,
    requested_by: str,
    now: datetime,
) -> Approval:
    """Request an approval; return the open request, or a new one if there is none."""
    bound = digest(incident_id=incident_id, action=action, target=target, params=params, step=step)
    latest = usable(connection, bound, now=now, states=OPEN)
    if latest is not None:
        return latest
    _expire(connection, bound, now)
    pending = _count(connection, bound)
    # Deterministic, so that two replicas that request it at once create one request.
    key = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{bound}:{pending}"))
    statement = (
        upsert(connection, approvals)
        .on_conflict_do_nothing()
        .values(
            id=key,
            incident_id=incident_id,
            action=action,
            target=target,
            params=dict(params),
            digest=bound,
            requested_by=requested_by,
            requested_at=now,
            expires_at=now + REQUEST_LASTS,
            state=ApprovalState.PENDING,
        )
    )
    if connection.execute(statement).rowcount:
        events.add(
            connection,
            at=now,
            kind="approval_requested",
            incident_id=incident_id,
            actor=requested_by,
            note=f"{action} on {target}",
            after={"id": key, "params": dict(params), "digest": bound},
        )
    return _one(connection, key)


def approve(connection: Connection, key: str, *, owner: str, now: datetime) -> Approval:
    """Approve a pending request; return it.

    Raises:
        RequestRefused: no such request, already answered, expired, or the operator's own.
    """
    approval = _pending(connection, key, now)
    if same_person(owner, approval.requested_by):
        raise RequestRefused(
            f"{approval.requested_by} requested it: another operator must approve it"
        )
    return _answer(connection, approval, ApprovalState.APPROVED, owner, now, now + APPROVAL_LASTS)


def deny(connection: Connection, key: str, *, owner: str, now: datetime) -> Approval:
    """Deny a pending request. An operator may deny their own request to withdraw it.

    Raises:
        RequestRefused: no such request, already answered, or expired.
    """
    approval = _pending(connection, key, now)
    return _answer(connection, approval, ApprovalState.DENIED, owner, now, approval.expires_at)


def usable(
    connection: Connection,
    bound: str,
    *,
    now: datetime,
    states: Collection[ApprovalState] = (ApprovalState.APPROVED,),
) -> Approval | None:
    """Return the approval that is valid for this digest now, or None."""
    statement = select(approvals).where(
        approvals.c.digest == bound, approvals.c.state.in_(states), approvals.c.expires_at > now
    )
    row = connection.execute(_newest(statement).limit(1)).mappings().one_or_none()
    return None if row is None else _from_row(row)


def use(connection: Connection, bound: str, *, attempt_id: str | None, now: datetime) -> bool:
    """Mark the approval for this digest as used, in the transaction that starts what was approved.

    `attempt_id` is None for a release of holds, which has no attempt. Returns False if no approval
    is valid now; then nothing may start.
    """
    given = usable(connection, bound, now=now)
    if given is None:
        return False
    changed = connection.execute(
        update(approvals)
        .where(
            approvals.c.id == given.id,
            approvals.c.state == ApprovalState.APPROVED,
            approvals.c.expires_at > now,
        )
        .values(state=ApprovalState.USED)
    ).rowcount
    if changed:
        events.add(
            connection,
            at=now,
            kind="approval_used",
            incident_id=given.incident_id,
            attempt_id=attempt_id,
            note=f"{given.action} on {given.target}, approved by {given.decided_by}",
            before={"id": given.id, "state": ApprovalState.APPROVED},
            after={"id": given.id, "state": ApprovalState.USED},
        )
    return bool(changed)


def active(connection: Connection, *, now: datetime) -> dict[str, Approval]:
    """Return the latest request for each digest that may still matter.

    These are the requests of open incidents, and unexpired ones for manual actions.
    """
    of_open = (
        select(incidents.c.id)
        .where(incidents.c.id == approvals.c.incident_id, incidents.c.closed_at.is_(None))
        .exists()
    )
    manual = approvals.c.incident_id.is_(None) & (approvals.c.expires_at > now)
    rows = connection.execute(
        select(approvals)
        .where(or_(of_open, manual))
        .order_by(approvals.c.requested_at, approvals.c.expires_at)
    ).mappings()
    return {row["digest"]: _from_row(row) for row in rows}


def find(connection: Connection, key: str) -> Approval | None:
    """Return one request by its ID or a unique prefix of it."""
    where = approvals.c.id.startswith(key, autoescape=True)
    rows = connection.execute(select(approvals).where(where).limit(2)).mappings().all()
    return _from_row(rows[0]) if len(rows) == 1 else None


def search(
    connection: Connection,
    *,
    state: ApprovalState | None = None,
    incident_id: str | None = None,
    limit: int = 100,
) -> list[Approval]:
    """Return requests, newest first; `state_at` of each tells whether it has expired."""
    statement = _newest(select(approvals)).limit(limit)
    if state is not None:
        statement = statement.where(approvals.c.state == state)
    if incident_id is not None:
        statement = statement.where(approvals.c.incident_id == incident_id)
    return [_from_row(row) for row in connection.execute(statement).mappings()]


def _pending(connection: Connection, key: str, now: datetime) -> Approval:
    statement = select(approvals).where(approvals.c.id == key).with_for_update()
    row = connection.execute(statement).mappings().one_or_none()
    if row is None:
        raise RequestRefused(f"unknown request {key}")
    approval = _from_row(row)
    if (found := approval.state_at(now)) is not ApprovalState.PENDING:
        raise RequestRefused(f"the request is not open any more: it is {found}")
    return approval


def _answer(
    connection: Connection,
    approval: Approval,
    state: ApprovalState,
    owner: str,
    now: datetime,
    expires_at: datetime,
) -> Approval:
    connection.execute(
        update(approvals)
        .where(approvals.c.id == approval.id)
        .values(state=state, decided_by=owner, decided_at=now, expires_at=expires_at)
    )
    events.add(
        connection,
        at=now,
        kind=state,
        incident_id=approval.incident_id,
        actor=owner,
        note=f"{approval.action} on {approval.target}, requested by {approval.requested_by}",
        before={"id": approval.id, "state": approval.state, "expires_at": approval.expires_at},
        after={"id": approval.id, "state": state, "expires_at": expires_at},
    )
    return _one(connection, approval.id)


def _expire(connection: Connection, bound: str, now: datetime) -> None:
    """Mark unused requests as expired."""
    over = (approvals.c.digest == bound, approvals.c.state.in_(OPEN), approvals.c.expires_at <= now)
    rows = connection.execute(select(approvals).where(*over)).mappings().all()
    if rows:
        connection.execute(update(approvals).where(*over).values(state=ApprovalState.EXPIRED))
    for row in rows:
        events.add(
            connection,
            at=now,
            kind="approval_expired",
            incident_id=row["incident_id"],
            note=f"{row['action']} on {row['target']}",
            before={"id": row["id"], "state": row["state"], "expires_at": row["expires_at"]},
            after={"id": row["id"], "state": ApprovalState.EXPIRED},
        )


def _count(connection: Connection, bound: str) -> int:
    statement = select(func.count()).select_from(approvals).where(approvals.c.digest == bound)
    return int(connection.execute(statement).scalar_one())


def _one(connection: Connection, key: str) -> Approval:
    row = connection.execute(select(approvals).where(approvals.c.id == key)).mappings().one()
    return _from_row(row)


def _newest(statement: Select[Any]) -> Select[Any]:
    return statement.order_by(approvals.c.requested_at.desc(), approvals.c.expires_at.desc())


def _from_row(row: RowMapping) -> Approval:
    """Return the approval of a row of the table."""
    return Approval(
        id=row["id"],
        incident_id=row["incident_id"],
        action=row["action"],
        target=row["target"],
        params=row["params"],
        digest=row["digest"],
        requested_by=row["requested_by"],
        requested_at=row["requested_at"],
        expires_at=row["expires_at"],
        state=ApprovalState(row["state"]),
        decided_by=row["decided_by"],
        decided_at=row["decided_at"],
    )
