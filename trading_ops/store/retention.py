"""Retention: finds old records and removes them, in batches.

Records are archived before removal, and an event says how many, and in which file they are.

Active records stay, however old: open incidents, running attempts, acknowledgements that are in
force or whose silence may still exist, active holds. So does everything since the oldest active
hold was placed or the oldest open incident started, because decisions about these read back to it.
"""

from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Table,
    delete,
    func,
    literal,
    or_,
    select,
)

from trading_ops.errors import StoreError
from trading_ops.store import audit_chain, events
from trading_ops.store.archive import EventFile, Rows
from trading_ops.store.attempts import RUNNING_VALUES
from trading_ops.store.tables import (
    acknowledgements,
    approvals,
    attempts,
    holds,
    incidents,
    job_runs,
    maintenance,
    pauses,
    readiness_runs,
    recurring_windows,
)
from trading_ops.store.tables import events as event_rows

OF_INCIDENTS = (attempts, acknowledgements, approvals)
"""Tables whose rows are removed with their incident."""

CLOCK_ERROR = timedelta(days=1)
"""Records further in the future than this were written while the clock was wrong."""


def old_incidents(connection: Connection, *, before: datetime, limit: int) -> Rows:
    """Return closed incidents with their attempts, acknowledgements and approvals, by table.

    Args:
        connection: to read from.
        before: an incident is old if it and all its related rows ended before this.
        limit: maximum number of incidents.
    """
    over = _incidents_over(_kept_since(connection, before))
    statement = select(incidents).where(*over).order_by(incidents.c.closed_at, incidents.c.id)
    rows = _rows(connection, statement.limit(limit))
    ids = [row["id"] for row in rows]
    return {incidents.name: rows} | {
        table.name: _rows(
            connection, select(table).where(table.c.incident_id.in_(ids)).order_by(table.c.id)
        )
        for table in OF_INCIDENTS
    }


def remove_incidents(
    connection: Connection, *, rows: Rows, before: datetime, now: datetime, archive: str
) -> int:
    """Remove incidents and their related rows, if they are still old.

    Args:
        connection: of the writer.
        rows: as `old_incidents` returned them.
        before: as for `old_incidents`.
        now: of the event.
        archive: where the rows are stored, for the event.

    Returns:
        The number of removed incidents.
    """
    over = _incidents_over(_kept_since(connection, before))
    given = incidents.c.id.in_([row["id"] for row in rows[incidents.name]])
    ids = list(connection.execute(select(incidents.c.id).where(given, *over)).scalars())
    if not ids:
        return 0
    for table in OF_INCIDENTS:
        connection.execute(delete(table).where(table.c.incident_id.in_(ids)))
    connection.execute(delete(incidents).where(incidents.c.id.in_(ids)))
    _tell(connection, len(ids), "incidents", before=before, now=now, archive=archive)
    return len(ids)


def old_attempts(connection: Connection, *, before: datetime, limit: int) -> Rows:
    """Return finished manual actions, released holds, past maintenance windows and job runs.

    Args:
        connection: to read from.
        before: records that ended before this are old.
        limit: maximum number of each kind.
    """
    before = _kept_since(connection, before)
    found = {
        table.name: _rows(connection, select(table).where(over).order_by(table.c.id).limit(limit))
        for table, over in _orders_over(before)
    }
    digests = _digests_over(before).order_by(approvals.c.digest).limit(limit)
    manual = select(approvals).where(approvals.c.digest.in_(digests)).order_by(approvals.c.id)
    return found | {approvals.name: _rows(connection, manual)}


def remove_attempts(
    connection: Connection, *, rows: Rows, before: datetime, now: datetime, archive: str
) -> int:
    """Remove rows that `old_attempts` returned, as far as they are still old; return how many."""
    kept_since = _kept_since(connection, before)
    removed = sum(
        connection.execute(
            delete(table).where(table.c.id.in_([row["id"] for row in rows[table.name]]), over)
        ).rowcount
        for table, over in (
            *_orders_over(kept_since),
            (approvals, approvals.c.digest.in_(_digests_over(kept_since))),
        )
    )
    if removed:
        _tell(connection, removed, "orders", before=before, now=now, archive=archive)
    return removed


def old_events(
    connection: Connection, *, before: datetime, now: datetime, limit: int
) -> tuple[int, int] | None:
    """Return the first and the last of the oldest events that may be removed, or None.

    An event with a future time, from a wrong clock, counts as old as its neighbors.

    Args:
        connection: to read from.
        before: only events from before this, and none that follows a later one.
        now: of the wall clock.
        limit: maximum number.
    """
    before = _kept_since(connection, before)
    oldest = select(event_rows.c.seq, event_rows.c.at).order_by(event_rows.c.seq).limit(limit)
    rows = connection.execute(oldest).all()
    old = list(takewhile(lambda row: not before <= row.at <= now + CLOCK_ERROR, rows))
    last = min(old[-1].seq, audit_chain.removable_through(connection)) if old else 0
    return (old[0].seq, last) if old and old[0].seq <= last else None


