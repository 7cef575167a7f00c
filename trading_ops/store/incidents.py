"""Incidents: at most one open for each fingerprint, by a unique index."""

import uuid
from datetime import datetime

from sqlalchemy import Connection, insert, select, update

from trading_ops.domain.alert import Alert, Fingerprint
from trading_ops.domain.attempt import AttemptState
from trading_ops.domain.decision import Close, Escalate
from trading_ops.domain.incident import Incident
from trading_ops.store import events
from trading_ops.store.tables import attempts, incidents


def open_or_find(
    connection: Connection,
    alert: Alert,
    *,
    target: str | None,
    received_at: datetime,
    now: datetime,
    source: str,
) -> tuple[str, bool]:
    """Return the id of the alert's open incident, opening one if there is none, and whether so.

    Idempotent: duplicates and late arrivals find what is already there.
    """
    found = connection.execute(
        select(incidents.c.id).where(
            incidents.c.fingerprint == alert.fingerprint, incidents.c.closed_at.is_(None)
        )
    ).scalar_one_or_none()
    if found is not None:
        return found, False
    key = str(uuid.uuid4())
    connection.execute(
        insert(incidents).values(
            id=key,
            fingerprint=alert.fingerprint,
            alert=alert.name,
            target=target,
            labels=dict(alert.labels),
            annotations=dict(alert.annotations),
            starts_at=alert.starts_at,
            received_at=received_at,
            opened_at=now,
        )
    )
    events.add(connection, at=received_at, kind="received", incident_id=key, note=source)
    events.add(connection, at=now, kind="opened", incident_id=key, note=alert.name)
    return key, True


def note_resolved(
    connection: Connection, fingerprint: Fingerprint, *, ends_at: datetime, now: datetime
) -> None:
    """Keep Alertmanager's word that an episode ended; it ends every one begun before `ends_at`."""
    row = connection.execute(
        select(incidents.c.id, incidents.c.resolved_at).where(
            incidents.c.fingerprint == fingerprint,
            incidents.c.closed_at.is_(None),
            incidents.c.starts_at <= ends_at,
        )
    ).one_or_none()
    if row is None or (row.resolved_at is not None and row.resolved_at >= ends_at):
        return
    connection.execute(
        update(incidents).where(incidents.c.id == row.id).values(resolved_at=ends_at)
    )
    events.add(connection, at=now, kind="resolved", incident_id=row.id, note="by Alertmanager")


def forget_resolved(connection: Connection, key: str, *, now: datetime) -> None:
    """Drop Alertmanager's word that the episode ended: the alert was seen since."""
    connection.execute(update(incidents).where(incidents.c.id == key).values(resolved_at=None))
    events.add(connection, at=now, kind="seen_again", incident_id=key)


def escalate(connection: Connection, key: str, decision: Escalate, *, now: datetime) -> bool:
    """Hand an incident to a person, once; return whether this call did it."""
    changed = connection.execute(
        update(incidents)
        .where(
            incidents.c.id == key,
            incidents.c.escalated_at.is_(None),
            incidents.c.closed_at.is_(None),
        )
        .values(escalated_at=now)
    ).rowcount
    if changed:
        events.add(
            connection,
            at=now,
            kind="escalated",
            incident_id=key,
            reason=decision.reason,
            note=decision.note,
        )
    return bool(changed)


def close(connection: Connection, key: str, decision: Close, *, now: datetime) -> bool:
    """End an incident, once; an attempt that still holds the target lets go of it."""
    changed = connection.execute(
        update(incidents)
        .where(incidents.c.id == key, incidents.c.closed_at.is_(None))
        .values(closed_at=now, close_reason=decision.reason.value)
    ).rowcount
    if not changed:
        return False
    connection.execute(
        update(attempts)
        .where(
            attempts.c.incident_id == key,
            attempts.c.state.in_([AttemptState.UNKNOWN.value, AttemptState.SUCCEEDED.value]),
        )
        .values(state=AttemptState.UNVERIFIED.value)
    )
    events.add(
        connection,
        at=now,
        kind="closed",
        incident_id=key,
        reason=decision.reason,
        note=decision.note,
    )
    return True


def open_ones(connection: Connection) -> list[Incident]:
    """Return all open incidents, oldest first."""
    statement = select(incidents).where(incidents.c.closed_at.is_(None))
    rows = connection.execute(statement.order_by(incidents.c.opened_at)).mappings()
    return [Incident(**row) for row in rows]


def find(connection: Connection, key: str) -> Incident | None:
    """Return one incident by its id, or by a beginning of it that only one has."""
    escaped = key.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    rows = (
        connection.execute(
            select(incidents).where(incidents.c.id.like(f"{escaped}%", escape="\\")).limit(2)
        )
        .mappings()
        .all()
    )
    return Incident(**rows[0]) if len(rows) == 1 else None


def search(
    connection: Connection,
    *,
    only_open: bool = False,
    target: str | None = None,
    alert: str | None = None,
    since: datetime | None = None,
    limit: int = 100,
) -> list[Incident]:
    """Return incidents, newest first."""
    statement = select(incidents).order_by(incidents.c.opened_at.desc()).limit(limit)
    if only_open:
        statement = statement.where(incidents.c.closed_at.is_(None))
    if target is not None:
        statement = statement.where(incidents.c.target == target)
    if alert is not None:
        statement = statement.where(incidents.c.alert == alert)
    if since is not None:
        statement = statement.where(incidents.c.opened_at >= since)
    return [Incident(**row) for row in connection.execute(statement).mappings()]
