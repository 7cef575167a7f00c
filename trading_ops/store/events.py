"""The timeline: one row for everything that was received, decided, done or requested. Append-only.

Events of a transaction are collected and written together just before it commits; `audit_chain`
links each to its predecessor.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, bindparam, select

from trading_ops.store.engine import storable
from trading_ops.store.tables import chain, events

_PENDING = "trading_ops.events"

# Built once: each pass runs them, and building them costs more than running them.
_HEAD = select(chain.c.seq).where(chain.c.id == 1)
_TOUCHED = (
    select(events.c.incident_id, events.c.kind).where(events.c.seq > bindparam("seq")).distinct()
)


@dataclass(frozen=True, kw_only=True)
class TimelineEvent:
    """One line of the timeline."""

    seq: int
    at: datetime
    kind: str
    incident_id: str | None
    attempt_id: str | None
    actor: str
    reason: str
    note: str
    before: str | None = None
    """The previous state as JSON, if something changed."""

    after: str | None = None
    mac: str | None = None
    """None: written before the chain existed."""


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
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Append one event; it is written at the end of the transaction."""
    _pending(connection).append(
        {
            "at": at,
            "kind": kind,
            "incident_id": incident_id,
            "attempt_id": attempt_id,
            "actor": storable(actor),
            "reason": storable(str(reason)),
            "note": storable(note),
            "before": as_json(before),
            "after": as_json(after),
        }
    )


def mark(connection: Connection) -> int:
    """Return a mark for `rewind`, for a savepoint that may be rolled back."""
    return len(_pending(connection))


def rewind(connection: Connection, to: int) -> None:
    """Drop the events added since the mark."""
    del _pending(connection)[to:]


def take_pending(connection: Connection) -> list[dict[str, Any]]:
    """Return the events that were added and not yet written, and clear the list."""
    rows: list[dict[str, Any]] = connection.info.pop(_PENDING, [])
    return rows


def head(connection: Connection) -> int:
    """Return the number of the newest event; it increases with every stored change."""
    return int(connection.execute(_HEAD).scalar_one())


def touched(connection: Connection, seq: int) -> set[tuple[str | None, str]]:
    """Return the incident and kind of every event after a number."""
    rows = connection.execute(_TOUCHED, {"seq": seq})
    return {(row.incident_id, row.kind) for row in rows}


def of_incident(connection: Connection, incident_id: str) -> list[TimelineEvent]:
    """Return the timeline of one incident, in the order it was written."""
    statement = select(events).where(events.c.incident_id == incident_id).order_by(events.c.seq)
    return [event_from_row(row) for row in connection.execute(statement).mappings()]


def about_target(
    connection: Connection,
    target: str,
    *,
    kinds: Collection[str],
    since: datetime,
    until: datetime | None,
    limit: int = 1000,
) -> list[TimelineEvent]:
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
    fragment = _json_fragment(target=target)
    statement = (
        select(events)
        .where(
            events.c.at >= since,
            events.c.kind.in_(sorted(kinds)),
            _contains(fragment),
        )
        # Ordered by time, or SQLite would scan all events by number. Events of incidents are
        # filtered out below, or SQLite would use the index of `incident_id` and scan all NULLs.
        .order_by(events.c.at, events.c.seq)
        .limit(limit)
    )
    if until is not None:
        statement = statement.where(events.c.at <= until)
    found = [event_from_row(row) for row in connection.execute(statement).mappings()]
    # To SQLite's LIKE, `Alpha` is `alpha`.
    exact = [event for event in found if event.incident_id is None and fragment in str(event.after)]
    return sorted(exact, key=lambda event: event.seq)


def times_by_target(
    connection: Connection, *, kind: str, since: datetime
) -> dict[str, list[datetime]]:
    """Return the times of events of one kind since `since`, by the target in their `after`."""
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


def exists(
    connection: Connection, *, kinds: Collection[str], since: datetime, **field: str
) -> bool:
    """Whether there is an event of these kinds since `since` whose `after` has this field."""
    fragment = _json_fragment(**field)
    found = connection.execute(
        select(events.c.after)
        .where(events.c.at >= since, events.c.kind.in_(sorted(kinds)), _contains(fragment))
        .order_by(events.c.at)
    )
    return any(fragment in str(row.after) for row in found)


def _json_fragment(**field: str) -> str:
    """Return a field as JSON, as stored in an event's `after`.

    It matches nothing else: quotes inside a value are escaped.
    """
    return str(as_json(field))[1:-1]


def _contains(fragment: str) -> ColumnElement[bool]:
    return events.c.after.contains(fragment, autoescape=True)


def since(connection: Connection, seq: int, *, limit: int = 1000) -> list[TimelineEvent]:
    """Return the events after a number, oldest first."""
    statement = select(events).where(events.c.seq > seq).order_by(events.c.seq).limit(limit)
    return [event_from_row(row) for row in connection.execute(statement).mappings()]


def latest(connection: Connection, *, limit: int = 100) -> list[TimelineEvent]:
    """Return the newest events, newest first."""
    statement = select(events).order_by(events.c.seq.desc()).limit(limit)
    return [event_from_row(row) for row in connection.execute(statement).mappings()]


def event_from_row(row: RowMapping) -> TimelineEvent:
    """Return the event of a row of the table."""
    return TimelineEvent(
        seq=row["seq"],
        at=row["at"],
        kind=row["kind"],
        incident_id=row["incident_id"],
        attempt_id=row["attempt_id"],
        actor=row["actor"],
        reason=row["reason"],
        note=row["note"],
        before=row["before"],
        after=row["after"],
        mac=row["mac"],
    )


def _pending(connection: Connection) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = connection.info.setdefault(_PENDING, [])
    return rows


def as_json(values: Mapping[str, Any] | None) -> str | None:
    """Return the JSON that an event stores as its state before or after."""
    if values is None:
        return None
    return json.dumps(
        values, ensure_ascii=True, separators=(",", ":"), sort_keys=True, default=_json_default
    )


def _json_default(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
