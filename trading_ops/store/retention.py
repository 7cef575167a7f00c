"""Retention: old records are removed, some in each transaction, and an event says how many.

Active records stay, however old: open incidents, running attempts, acknowledgements that are in
force or whose silence may still exist, active holds. So does everything since the oldest active
hold was placed or the oldest open incident started, because decisions about these read back to it.
"""

from datetime import datetime, timedelta
from itertools import takewhile

from sqlalchemy import ColumnElement, Connection, Table, delete, func, or_, select

from trading_ops.store import audit_chain, events
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
)
from trading_ops.store.tables import events as event_rows

OF_INCIDENTS = (attempts, acknowledgements, approvals)
"""Tables whose rows go with their incident."""

CLOCK_ERROR = timedelta(days=1)
"""What is further ahead than this was written while the clock was wrong."""


def remove_incidents(connection: Connection, *, before: datetime, now: datetime, limit: int) -> int:
    """Remove closed incidents with their attempts, acknowledgements and approvals.

    Args:
        connection: of the writer.
        before: an incident is removed if it, and everything that belongs to it, ended before this.
        now: of the event.
        limit: maximum number.

    Returns:
        How many incidents were removed.
    """
    before = _kept_since(connection, before)
    statement = (
        select(incidents.c.id)
        .where(
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
        .order_by(incidents.c.closed_at)
        .limit(limit)
    )
    ids = list(connection.execute(statement).scalars())
    if not ids:
        return 0
    for table in OF_INCIDENTS:
        connection.execute(delete(table).where(table.c.incident_id.in_(ids)))
    connection.execute(delete(incidents).where(incidents.c.id.in_(ids)))
    _tell(connection, len(ids), "incidents", before=before, now=now)
    return len(ids)


def remove_orders(connection: Connection, *, before: datetime, now: datetime, limit: int) -> int:
    """Remove finished manual actions, released holds, past maintenance windows and job runs.

    Args:
        connection: of the writer.
        before: records that ended before this are removed.
        now: of the event.
        limit: maximum number of each kind.

    Returns:
        How many rows were removed.
    """
    before = _kept_since(connection, before)
    removed = sum(
        _remove(connection, table, over, limit)
        for table, over in (
            (attempts, attempts.c.incident_id.is_(None) & ~_is_recent(before)),
            (holds, holds.c.lifted_at < before),
            (pauses, pauses.c.expires_at < before),
            (maintenance, maintenance.c.ends_at < before),
            (job_runs, job_runs.c.ended_at < before),
        )
    )
    removed += _remove_approvals_by_hand(connection, before, limit)
    if removed:
        _tell(connection, removed, "orders", before=before, now=now)
    return removed


def remove_events(
    connection: Connection, *, key: bytes, before: datetime, now: datetime, limit: int
) -> int:
    """Remove the oldest events behind a signed checkpoint; return how many.

    An event with a future time, from a wrong clock, counts as old as its neighbours.

    Args:
        connection: inside a transaction that is written with the same key.
        key: of the chain.
        before: only events from before this, and none that follows a later one.
        now: of the checkpoint.
        limit: maximum number.
    """
    before = _kept_since(connection, before)
    oldest = select(event_rows.c.seq, event_rows.c.at).order_by(event_rows.c.seq).limit(limit)
    rows = connection.execute(oldest).all()
    old = list(takewhile(lambda row: not before <= row.at <= now + CLOCK_ERROR, rows))
    if not old:
        return 0
    return audit_chain.remove_through(connection, key, through=old[-1].seq, at=now)


def _kept_since(connection: Connection, before: datetime) -> datetime:
    """Return the moment before which records may be removed: at most the given one.

    Decisions about an active hold or an open incident read the events since it started; for a hold
    also the attempts since then.
    """
    oldest_hold = select(func.min(holds.c.at)).where(holds.c.lifted_at.is_(None))
    oldest_incident = select(func.min(incidents.c.received_at)).where(
        incidents.c.closed_at.is_(None)
    )
    begun: list[datetime | None] = [
        connection.execute(oldest_hold).scalar_one(),
        connection.execute(oldest_incident).scalar_one(),
    ]
    return min(
        (moment for moment in begun if moment is not None and moment < before), default=before
    )


def _has_none(table: Table, condition: ColumnElement[bool]) -> ColumnElement[bool]:
    """Whether no row of the incident meets a condition."""
    mine = table.c.incident_id == incidents.c.id
    return ~select(table.c.id).where(mine, condition).exists()


def _is_recent(before: datetime) -> ColumnElement[bool]:
    return or_(attempts.c.started_at >= before, attempts.c.state.in_(RUNNING_VALUES))


def _remove(connection: Connection, table: Table, over: ColumnElement[bool], limit: int) -> int:
    some = select(table.c.id).where(over).limit(limit)
    return connection.execute(delete(table).where(table.c.id.in_(some))).rowcount


def _remove_approvals_by_hand(connection: Connection, before: datetime, limit: int) -> int:
    """All requests for one digest go at once: a new one's id is made from how many there are."""
    over = (
        select(approvals.c.digest)
        .group_by(approvals.c.digest)
        .having(
            func.max(approvals.c.expires_at) < before, func.max(approvals.c.incident_id).is_(None)
        )
        .limit(limit)
    )
    statement = delete(approvals).where(approvals.c.digest.in_(over))
    return connection.execute(statement).rowcount


def _tell(
    connection: Connection, count: int, what: str, *, before: datetime, now: datetime
) -> None:
    note = f"{count} {what} from before {before.isoformat()}"
    events.add(connection, at=now, kind="pruned", note=note, after={"deleted": count})
