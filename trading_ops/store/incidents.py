"""Incidents: at most one open incident per fingerprint, by a unique index."""

import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import (
    JSON,
    BigInteger,
    Connection,
    CursorResult,
    RowMapping,
    Select,
    and_,
    bindparam,
    case,
    func,
    insert,
    select,
    type_coerce,
    update,
)

from trading_ops.domain.alert import Alert, Fingerprint
from trading_ops.domain.attempt import AttemptState
from trading_ops.domain.decision import Close, Escalate, Reason
from trading_ops.domain.incident import Incident
from trading_ops.store import events
from trading_ops.store.engine import lock_until_commit
from trading_ops.store.tables import attempts, fences, incidents
from trading_ops.store.tables import events as events_table

CHUNK = 500
CRASHED = "incident_crashed"
"""Event kind: processing the incident crashed."""

OPENING = 0x7472_6F70
"""The advisory lock under which incidents are opened; an arbitrary unique number."""


@dataclass(frozen=True, kw_only=True)
class FiringAlert:
    """A firing alert, with its target."""

    alert: Alert
    target: str | None
    """The registered target; None: no label names one."""


class Opened(NamedTuple):
    """How many incidents were opened, and how many alerts were left out."""

    opened: int
    left_out: int


# Built once: they run for each incident, and building a statement costs more than running it.
_FINGERPRINTS = incidents.c.fingerprint.in_(bindparam("fingerprints", expanding=True))
_OPEN_OF = select(incidents.c.fingerprint).where(_FINGERPRINTS, incidents.c.closed_at.is_(None))
_OPEN_IDS = select(incidents.c.id).where(incidents.c.closed_at.is_(None))
_RESOLVABLE = select(
    incidents.c.id, incidents.c.fingerprint, incidents.c.starts_at, incidents.c.resolved_at
).where(_FINGERPRINTS, incidents.c.closed_at.is_(None))
_INSERT = insert(incidents)
_UPDATE = update(incidents).where(incidents.c.id == bindparam("key"))
_STARTED = select(attempts.c.id).where(
    attempts.c.incident_id == incidents.c.id, attempts.c.state == AttemptState.STARTED.value
)
_CLOSE = _UPDATE.where(incidents.c.closed_at.is_(None), ~_STARTED.exists())
_HOLDING = (
    attempts.c.incident_id == bindparam("key"),
    attempts.c.state.in_([AttemptState.UNKNOWN.value, AttemptState.SUCCEEDED.value]),
)
_HELD = select(attempts.c.id, attempts.c.state).where(*_HOLDING)
_LET_GO = update(attempts).where(*_HOLDING).values(state=AttemptState.UNVERIFIED.value)


def open_all(
    connection: Connection,
    sightings: Sequence[FiringAlert],
    *,
    received_at: datetime,
    now: datetime,
    source: str,
    at_most: int | None = None,
) -> Opened:
    """Open an incident for every alert without an open one, but no more than `at_most`.

    Idempotent: duplicates and late arrivals change nothing.
    """
    by_fingerprint = {sighting.alert.fingerprint: sighting for sighting in sightings}
    if not by_fingerprint:
        return Opened(0, 0)
    _one_at_a_time(connection)
    known = _open_fingerprints(connection, list(by_fingerprint))
    new = [sighting for key, sighting in by_fingerprint.items() if key not in known]
    rows = [_row(sighting, received_at=received_at, now=now) for sighting in new[:at_most]]
    if rows:
        connection.execute(_INSERT, rows)
    for row in rows:
        key = row["id"]
        events.add(connection, at=received_at, kind="received", incident_id=key, note=source)
        opened = {name: row[name] for name in ("alert", "target", "labels", "starts_at")}
        events.add(
            connection, at=now, kind="opened", incident_id=key, note=row["alert"], after=opened
        )
    return Opened(len(rows), len(new) - len(rows))


def count_open(connection: Connection, *, besides: Collection[str]) -> int:
    """Return the number of open incidents whose ids are not among `besides`."""
    return len(set(connection.execute(_OPEN_IDS).scalars()).difference(besides))


def _row(firing_alert: FiringAlert, *, received_at: datetime, now: datetime) -> dict[str, Any]:
    alert = firing_alert.alert
    return {
        "id": str(uuid.uuid4()),
        "fingerprint": alert.fingerprint,
        "alert": alert.name,
        "target": firing_alert.target,
        "labels": dict(alert.labels),
        "annotations": dict(alert.annotations),
        # A sender may give any start; none is later than its arrival.
        "starts_at": min(alert.starts_at, received_at),
        "received_at": received_at,
        "opened_at": now,
    }


