"""Search: filters and pages over incidents, attempts and events."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, and_, case, func, or_, select

from trading_ops.domain.attempt import Attempt, AttemptState, Delivery
from trading_ops.domain.incident import Incident
from trading_ops.store.events import Event
from trading_ops.store.tables import EPOCH, attempts, events, incidents


@dataclass(frozen=True)
class Place:
    """Where a page ended: the moment and the id of its last row."""

    at: datetime
    id: str

    def __str__(self) -> str:
        """Return it as a cursor: what `read_place` understands."""
        return f"{(self.at - EPOCH) // timedelta(microseconds=1)}_{self.id}"


def read_place(cursor: str) -> Place | None:
    """Decode a cursor, or return None if it is invalid."""
    microseconds, _, key = cursor.partition("_")
    if not (microseconds.isascii() and microseconds.isdecimal() and key):
        return None
    try:
        return Place(EPOCH + timedelta(microseconds=int(microseconds)), key)
    except (OverflowError, ValueError):
        return None


@dataclass(frozen=True, kw_only=True)
class Span:
    """From a moment on, until before another; None: no bound."""

    since: datetime | None = None
    until: datetime | None = None

    def holds(self, column: ColumnElement[Any]) -> list[ColumnElement[bool]]:
        """Return the conditions."""
        found: list[ColumnElement[bool]] = []
        if self.since is not None:
            found.append(column >= self.since)
        if self.until is not None:
            found.append(column < self.until)
        return found


def find_incidents(
    connection: Connection,
    *,
    only_open: bool = False,
    target: str | None = None,
    alert: str | None = None,
    span: Span,
    after: Place | None = None,
    limit: int,
) -> list[Incident]:
    """Return incidents, newest first."""
    table = incidents
    where = [*_equal(table, target=target, alert=alert), *span.holds(table.c.opened_at)]
    if only_open:
        where.append(table.c.closed_at.is_(None))
    if after is not None:
        where.append(_older(table.c.opened_at, table.c.id, after))
    statement = select(table).where(*where).order_by(table.c.opened_at.desc(), table.c.id.desc())
    return [Incident(**row) for row in connection.execute(statement.limit(limit)).mappings()]


def find_attempts(
    connection: Connection,
    *,
    incident_id: str | None = None,
    target: str | None = None,
    action: str | None = None,
    state: AttemptState | None = None,
    span: Span,
    after: Place | None = None,
    limit: int,
) -> list[Attempt]:
    """Return attempts, newest first."""
    table = attempts
    where = _equal(table, incident_id=incident_id, target=target, action=action, state=state)
    where += span.holds(table.c.started_at)
    if after is not None:
        where.append(_older(table.c.started_at, table.c.id, after))
    statement = select(table).where(*where).order_by(table.c.started_at.desc(), table.c.id.desc())
    return [_attempt(row) for row in connection.execute(statement.limit(limit)).mappings()]


def find_attempt(connection: Connection, key: str) -> tuple[Attempt, list[Event]] | None:
    """Return one attempt and what was written about it, or None."""
    row = connection.execute(select(attempts).where(attempts.c.id == key)).mappings().first()
    if row is None:
        return None
    attempt = _attempt(row)
    about = events.c.attempt_id == key
    if attempt.incident_id is not None:
        # The incident's events have an index; those of an attempt alone have the time.
        about = and_(about, events.c.incident_id == attempt.incident_id)
    else:
        about = and_(about, events.c.at >= attempt.started_at)
    found = connection.execute(select(events).where(about).order_by(events.c.seq)).mappings()
    return attempt, [Event(**event) for event in found]


def find_events(
    connection: Connection,
    *,
    kind: str | None = None,
    reason: str | None = None,
    incident_id: str | None = None,
    attempt_id: str | None = None,
    actor: str | None = None,
    target: str | None = None,
    span: Span,
    after: int | None = None,
    before: int | None = None,
    limit: int,
) -> list[Event]:
    """Return events: the newest first, or with `after` those that follow it, oldest first."""
    column = events.c.seq
    where = _equal(
        events,
        kind=kind,
        reason=reason,
        incident_id=incident_id,
        attempt_id=attempt_id,
        actor=actor,
    )
    where += span.holds(events.c.at)
    if target is not None:
        of_incident = select(incidents.c.id).where(incidents.c.target == target)
        of_attempt = select(attempts.c.id).where(attempts.c.target == target)
        where.append(
            or_(events.c.incident_id.in_(of_incident), events.c.attempt_id.in_(of_attempt))
        )
    if before is not None:
        where.append(column < before)
    if after is not None:
        where.append(column > after)
    order = column.desc() if after is None else column
    statement = select(events).where(*where).order_by(order).limit(limit)
    return [Event(**row) for row in connection.execute(statement).mappings()]


@dataclass(frozen=True, kw_only=True)
class LastDecision:
    """What was last decided for an incident."""

    kind: str
    reason: str
    note: str


def last_decisions(connection: Connection, ids: Sequence[str]) -> dict[str, LastDecision]:
    """Return what was last decided for each of these incidents, if anything was."""
    newest = (
        select(func.max(events.c.seq))
        .where(events.c.incident_id.in_(ids), events.c.kind.startswith("decided_", autoescape=True))
        .group_by(events.c.incident_id)
    )
    rows = connection.execute(select(events).where(events.c.seq.in_(newest)))
    return {
        row.incident_id: LastDecision(kind=row.kind, reason=row.reason, note=row.note)
        for row in rows
    }


@dataclass(frozen=True, kw_only=True)
class Counted:
    """How many events there were of one kind and reason."""

    kind: str
    reason: str
    count: int


def count_events(connection: Connection, span: Span) -> list[Counted]:
    """Return how many events there were of each kind and reason, the most frequent first."""
    # Operators' reasons are free text; only the reconciler's reasons are counted.
    reason = case((events.c.actor == "reconciler", events.c.reason), else_="").label("reason")
    told = select(events.c.kind, reason).where(*span.holds(events.c.at)).subquery()
    number = func.count().label("number")
    statement = (
        select(told.c.kind, told.c.reason, number)
        .group_by(told.c.kind, told.c.reason)
        .order_by(number.desc(), told.c.kind, told.c.reason)
    )
    return [
        Counted(kind=row.kind, reason=row.reason, count=int(row.number))
        for row in connection.execute(statement)
    ]


def open_by_target(connection: Connection) -> Mapping[str | None, int]:
    """Return how many incidents are open, by target."""
    statement = (
        select(incidents.c.target, func.count().label("number"))
        .where(incidents.c.closed_at.is_(None))
        .group_by(incidents.c.target)
    )
    return {row.target: int(row.number) for row in connection.execute(statement)}


def oldest_open(connection: Connection, *, limit: int) -> list[Incident]:
    """Return the oldest open incidents, up to a limit."""
    statement = select(incidents).where(incidents.c.closed_at.is_(None))
    rows = connection.execute(statement.order_by(incidents.c.opened_at).limit(limit)).mappings()
    return [Incident(**row) for row in rows]


def _equal(table: Table, **wanted: object) -> list[ColumnElement[bool]]:
    return [table.c[name] == value for name, value in wanted.items() if value is not None]


def _older(at: ColumnElement[Any], key: ColumnElement[Any], place: Place) -> ColumnElement[bool]:
    return or_(at < place.at, and_(at == place.at, key < place.id))


def _attempt(row: Mapping[Any, Any]) -> Attempt:
    values: dict[str, Any] = dict(row)
    values["delivery"] = Delivery(values["delivery"])
    values["state"] = AttemptState(values["state"])
    return Attempt(**values)
