"""What operators suspend automation with: maintenance windows and pauses. Both always end."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, bindparam, insert, or_, select, update

from trading_ops.domain.decision import Pause
from trading_ops.domain.maintenance import Maintenance, RecurringWindow, problem
from trading_ops.errors import RequestRefused
from trading_ops.store import events
from trading_ops.store.tables import maintenance, pauses, recurring_windows


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
    stored = replace(window, id=int(key[0]))
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
        select(maintenance).where(maintenance.c.id == key, *_unended(now)).with_for_update()
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


def history(
    connection: Connection, *, target: str | None, limit: int, now: datetime
) -> list[Maintenance]:
    """Return the windows that have ended or were cancelled, the newest first.

    Args:
        connection: to read from.
        target: only windows of this target, and those of the fleet; None: all.
        limit: maximum number.
        now: the time.
    """
    over = or_(maintenance.c.ends_at <= now, maintenance.c.ended_by.is_not(None))
    statement = select(maintenance).where(over)
    if target is not None:
        concerns = or_(maintenance.c.target == target, maintenance.c.target.is_(None))
        statement = statement.where(concerns)
    newest = statement.order_by(maintenance.c.ends_at.desc(), maintenance.c.id.desc())
    return [_read(row) for row in connection.execute(newest.limit(limit)).mappings()]


def ending_since(connection: Connection, since: datetime) -> list[Maintenance]:
    """Return the windows that ended after a moment, or have not ended."""
    rows = connection.execute(select(maintenance).where(maintenance.c.ends_at > since)).mappings()
    return [_read(row) for row in rows]


def touching(connection: Connection, *, since: datetime, until: datetime) -> list[Maintenance]:
    """Return the windows that started or ended in a period."""
    began, ended = maintenance.c.begins_at, maintenance.c.ends_at
    statement = select(maintenance).where(
        or_((began > since) & (began <= until), (ended > since) & (ended <= until))
    )
    rows = connection.execute(statement.order_by(maintenance.c.id)).mappings()
    return [_read(row) for row in rows]


def order_recurring(connection: Connection, order: RecurringWindow) -> RecurringWindow:
    """Store a recurring window; return it with its id."""
    values = {name: getattr(order, name) for name in _ORDERED}
    key = connection.execute(insert(recurring_windows).values(**values)).inserted_primary_key
    assert key is not None  # noqa: S101 - an INSERT of one row always has a key
    stored = replace(order, id=int(key[0]))
    events.add(
        connection,
        at=order.created_at,
        kind="maintenance_recurring",
        actor=order.owner,
        reason=order.reason,
        note=order.target or "the whole fleet",
        after={"id": stored.id, **values},
    )
    return stored


def recurring(connection: Connection) -> list[RecurringWindow]:
    """Return the recurring windows that no one has ended, the oldest first."""
    statement = select(recurring_windows).where(recurring_windows.c.ended_at.is_(None))
    rows = connection.execute(statement.order_by(recurring_windows.c.id)).mappings()
    return [_read_recurring(row) for row in rows]


def plan_recurring(
    connection: Connection, key: int, window: Maintenance, *, now: datetime
) -> Maintenance | None:
    """Store the next window of a recurring one; None if it exists, or the recurring one ended."""
    standing = select(recurring_windows.c.id).where(
        recurring_windows.c.id == key, recurring_windows.c.ended_at.is_(None)
    )
    if connection.execute(standing.with_for_update()).first() is None:
        return None
    return begin_once(connection, window, now=now)


def end_recurring(
    connection: Connection, key: int, *, owner: str, now: datetime
) -> RecurringWindow | None:
    """End a recurring window and its open or planned windows; None: it has ended or is unknown."""
    order = next((recurrence for recurrence in recurring(connection) if recurrence.id == key), None)
    ended = (
        update(recurring_windows)
        .where(recurring_windows.c.id == key, recurring_windows.c.ended_at.is_(None))
        .values(ended_at=now, ended_by=owner)
    )
    if order is None or not connection.execute(ended).rowcount:
        return None
    events.add(
        connection,
        at=now,
        kind="maintenance_recurring_ended",
        actor=owner,
        note=order.target or "the whole fleet",
        before={"id": key},
    )
    for window in planned(connection, now=now):
        if window.owner == order.owner_of_windows:
            end(connection, window.id, owner=owner, now=now)
    return order


_ORDERED = ("target", "owner", "reason", "every", "zone", "seconds", "created_at")


def _unended(now: datetime) -> tuple[Any, ...]:
    return maintenance.c.ends_at > now, maintenance.c.ended_by.is_(None)


def _shown(window: Maintenance) -> dict[str, Any]:
    return {
        "target": window.target,
        "owner": window.owner,
        "reason": window.reason,
        "begins_at": window.begins_at,
        "ends_at": window.ends_at,
    }


def _read(row: RowMapping) -> Maintenance:
    return Maintenance(
        id=row["id"],
        target=row["target"],
        owner=row["owner"],
        reason=row["reason"],
        begins_at=row["begins_at"],
        ends_at=row["ends_at"],
        ended_by=row["ended_by"],
    )


def _read_recurring(row: RowMapping) -> RecurringWindow:
    return RecurringWindow(
        id=row["id"],
        target=row["target"],
        owner=row["owner"],
        reason=row["reason"],
        every=row["every"],
        zone=row["zone"],
        seconds=row["seconds"],
        created_at=row["created_at"],
    )


_LONGEST = (
    select(pauses.c.owner, pauses.c.reason, pauses.c.expires_at)
    .where(pauses.c.ended_at.is_(None), pauses.c.expires_at > bindparam("now"))
    .order_by(pauses.c.expires_at.desc())
    .limit(1)
)


def current_pause(connection: Connection, *, now: datetime) -> Pause | None:
    """Return the pause in force; of several, the one that ends last."""
    row = connection.execute(_LONGEST, {"now": now}).one_or_none()
    if row is None:
        return None
    return Pause(owner=row.owner, reason=row.reason, expires_at=row.expires_at)


def begin_pause(connection: Connection, pause: Pause, *, now: datetime) -> int:
    """Pause automation; return the ID of the pause, to end_pause only this one."""
    key = connection.execute(
        insert(pauses).values(
            owner=pause.owner, reason=pause.reason, begins_at=now, expires_at=pause.expires_at
        )
    ).inserted_primary_key
    assert key is not None  # noqa: S101 - an INSERT of one row always has a key
    events.add(
        connection,
        at=now,
        kind="paused",
        actor=pause.owner,
        note=pause.reason,
        after={"pause": int(key[0]), "expires_at": pause.expires_at},
    )
    return int(key[0])


def end_pause(connection: Connection, *, owner: str, now: datetime, only: int | None = None) -> int:
    """End the pauses in force, or only one of them; return how many ended."""
    in_force = [pauses.c.ended_at.is_(None), pauses.c.expires_at > now]
    if only is not None:
        in_force.append(pauses.c.id == only)
    columns = (pauses.c.id, pauses.c.owner, pauses.c.expires_at)
    active = connection.execute(select(*columns).where(*in_force)).all()
    ended = connection.execute(
        update(pauses).where(*in_force).values(ended_at=now, ended_by=owner)
    ).rowcount
    if ended:
        before = [row._asdict() for row in active]
        events.add(
            connection,
            at=now,
            kind="unpaused",
            actor=owner,
            before={"pauses": before},
            after={"pauses": [], "ended": [row.id for row in active]},
        )
    return ended