def _one_at_a_time(connection: Connection) -> None:
    """Keep two replicas from opening the same incident: the second waits and sees the first's."""
    lock_until_commit(connection, OPENING)


def _open_fingerprints(connection: Connection, wanted: Sequence[str]) -> set[str]:
    found: set[str] = set()
    for begin in range(0, len(wanted), CHUNK):
        chunk = wanted[begin : begin + CHUNK]
        found.update(connection.execute(_OPEN_OF, {"fingerprints": chunk}).scalars())
    return found


def note_resolved(
    connection: Connection, ends: Mapping[Fingerprint, datetime], *, now: datetime
) -> None:
    """Store Alertmanager's resolved notifications; each ends the episodes that started before it.

    Args:
        connection: inside a transaction.
        ends: when each alert ended.
        now: when this was reported.
    """
    wanted = list(ends)
    for begin in range(0, len(wanted), CHUNK):
        chunk = wanted[begin : begin + CHUNK]
        rows = connection.execute(_RESOLVABLE, {"fingerprints": chunk}).all()
        for row in rows:
            ends_at = ends[row.fingerprint]
            newer = row.resolved_at is None or row.resolved_at < ends_at
            if newer and row.starts_at <= ends_at:
                _resolve(connection, row.id, ends_at, now)


def _resolve(connection: Connection, key: str, ends_at: datetime, now: datetime) -> None:
    connection.execute(_UPDATE, {"key": key, "resolved_at": ends_at})
    events.add(
        connection,
        at=now,
        kind="resolved",
        incident_id=key,
        note="by Alertmanager",
        after={"resolved_at": ends_at},
    )


def forget_resolved(connection: Connection, key: str, *, now: datetime) -> None:
    """Drop the stored resolved notification: the alert has fired since."""
    was = select(incidents.c.resolved_at).where(incidents.c.id == key)
    before = {"resolved_at": connection.execute(was).scalar_one_or_none()}
    connection.execute(update(incidents).where(incidents.c.id == key).values(resolved_at=None))
    after = {"resolved_at": None}
    events.add(connection, at=now, kind="fired_again", incident_id=key, before=before, after=after)


def escalate(connection: Connection, key: str, decision: Escalate, *, now: datetime) -> bool:
    """Escalate an incident once; return whether this call did it."""
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
            before={"escalated_at": None},
            after={"escalated_at": now},
        )
    return bool(changed)


def add_crash(connection: Connection, key: str, *, note: str, limit: int, now: datetime) -> bool:
    """Record that processing an incident crashed; at the limit, escalate it.

    Returns whether the limit is reached.
    """
    recorded = events.of_incident(connection, key)
    count = 1 + sum(event.kind == CRASHED for event in recorded)
    events.add(connection, at=now, kind=CRASHED, incident_id=key, note=note)
    if count < limit:
        return False
    summary = f"its processing crashed {count} times. The last time: {note}"
    escalate(connection, key, Escalate(reason=Reason.CRASHED, note=summary), now=now)
    return True


def add_deaths(
    connection: Connection, keys: Collection[str], *, limit: int, now: datetime
) -> frozenset[str]:
    """Count a crash of each open incident that the reconciler was handling when it died.

    Returns the incidents that were counted.
    """
    is_open = (incidents.c.id.in_(sorted(keys)), incidents.c.closed_at.is_(None))
    counted = frozenset(connection.execute(select(incidents.c.id).where(*is_open)).scalars())
    others = f", as one of {len(counted)}" if len(counted) > 1 else ""
    note = f"the reconciler process died while it processed this incident{others}"
    for key in sorted(counted):
        add_crash(connection, key, note=note, limit=limit, now=now)
    return counted


def crashes(connection: Connection, keys: Collection[str]) -> dict[str, list[str]]:
    """Return the event kinds of each incident that has crashed, in order."""
    ids, found = sorted(keys), dict[str, list[str]]()
    for begin in range(0, len(ids), CHUNK):
        chunk = ids[begin : begin + CHUNK]
        crashed = select(events_table.c.incident_id).where(
            events_table.c.incident_id.in_(chunk), events_table.c.kind == CRASHED
        )
        for key in set(connection.execute(crashed).scalars()):
            found[key] = [event.kind for event in events.of_incident(connection, key)]
    return found


