"""Webhook bodies, stored raw before they are acknowledged and parsed later."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import Connection, Integer, bindparam, delete, func, insert, select, update

from trading_ops.store import events
from trading_ops.store.tables import notifications


class NotificationState(StrEnum):
    """The state of one notification."""

    PENDING = "pending"
    PARSED = "parsed"
    QUARANTINED = "quarantined"
    """It could not be parsed; it is kept and an alert fires."""


@dataclass(frozen=True, kw_only=True)
class Notification:
    """One POST as received."""

    id: int
    received_at: datetime
    body: bytes


# Built once: every notification uses them, and building them costs more than running them.
_ADD = insert(notifications)
_COUNT = select(func.count()).where(notifications.c.state == bindparam("state"))
_LENGTHS = (
    select(notifications.c.id, func.length(notifications.c.body).label("size"))
    .where(
        notifications.c.state == NotificationState.PENDING.value,
        notifications.c.id > bindparam("after"),
    )
    .order_by(notifications.c.id)
    .limit(bindparam("limit", type_=Integer()))
)
_BODIES = (
    select(notifications.c.id, notifications.c.received_at, notifications.c.body)
    .where(notifications.c.id.in_(bindparam("ids", expanding=True)))
    .order_by(notifications.c.id)
)
_STILL_PENDING = (
    select(notifications.c.id)
    .where(
        notifications.c.id.in_(bindparam("ids", expanding=True)),
        notifications.c.state == NotificationState.PENDING.value,
    )
    .with_for_update(skip_locked=True)
)
_FINISH = update(notifications).where(notifications.c.id == bindparam("key"))


def add(connection: Connection, *, received_at: datetime, body: bytes) -> int:
    """Store one body; return its id."""
    row = {"received_at": received_at, "body": body, "state": NotificationState.PENDING.value}
    key = connection.execute(_ADD, row).inserted_primary_key
    assert key is not None  # noqa: S101 - an INSERT of one row always has a key
    return int(key[0])


def pending(
    connection: Connection, *, after: int = 0, limit: int = 200, size: int = 4 * 1024 * 1024
) -> list[Notification]:
    """Return unprocessed notifications, oldest first.

    Args:
        connection: to read from.
        after: only those with a greater id.
        limit: maximum number.
        size: maximum total size in bytes, but always at least one notification.
    """
    lengths = connection.execute(_LENGTHS, {"after": after, "limit": limit}).all()
    total = 0
    ids: list[int] = []
    for row in lengths:
        total += row.size
        if ids and total > size:
            break
        ids.append(row.id)
    found = connection.execute(_BODIES, {"ids": ids})
    return [Notification(id=row.id, received_at=row.received_at, body=row.body) for row in found]


def claim(connection: Connection, ids: Sequence[int]) -> set[int]:
    """Return the notifications that no other replica has processed or is processing."""
    return set(connection.execute(_STILL_PENDING, {"ids": ids}).scalars())


def watchdog_last_seen(connection: Connection) -> datetime | None:
    """Return when the Watchdog last arrived, or None."""
    statement = select(func.max(notifications.c.received_at)).where(notifications.c.watchdog)
    return connection.execute(statement).scalar_one_or_none()


def prune(
    connection: Connection,
    *,
    before: datetime,
    now: datetime,
    state: NotificationState = NotificationState.PARSED,
    limit: int = 500,
) -> int:
    """Delete bodies in one state older than a moment, up to a limit; return how many."""
    old = (
        select(notifications.c.id)
        .where(notifications.c.state == state.value, notifications.c.received_at < before)
        .limit(limit)
    )
    gone = connection.execute(delete(notifications).where(notifications.c.id.in_(old))).rowcount
    if gone:
        # Their hashes stay in the events.
        note = f"{gone} bodies of {state} notifications from before {before.isoformat()}"
        events.add(connection, at=now, kind="pruned", note=note, after={"deleted": gone})
    return gone


def finish(
    connection: Connection,
    key: int,
    state: NotificationState,
    *,
    error: str | None = None,
    watchdog: bool = False,
) -> None:
    """Record the outcome of one notification, and whether it contained the Watchdog."""
    connection.execute(
        _FINISH, {"key": key, "state": state.value, "error": error, "watchdog": watchdog}
    )


def count(connection: Connection, state: NotificationState) -> int:
    """Return how many notifications are in a state."""
    return connection.execute(_COUNT, {"state": state.value}).scalar_one()
