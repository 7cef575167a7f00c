"""Maintenance windows: who works on what, and when. They can be planned ahead."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, insert, or_, select, update

from trading_ops.domain.maintenance import Maintenance, problem
from trading_ops.errors import RequestRefused
from trading_ops.store import events
from trading_ops.store.tables import maintenance


def begin(connection: Connection, window: Maintenance, *, now: datetime) -> Maintenance:
    """Store a window that is planned or starts now; return it with its id.

    Raises:
        RequestRefused: it has ended, is too long, or is too far ahead.
    """
    wrong = problem(window, now)
    if wrong is not None:
        raise RequestRefused(wrong)
    values = _shown(window)
    key = connection.execute(insert(maintenance).values(**values)).inserted_primary_key
    assert key is not None  # noqa: S101 - an INSERT of one row always has a key
    stored = Maintenance(id=int(key[0]), **values)
    events.add(
        connection,
        at=now,
        kind="maintenance_planned" if now < window.begins_at else "maintenance_begun",
        actor=window.owner,
        reason=window.reason,
        note=window.target or "the whole fleet",
        after={"id": stored.id, **values},
    )
    return stored


def begin_once(connection: Connection, window: Maintenance, *, now: datetime) -> Maintenance | None:
    """Store a scheduled window; None if it exists or an operator has ended it.

    Raises:
        RequestRefused: it has ended, or is too far ahead.
    """
    same = (maintenance.c.owner == window.owner, maintenance.c.begins_at == window.begins_at)
    if connection.execute(select(maintenance.c.id).where(*same)).first() is not None:
        return None
    return begin(connection, window, now=now)


def end(connection: Connection, key: int, *, owner: str, now: datetime) -> Maintenance | None:
    """End a window early, or cancel a planned one; None if it has ended or does not exist.

    The event keeps its planned end; the row has its actual end.
    """
    row = connection.execute(
        select(maintenance).where(maintenance.c.id == key, *_standing(now)).with_for_update()
    ).one_or_none()
    if row is None:
        return None
    window = _read(row._mapping)  # noqa: SLF001 - its public name for a row as a mapping
    ends_at = max(now, window.begins_at)
    connection.execute(
        update(maintenance).where(maintenance.c.id == key).values(ends_at=ends_at, ended_by=owner)
    )
    events.add(
        connection,
        at=now,
        kind="maintenance_ended",
        actor=owner,
        note=window.target or "the whole fleet",
        before={"id": window.id, "ends_at": window.ends_at},
        after={"id": window.id, "ends_at": ends_at},
    )
    return window


_PLANNED = (
    select(maintenance)
    .where(maintenance.c.ends_at > bindparam("now"), maintenance.c.ended_by.is_(None))
    .order_by(maintenance.c.begins_at, maintenance.c.id)
)


def current(connection: Connection, *, now: datetime) -> list[Maintenance]:
    """Return the windows that are open now."""
    return [window for window in planned(connection, now=now) if window.begins_at <= now]


def planned(connection: Connection, *, now: datetime) -> list[Maintenance]:
    """Return the open and planned windows, the next one first."""
    return [_read(row) for row in connection.execute(_PLANNED, {"now": now}).mappings()]


def touching(connection: Connection, *, since: datetime, until: datetime) -> list[Maintenance]:
    """Return the windows that started or ended in a period."""
    began, ended = maintenance.c.begins_at, maintenance.c.ends_at
    statement = select(maintenance).where(
        or_((began > since) & (began <= until), (ended > since) & (ended <= until))
    )
    rows = connection.execute(statement.order_by(maintenance.c.id)).mappings()
    return [_read(row) for row in rows]


def _standing(now: datetime) -> tuple[Any, ...]:
    return maintenance.c.ends_at > now, maintenance.c.ended_by.is_(None)


def _shown(window: Maintenance) -> dict[str, Any]:
    return {
        "target": window.target,
        "owner": window.owner,
        "reason": window.reason,
        "begins_at": window.begins_at,
        "ends_at": window.ends_at,
    }


def _read(row: Any) -> Maintenance:
    return Maintenance(**{name: row[name] for name in Maintenance.__dataclass_fields__})