def close(
    connection: Connection,
    key: str,
    decision: Close,
    *,
    now: datetime,
    actor: str = "reconciler",
) -> bool:
    """Close an incident once, and release its target; return whether it was closed.

    Not while one of its attempts is in progress, as after a COMMIT without an answer: after the
    close nothing would finish that attempt, and it would block the target forever.
    """
    values = {"key": key, "closed_at": now, "close_reason": decision.reason.value}
    changed = connection.execute(_CLOSE, values).rowcount
    if not changed:
        return False
    let_go = connection.execute(_HELD, {"key": key}).all()
    unverified = AttemptState.UNVERIFIED.value
    if let_go:
        connection.execute(_LET_GO, {"key": key})
    events.add(
        connection,
        at=now,
        kind="closed",
        incident_id=key,
        actor=actor,
        reason=decision.reason,
        note=decision.note,
        before={"closed_at": None} | {row.id: row.state for row in let_go},
        after={"closed_at": now, "close_reason": decision.reason.value}
        | {row.id: unverified for row in let_go},
    )
    return True


def go_quiet(connection: Connection, key: str, *, now: datetime) -> bool:
    """Record since when the alert of a flapping incident is absent; return whether that was new."""
    where = (incidents.c.id == key, incidents.c.closed_at.is_(None))
    changed = connection.execute(
        update(incidents).where(*where, incidents.c.quiet_since.is_(None)).values(quiet_since=now)
    ).rowcount
    if changed:
        before, after = {"quiet_since": None}, {"quiet_since": now}
        events.add(connection, at=now, kind="quiet", incident_id=key, before=before, after=after)
    return bool(changed)


def end_quiet(connection: Connection, key: str, *, now: datetime) -> bool:
    """Clear `quiet_since`: the flapping alert fires again. Return whether it was set."""
    where = (incidents.c.id == key, incidents.c.closed_at.is_(None))
    was = connection.execute(select(incidents.c.quiet_since).where(*where)).scalar_one_or_none()
    if was is None:
        return False
    connection.execute(update(incidents).where(*where).values(quiet_since=None))
    before, after = {"quiet_since": was}, {"quiet_since": None}
    events.add(connection, at=now, kind="came_back", incident_id=key, before=before, after=after)
    return True


def find(connection: Connection, key: str) -> Incident | None:
    """Return one incident by its ID or a unique prefix of it."""
    escaped = key.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    rows = (
        connection.execute(
            select(incidents).where(incidents.c.id.like(f"{escaped}%", escape="\\")).limit(2)
        )
        .mappings()
        .all()
    )
    return incident_from_row(rows[0]) if len(rows) == 1 else None


