"""The story: one row for everything that was received, decided, done or ordered. Append-only."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, insert, select

from trading_ops.store.tables import events


@dataclass(frozen=True, kw_only=True)
class Event:
    """One line of the story."""

    seq: int
    at: datetime
    kind: str
    incident_id: str | None
    attempt_id: str | None
    actor: str
    reason: str
    note: str


def add(
    connection: Connection,
    *,
    at: datetime,
    kind: str,
    incident_id: str | None = None,
    attempt_id: str | None = None,
    actor: str = "reconciler",
    reason: str = "",
    note: str = "",
) -> None:
    """Append one event."""
    connection.execute(
        insert(events).values(
            at=at,
            kind=kind,
            incident_id=incident_id,
            attempt_id=attempt_id,
            actor=actor,
            reason=str(reason),
            note=note,
        )
    )


def of_incident(connection: Connection, incident_id: str) -> list[Event]:
    """Return the story of one incident, in the order in which it was written."""
    statement = select(events).where(events.c.incident_id == incident_id).order_by(events.c.seq)
    return [Event(**row) for row in connection.execute(statement).mappings()]


def latest(connection: Connection, *, limit: int = 100) -> list[Event]:
    """Return the newest events, newest first."""
    statement = select(events).order_by(events.c.seq.desc()).limit(limit)
    return [Event(**row) for row in connection.execute(statement).mappings()]