def remove_events(
    connection: Connection,
    *,
    key: bytes,
    before: datetime,
    now: datetime,
    limit: int,
    file: EventFile,
) -> int:
    """Remove the oldest events and sign a checkpoint; return how many.

    Args:
        connection: inside a transaction that is written with the same key.
        key: of the chain.
        before: as for `old_events`.
        now: of the checkpoint.
        limit: maximum number.
        file: the archive that contains them; events that it lacks are not removed.

    Raises:
        StoreError: the archive has different events with these numbers.
    """
    span = old_events(connection, before=before, now=now, limit=limit)
    if span is None or span[0] > file.last:
        return 0
    held = audit_chain.links(connection, after=file.last - 1, limit=1)
    if not held or held[0].seq != file.last or (held[0].mac or "") != file.mac:
        raise StoreError(
            f"{file.path} holds the events of another database: move its folder away, and keep it"
        )
    through = min(span[1], file.last)
    return audit_chain.remove_through(
        connection, key, through=through, at=now, archive=file.path.name
    )


def _kept_since(connection: Connection, before: datetime) -> datetime:
    """Return the time before which records may be removed: at most the given one.

    Decisions about an active hold or an open incident read the events since it started; for a hold
    also the attempts since then.
    """
    oldest_hold = select(func.min(holds.c.at)).where(holds.c.released_at.is_(None))
    oldest_incident = select(func.min(incidents.c.received_at)).where(
        incidents.c.closed_at.is_(None)
    )
    starts: list[datetime | None] = [
        connection.execute(oldest_hold).scalar_one(),
        connection.execute(oldest_incident).scalar_one(),
    ]
    return min(
        (moment for moment in starts if moment is not None and moment < before), default=before
    )


def _has_none(table: Table, condition: ColumnElement[bool]) -> ColumnElement[bool]:
    """Whether no row of the incident matches a condition."""
    mine = table.c.incident_id == incidents.c.id
    return ~select(table.c.id).where(mine, condition).exists()


def _is_recent(before: datetime) -> ColumnElement[bool]:
    return or_(attempts.c.started_at >= before, attempts.c.state.in_(RUNNING_VALUES))


def _incidents_over(before: datetime) -> tuple[ColumnElement[bool], ...]:
    return (
        incidents.c.closed_at < before,
        _has_none(attempts, _is_recent(before)),
        _has_none(
            acknowledgements,
            or_(
                acknowledgements.c.ended_at.is_(None),
                acknowledgements.c.ended_at >= before,
                acknowledgements.c.silenced_until >= before,
            ),
        ),
        _has_none(approvals, approvals.c.expires_at >= before),
    )


def _is_of_open_run() -> ColumnElement[bool]:
    """Whether a hold is of an open readiness run, which must not place it a second time."""
    key = literal("readiness-").concat(readiness_runs.c.id).concat("-%")
    return (
        select(readiness_runs.c.id)
        .where(readiness_runs.c.ended_at.is_(None), holds.c.id.like(key))
        .exists()
    )


def _orders_over(before: datetime) -> tuple[tuple[Table, ColumnElement[bool]], ...]:
    return (
        (attempts, attempts.c.incident_id.is_(None) & ~_is_recent(before)),
        (holds, (holds.c.released_at < before) & ~_is_of_open_run()),
        (pauses, pauses.c.expires_at < before),
        (maintenance, maintenance.c.ends_at < before),
        (recurring_windows, recurring_windows.c.ended_at < before),
        (job_runs, job_runs.c.ended_at < before),
    )


def _digests_over(before: datetime) -> Select[tuple[str]]:
    """All requests for one digest are removed together: a new one's id depends on their number."""
    return (
        select(approvals.c.digest)
        .group_by(approvals.c.digest)
        .having(
            func.max(approvals.c.expires_at) < before, func.max(approvals.c.incident_id).is_(None)
        )
    )


def _rows(connection: Connection, statement: Select[Any]) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(statement).mappings()]


def _tell(
    connection: Connection, count: int, kind: str, *, before: datetime, now: datetime, archive: str
) -> None:
    note = f"{count} {kind} from before {before.isoformat()}"
    after = {"deleted": count, "archive": archive}
    events.add(connection, at=now, kind="pruned", note=note, after=after)
