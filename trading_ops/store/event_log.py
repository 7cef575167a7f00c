"""Reads the timeline: of an incident, about a target, since an event."""

import json
from collections.abc import Collection
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, select

from trading_ops.store.events import Event, as_json
from trading_ops.store.tables import events


def of_incident(connection: Connection, incident_id: str) -> list[Event]:
    """Return the timeline of one incident, in the order in which it was written."""
    statement = select(events).where(events.c.incident_id == incident_id).order_by(events.c.seq)
    return [Event(**row) for row in connection.execute(statement).mappings()]


def about_target(
    connection: Connection,
    target: str,
    *,
    kinds: Collection[str],
    since: datetime,
    until: datetime | None,
    limit: int = 1000,
) -> list[Event]:
    """Return the events of a target itself, without those of incidents, in timeline order.

    Found by time, which is indexed, then filtered by the target in `after`.

    Args:
        connection: to read from.
        target: its name.
        kinds: only these.
        since: from this moment on.
        until: to this moment, inclusive; None: no end.
        limit: maximum number, the oldest first.
    """
    spelt = _spelling(target=target)
    statement = (
        select(events)
        .where(
            events.c.at >= since,
            events.c.kind.in_(sorted(kinds)),
            _contains(spelt),
        )
        # By time, or SQLite would read the whole story in the order of its numbers; and that an
        # event is of no incident is not asked there, or it would read all that are of none.
        .order_by(events.c.at, events.c.seq)
        .limit(limit)
    )
    if until is not None:
        statement = statement.where(events.c.at <= until)
    found = [Event(**row) for row in connection.execute(statement).mappings()]
    # To SQLite's LIKE, `Alpha` is `alpha`.
    told = [one for one in found if one.incident_id is None and spelt in str(one.after)]
    return sorted(told, key=lambda event: event.seq)


def told_by_target(
    connection: Connection, *, kind: str, since: datetime
) -> dict[str, list[datetime]]:
    """Return when events of a kind were written since a moment, by the target in their `after`."""
    found: dict[str, list[datetime]] = {}
    statement = (
        select(events.c.at, events.c.after)
        .where(events.c.at >= since, events.c.kind == kind, events.c.after.is_not(None))
        .order_by(events.c.at)
    )
    for row in connection.execute(statement):
        target = json.loads(row.after).get("target")
        if isinstance(target, str):
            found.setdefault(target, []).append(row.at)
    return found


def is_told(
    connection: Connection, *, kinds: Collection[str], since: datetime, **field: str
) -> bool:
    """Whether there is an event of these kinds, from a moment on, whose `after` has this field."""
    spelt = _spelling(**field)
    found = connection.execute(
        select(events.c.after)
        .where(events.c.at >= since, events.c.kind.in_(sorted(kinds)), _contains(spelt))
        .order_by(events.c.at)
    )
    return any(spelt in str(row.after) for row in found)


def _spelling(**field: str) -> str:
    """Return a field as it is spelt in an event's `after`.

    No other text is stored so: a quote inside a value has a backslash there.
    """
    return str(as_json(field))[1:-1]


def _contains(spelt: str) -> ColumnElement[bool]:
    return events.c.after.contains(spelt, autoescape=True)


def since(connection: Connection, seq: int, *, limit: int = 1000) -> list[Event]:
    """Return what was written after an event, oldest first."""
    statement = select(events).where(events.c.seq > seq).order_by(events.c.seq).limit(limit)
    return [Event(**row) for row in connection.execute(statement).mappings()]


def latest(connection: Connection, *, limit: int = 100) -> list[Event]:
    """Return the newest events, newest first."""
    statement = select(events).order_by(events.c.seq.desc()).limit(limit)
    return [Event(**row) for row in connection.execute(statement).mappings()]