def search(
    connection: Connection,
    *,
    only_open: bool = False,
    target: str | None = None,
    targets: Collection[str] | None = None,
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
    if targets is not None:
        statement = statement.where(incidents.c.target.in_(list(targets)))
    if alert is not None:
        statement = statement.where(incidents.c.alert == alert)
    if since is not None:
        statement = statement.where(incidents.c.opened_at >= since)
    return [incident_from_row(row) for row in connection.execute(statement).mappings()]


def incident_from_row(row: RowMapping) -> Incident:
    """Return the incident of a row of the table."""
    return Incident(
        id=row["id"],
        fingerprint=row["fingerprint"],
        alert=row["alert"],
        target=row["target"],
        labels=row["labels"],
        annotations=row["annotations"],
        starts_at=row["starts_at"],
        received_at=row["received_at"],
        opened_at=row["opened_at"],
        resolved_at=row["resolved_at"],
        quiet_since=row["quiet_since"],
        escalated_at=row["escalated_at"],
        closed_at=row["closed_at"],
        close_reason=row["close_reason"],
    )


# The fields that decisions need: no labels but `severity`, and no annotations, which are most of
# the memory in a storm. Only an escalated incident of a registered target keeps its labels: the
# metric on which a rule pages needs them.
_SUMMARY = [
    column for column in incidents.c if column.name not in {"labels", "annotations", "close_reason"}
]
_SEVERITY = type_coerce(incidents.c.labels, JSON)["severity"].as_string().label("severity")
_ESCALATED = case(
    (
        and_(incidents.c.escalated_at.is_not(None), incidents.c.target.is_not(None)),
        incidents.c.labels,
    )
).label("escalated_labels")
_NOTHING: Mapping[str, str] = {}

# Built once: building a statement costs more than running it.
_SELECT = select(*_SUMMARY, _SEVERITY, _ESCALATED)
_IDS = incidents.c.id.in_(bindparam("ids", expanding=True))


class _Statements(NamedTuple):
    """A statement for all incidents, and one for some of them."""

    of_all: Select[Any]
    of_some: Select[Any]


def _both(statement: Select[Any]) -> _Statements:
    return _Statements(statement, statement.where(_IDS))


_OPEN = _both(
    _SELECT.where(incidents.c.closed_at.is_(None)).order_by(incidents.c.opened_at, incidents.c.id)
)
_CLOSED = _both(
    _SELECT.where(incidents.c.closed_at > bindparam("since")).order_by(
        incidents.c.closed_at, incidents.c.id
    )
)


def _same_alert_before() -> Select[Any]:
    former = incidents.alias()
    opened = type_coerce(incidents.c.opened_at, BigInteger)
    began = type_coerce(former.c.opened_at, BigInteger)
    reset_at = type_coerce(fences.c.budget_reset_at, BigInteger)
    return (
        select(incidents.c.id, func.count().label("number"))
        .join(former, former.c.fingerprint == incidents.c.fingerprint)
        .outerjoin(fences, fences.c.target == incidents.c.target)
        .where(began > opened - bindparam("window", type_=BigInteger()), began <= opened)
        .where(reset_at.is_(None) | (began > reset_at))
        .group_by(incidents.c.id)
    )


_EPISODES = _Statements(
    _same_alert_before().where(incidents.c.closed_at.is_(None)), _same_alert_before().where(_IDS)
)


def open_summaries(connection: Connection, only: Collection[str] | None = None) -> list[Incident]:
    """Return open incidents, oldest first, with no label but `severity`.

    Args:
        connection: to read from.
        only: ids; None for all. An incident that is closed is not returned.
    """
    return _summaries(connection, _OPEN, only, {})


def closed_since(
    connection: Connection, since: datetime, only: Collection[str] | None = None
) -> list[Incident]:
    """Return the incidents that were closed after a moment, with no label but `severity`.

    Args:
        connection: to read from.
        since: that moment.
        only: ids; None for all. An incident that is open is not returned.
    """
    return _summaries(connection, _CLOSED, only, {"since": since})


def episodes(
    connection: Connection, window: timedelta, only: Collection[str] | None = None
) -> dict[str, int]:
    """Return, for each open incident, how many of its alert were opened within `window` before it.

    The incident itself counts; those before the last budget reset of the target do not. The window
    ends when the incident was opened, not now, so a flapping incident stays flapping.

    Args:
        connection: to read from.
        window: how far to look back from each incident's start.
        only: ids of open incidents; None for all.
    """
    microseconds = window // timedelta(microseconds=1)
    found: dict[str, int] = {}
    for rows in _in_chunks(connection, _EPISODES, only, {"window": microseconds}):
        found |= {row.id: int(row.number) for row in rows}
    return found


def _summaries(
    connection: Connection,
    statements: _Statements,
    only: Collection[str] | None,
    given: Mapping[str, object],
) -> list[Incident]:
    found = []
    shared: dict[str | None, Mapping[str, str]] = {None: _NOTHING}
    for rows in _in_chunks(connection, statements, only, given):
        for row in rows.mappings():
            severity = row["severity"]
            labels = row["escalated_labels"] or shared.setdefault(severity, {"severity": severity})
            found.append(_summary(row, labels))
    return found


def _summary(row: RowMapping, labels: Mapping[str, str]) -> Incident:
    return Incident(
        id=row["id"],
        fingerprint=row["fingerprint"],
        alert=row["alert"],
        target=row["target"],
        labels=labels,
        annotations=_NOTHING,
        starts_at=row["starts_at"],
        received_at=row["received_at"],
        opened_at=row["opened_at"],
        resolved_at=row["resolved_at"],
        quiet_since=row["quiet_since"],
        escalated_at=row["escalated_at"],
        closed_at=row["closed_at"],
    )


def _in_chunks(
    connection: Connection,
    statements: _Statements,
    only: Collection[str] | None,
    given: Mapping[str, object],
) -> Iterator[CursorResult[Any]]:
    if only is None:
        yield connection.execute(statements.of_all, dict(given))
        return
    ids = sorted(only)
    for begin in range(0, len(ids), CHUNK):
        chunk = {"ids": ids[begin : begin + CHUNK]}
        yield connection.execute(statements.of_some, {**given, **chunk})
