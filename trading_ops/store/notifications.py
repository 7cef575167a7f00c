"""Webhook bodies, stored raw before they are acknowledged and taken apart afterwards."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import Connection, func, insert, select, update

from trading_ops.store.tables import notifications


class State(StrEnum):
    """Where one notification stands."""

    PENDING = "pending"
    PARSED = "parsed"
    QUARANTINED = "quarantined"
    """It could not be understood; it is kept, and an alert tells of it."""


@dataclass(frozen=True, kw_only=True)
class Notification:
    """One POST, as it came."""

    id: int
    received_at: datetime
    body: bytes


def add(connection: Connection, *, received_at: datetime, body: bytes) -> int:
    """Store one body; return its id."""
    statement = insert(notifications).values(
        received_at=received_at, body=body, state=State.PENDING.value
    )
    key = connection.execute(statement).inserted_primary_key
    assert key is not None  # noqa: S101 - an INSERT of one row always has a key
    return int(key[0])


def newest(connection: Connection, *, limit: int = 200) -> list[Notification]:
    """Return the latest notifications, newest first."""
    rows = connection.execute(
        select(notifications.c.id, notifications.c.received_at, notifications.c.body)
        .order_by(notifications.c.id.desc())
        .limit(limit)
    )
    return [Notification(id=row.id, received_at=row.received_at, body=row.body) for row in rows]


def pending(connection: Connection, *, limit: int = 100) -> list[Notification]:
    """Return what was not taken apart yet, oldest first."""
    rows = connection.execute(
        select(notifications.c.id, notifications.c.received_at, notifications.c.body)
        .where(notifications.c.state == State.PENDING.value)
        .order_by(notifications.c.id)
        .limit(limit)
    )
    return [Notification(id=row.id, received_at=row.received_at, body=row.body) for row in rows]


def finish(connection: Connection, key: int, state: State, *, error: str | None = None) -> None:
    """Record what became of one notification."""
    connection.execute(
        update(notifications)
        .where(notifications.c.id == key)
        .values(state=state.value, error=error)
    )


def count(connection: Connection, state: State) -> int:
    """Return how many notifications are in a state."""
    statement = select(func.count()).where(notifications.c.state == state.value)
    return connection.execute(statement).scalar_one()
