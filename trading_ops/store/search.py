"""Search: filters and pages over incidents, attempts and events."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Integer,
    MappingResult,
    Select,
    Table,
    and_,
    bindparam,
    case,
    exists,
    func,
    or_,
    select,
)

from trading_ops.domain.attempt import Attempt, AttemptState
from trading_ops.domain.incident import Incident
from trading_ops.store.attempts import attempt_from_row
from trading_ops.store.engine import EPOCH
from trading_ops.store.events import TimelineEvent, event_from_row
from trading_ops.store.incidents import incident_from_row
from trading_ops.store.tables import acknowledgements, attempts, events, incidents

Order = tuple[ColumnElement[Any], ...]


@dataclass(frozen=True)
class PagePosition:
    """Where a page ended: time and id of its last row."""

    at: datetime
    id: str

    def __str__(self) -> str:
        """Return it as a cursor, for `read_position`."""
        return f"{(self.at - EPOCH) // timedelta(microseconds=1)}_{self.id}"


def read_position(cursor: str) -> PagePosition | None:
    """Decode a cursor, or return None if it is invalid."""
    microseconds, _, key = cursor.partition("_")
    if not (microseconds.isascii() and microseconds.isdecimal() and key):
        return None
    try:
        return PagePosition(EPOCH + timedelta(microseconds=int(microseconds)), key)
    except (OverflowError, ValueError):
        return None


@dataclass(frozen=True, kw_only=True)
class TimeRange:
    """From the first time, inclusive, to the second, exclusive; None: no bound."""

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


class _Pages:
    """The SELECT for pages of one table.

    Built once per combination of filters: building it costs more than running it.
    """

    def __init__(
        self, table: Table, at: Column[Any], filters: dict[str, ColumnElement[bool]], order: Order
    ) -> None:
        self._table = table
        self._filters = filters | {
            "since": at >= bindparam("since"),
            "until": at < bindparam("until"),
        }
        self._order = order
        self._built: dict[frozenset[str], Select[Any]] = {}

    def read(
        self, connection: Connection, span: TimeRange, limit: int, **wanted: object
    ) -> MappingResult:
        """Return a page of rows; filters that are None are ignored."""
        wanted |= {"since": span.since, "until": span.until}
        given = {name: value for name, value in wanted.items() if value is not None}
        statement = self._built.get(names := frozenset(given))
        if statement is None:
            where = [self._filters[name] for name in given if name in self._filters]
            statement = select(self._table).where(*where).order_by(*self._order).limit(_LIMIT)
            self._built[names] = statement
        return connection.execute(statement, given | {"limit": limit}).mappings()


_LIMIT = bindparam("limit", type_=Integer())


def _equal(*columns: Column[Any]) -> dict[str, ColumnElement[bool]]:
    return {column.name: column == bindparam(column.name) for column in columns}


def _one_of(target: Column[Any]) -> ColumnElement[bool]:
    return target.in_(bindparam("targets", expanding=True))


def _newest(at: Column[Any], key: Column[Any]) -> Order:
    return (at.desc(), key.desc())


def _older(at: Column[Any], key: Column[Any]) -> ColumnElement[bool]:
    begin, before = bindparam("after_at", type_=at.type), bindparam("after_id", type_=key.type)
    return or_(at < begin, and_(at == begin, key < before))


def _after(place: PagePosition | None) -> dict[str, object]:
    return {"after_at": place.at, "after_id": place.id} if place else {}


_INCIDENTS = _Pages(
    incidents,
    incidents.c.opened_at,
    _equal(incidents.c.target, incidents.c.alert)
    | {
        "targets": _one_of(incidents.c.target),
        "only_open": incidents.c.closed_at.is_(None),
        "after_at": _older(incidents.c.opened_at, incidents.c.id),
    },
    _newest(incidents.c.opened_at, incidents.c.id),
)
_ATTEMPTS = _Pages(
    attempts,
    attempts.c.started_at,
    _equal(attempts.c.incident_id, attempts.c.target, attempts.c.action, attempts.c.state)
    | {
        "targets": _one_of(attempts.c.target),
        "after_at": _older(attempts.c.started_at, attempts.c.id),
    },
    _newest(attempts.c.started_at, attempts.c.id),
)
_OF_INCIDENT = select(incidents.c.id).where(incidents.c.target == bindparam("target"))
_OF_ATTEMPT = select(attempts.c.id).where(attempts.c.target == bindparam("target"))
_EVENT_FILTERS = _equal(
    events.c.kind, events.c.reason, events.c.incident_id, events.c.attempt_id, events.c.actor
) | {
    "target": or_(events.c.incident_id.in_(_OF_INCIDENT), events.c.attempt_id.in_(_OF_ATTEMPT)),
    "before": events.c.seq < bindparam("before"),
    "after": events.c.seq > bindparam("after"),
}
_EVENTS_BACKWARDS = _Pages(events, events.c.at, _EVENT_FILTERS, (events.c.seq.desc(),))
_EVENTS_FORWARDS = _Pages(events, events.c.at, _EVENT_FILTERS, (events.c.seq,))


def find_incidents(
    connection: Connection,
    *,
    only_open: bool = False,
    target: str | None = None,
    targets: Collection[str] | None = None,
    alert: str | None = None,
    span: TimeRange,
    after: PagePosition | None = None,
    limit: int,
) -> list[Incident]:
    """Return incidents, newest first; None: no filter."""
    wanted: dict[str, object] = {
        "target": target,
        "targets": None if targets is None else list(targets),
        "alert": alert,
        "only_open": only_open or None,
    }
    rows = _INCIDENTS.read(connection, span, limit, **wanted, **_after(after))
    return [incident_from_row(row) for row in rows]


def find_attempts(
    connection: Connection,
    *,
    incident_id: str | None = None,
    target: str | None = None,
    targets: Collection[str] | None = None,
    action: str | None = None,
    state: AttemptState | None = None,
    span: TimeRange,
    after: PagePosition | None = None,
    limit: int,
) -> list[Attempt]:
    """Return attempts, newest first; None: no filter."""
    wanted: dict[str, object] = {
        "incident_id": incident_id,
        "target": target,
        "targets": None if targets is None else list(targets),
        "action": action,
        "state": state,
    }
    rows = _ATTEMPTS.read(connection, span, limit, **wanted, **_after(after))
    return [attempt_from_row(row) for row in rows]


def find_attempt(connection: Connection, key: str) -> tuple[Attempt, list[TimelineEvent]] | None:
    """Return one attempt and its events, or None."""
    row = connection.execute(select(attempts).where(attempts.c.id == key)).mappings().first()
    if row is None:
        return None
    attempt = attempt_from_row(row)
    about = events.c.attempt_id == key
    if attempt.incident_id is not None:
        # Events of an incident are indexed; those of a manual attempt are found by time.
        about = and_(about, events.c.incident_id == attempt.incident_id)
    else:
        about = and_(about, events.c.at >= attempt.started_at)
    found = connection.execute(select(events).where(about).order_by(events.c.seq)).mappings()
    return attempt, [TimelineEvent(**event) for event in found]


def find_events(
    connection: Connection,
    *,
    kind: str | None = None,
    reason: str | None = None,
    incident_id: str | None = None,
    attempt_id: str | None = None,
    actor: str | None = None,
    target: str | None = None,
    span: TimeRange,
    after: int | None = None,
    before: int | None = None,
    limit: int,
) -> list[TimelineEvent]:
    """Return events: newest first, or with `after` the following ones, oldest first."""
    pages = _EVENTS_BACKWARDS if after is None else _EVENTS_FORWARDS
    rows = pages.read(
        connection,
        span,
        limit,
        kind=kind,
        reason=reason,
        incident_id=incident_id,
        attempt_id=attempt_id,
        actor=actor,
        target=target,
        after=after,
        before=before,
    )
    return [event_from_row(row) for row in rows]


@dataclass(frozen=True, kw_only=True)
class LastDecision:
    """The last decision about an incident."""

    kind: str
    reason: str
    note: str


_NEWEST_DECISIONS = (
    select(func.max(events.c.seq))
    .where(
        events.c.incident_id.in_(bindparam("ids", expanding=True)),
        events.c.kind.startswith("decided_", autoescape=True),
    )
    .group_by(events.c.incident_id)
)
_DECISIONS = select(events.c.incident_id, events.c.kind, events.c.reason, events.c.note).where(
    events.c.seq.in_(_NEWEST_DECISIONS)
)


def last_decisions(connection: Connection, ids: Sequence[str]) -> dict[str, LastDecision]:
    """Return the last decision about each of these incidents, if there is one."""
    rows = connection.execute(_DECISIONS, {"ids": ids})
    return {
        row.incident_id: LastDecision(kind=row.kind, reason=row.reason, note=row.note)
        for row in rows
    }


@dataclass(frozen=True, kw_only=True)
class EventCount:
    """Number of events of one kind and reason."""

    kind: str
    reason: str
    count: int


def count_events(connection: Connection, span: TimeRange) -> list[EventCount]:
    """Return the number of events of each kind and reason, most frequent first."""
    # Operators' reasons are free text, so only the reconciler's reasons are counted.
    reason = case((events.c.actor == "reconciler", events.c.reason), else_="").label("reason")
    matching = select(events.c.kind, reason).where(*span.holds(events.c.at)).subquery()
    number = func.count().label("number")
    statement = (
        select(matching.c.kind, matching.c.reason, number)
        .group_by(matching.c.kind, matching.c.reason)
        .order_by(number.desc(), matching.c.kind, matching.c.reason)
    )
    return [
        EventCount(kind=row.kind, reason=row.reason, count=int(row.number))
        for row in connection.execute(statement)
    ]


@dataclass(frozen=True, kw_only=True)
class ActorEventCount:
    """Number of events of one kind by one actor."""

    actor: str
    kind: str
    count: int


def count_by_actor(connection: Connection, span: TimeRange) -> list[ActorEventCount]:
    """Return the number of events by actor and kind."""
    of_actor = (events.c.actor, events.c.kind)
    statement = (
        select(*of_actor, func.count().label("number"))
        .where(*span.holds(events.c.at))
        .group_by(*of_actor)
        .order_by(*of_actor)
    )
    return [
        ActorEventCount(actor=row.actor, kind=row.kind, count=int(row.number))
        for row in connection.execute(statement)
    ]


_OPEN_BY_TARGET = (
    select(incidents.c.target, func.count().label("number"))
    .where(incidents.c.closed_at.is_(None))
    .group_by(incidents.c.target)
)
_OLDEST_OPEN = (
    select(incidents)
    .where(incidents.c.closed_at.is_(None))
    .order_by(incidents.c.opened_at)
    .limit(_LIMIT)
)


def open_by_target(connection: Connection) -> Mapping[str | None, int]:
    """Return the number of open incidents, by target."""
    return {row.target: int(row.number) for row in connection.execute(_OPEN_BY_TARGET)}


def oldest_open(connection: Connection, *, limit: int) -> list[Incident]:
    """Return the oldest open incidents, up to a limit."""
    rows = connection.execute(_OLDEST_OPEN, {"limit": limit}).mappings()
    return [incident_from_row(row) for row in rows]


@dataclass(frozen=True, kw_only=True)
class IncidentTimes:
    """The times of one incident, for MTTA and MTTR."""

    alert: str
    opened_at: datetime
    attempted_at: datetime | None
    """When the first attempt started."""

    acknowledged_at: datetime | None
    """When an operator first acknowledged it."""

    escalated_at: datetime | None
    closed_at: datetime | None
    verified: bool
    """Whether an attempt of its runbook was verified."""


def response_times(
    connection: Connection, *, since: datetime, until: datetime
) -> list[IncidentTimes]:
    """Return the response to each incident opened in a period, its end excluded."""
    mine = attempts.c.incident_id == incidents.c.id
    attempted = select(func.min(attempts.c.started_at)).where(mine).scalar_subquery()
    acknowledged = (
        select(func.min(acknowledgements.c.at))
        .where(acknowledgements.c.incident_id == incidents.c.id)
        .scalar_subquery()
    )
    verified = exists().where(
        mine, attempts.c.state == AttemptState.VERIFIED.value, attempts.c.requested_by.is_(None)
    )
    statement = (
        select(
            incidents.c.alert,
            incidents.c.opened_at,
            attempted.label("attempted_at"),
            acknowledged.label("acknowledged_at"),
            incidents.c.escalated_at,
            incidents.c.closed_at,
            verified.label("verified"),
        )
        .where(incidents.c.opened_at >= since, incidents.c.opened_at < until)
        .order_by(incidents.c.opened_at)
    )
    return [
        IncidentTimes(
            alert=row["alert"],
            opened_at=row["opened_at"],
            attempted_at=row["attempted_at"],
            acknowledged_at=row["acknowledged_at"],
            escalated_at=row["escalated_at"],
            closed_at=row["closed_at"],
            verified=row["verified"],
        )
        for row in connection.execute(statement).mappings()
    ]
