"""Jobs: how far each schedule was handled, who paused it, and its runs.

A replica that holds the job's lease starts a run in the transaction that checks the lease.
A job has at most one running run; a run whose replica lost the lease is closed as
`unknown`, and what that replica reports later changes nothing.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import Connection, RowMapping, delete, func, insert, select, update

from trading_ops.domain.job import GOOD, WRONG_CLOCK, JobOutcome, JobRun, JobState
from trading_ops.errors import RequestRefused
from trading_ops.store import events, leases
from trading_ops.store.leases import Claim
from trading_ops.store.tables import job_runs, jobs, trading_sessions

LATEST = 20
LONGEST_DETAIL = 2_000


def states(connection: Connection) -> dict[str, JobState]:
    """Return the state of every job that was ever scheduled, by name."""
    rows = connection.execute(select(jobs)).mappings()
    return {row["name"]: _state(row) for row in rows}


def _state(row: RowMapping) -> JobState:
    return JobState(
        name=row["name"],
        handled_at=row["handled_at"],
        held_due_at=row["held_due_at"],
        held_by=row["held_by"],
        paused_at=row["paused_at"],
        paused_by=row["paused_by"],
        paused_reason=row["paused_reason"],
    )


def register(connection: Connection, names: Iterable[str], *, now: datetime) -> None:
    """Add new jobs; they are due from now on."""
    known = set(connection.execute(select(jobs.c.name)).scalars())
    for name in sorted(set(names) - known):
        connection.execute(insert(jobs).values(name=name, handled_at=now))


def begin(
    connection: Connection,
    claim: Claim,
    *,
    job: str,
    due_at: datetime | None,
    actor: str,
    now: datetime,
) -> int | None:
    """Start a run and return its id; None: the lease is lost, or a run is in progress.

    Args:
        connection: inside a transaction.
        claim: the job's lease.
        job: its name.
        due_at: its due time; None: an operator started it.
        actor: who started it.
        now: the time.
    """
    if not leases.is_held(connection, claim, now=now, margin=leases.MARGIN):
        return None
    busy = select(job_runs.c.id).where(
        job_runs.c.job == job, job_runs.c.outcome == JobOutcome.RUNNING
    )
    if connection.execute(busy).first() is not None:
        return None
    if due_at is not None and not _handle(connection, job, due_at, now):
        return None
    key = connection.execute(
        insert(job_runs).values(
            job=job,
            due_at=due_at,
            started_at=now,
            outcome=JobOutcome.RUNNING,
            actor=actor,
            replica=claim.replica,
        )
    ).inserted_primary_key
    assert key is not None  # noqa: S101 - an INSERT of one row always has a key
    events.add(
        connection,
        at=now,
        kind="job_started",
        actor=actor,
        note=job,
        after={"run": int(key[0]), "due_at": due_at},
    )
    return int(key[0])


def finish(
    connection: Connection, run: int, *, outcome: JobOutcome, detail: str, now: datetime
) -> bool:
    """End a run in progress; False: another replica closed it."""
    detail = detail[:LONGEST_DETAIL]
    changed = connection.execute(
        update(job_runs)
        .where(job_runs.c.id == run, job_runs.c.outcome == JobOutcome.RUNNING)
        .values(outcome=outcome, detail=detail, ended_at=now)
    ).rowcount
    if changed:
        job = connection.execute(select(job_runs.c.job).where(job_runs.c.id == run)).scalar_one()
        events.add(
            connection,
            at=now,
            kind="job_finished",
            reason=outcome,
            note=f"{job}: {detail}" if detail else job,
            after={"run": run, "outcome": outcome},
        )
    return bool(changed)


def refuse(
    connection: Connection,
    *,
    job: str,
    due_at: datetime,
    detail: str,
    hold: bool,
    replica: str,
    now: datetime,
) -> None:
    """Record that a due time was not run, and why.

    Args:
        connection: inside a transaction.
        job: its name.
        due_at: the due time that was not run.
        detail: why.
        hold: whether it runs as soon as the gate opens.
        replica: the one that decided.
        now: the time.
    """
    if not _handle(connection, job, due_at, now):
        return
    held = {"held_due_at": due_at, "held_by": detail} if hold else {}
    if held:
        connection.execute(update(jobs).where(jobs.c.name == job).values(**held))
    connection.execute(
        insert(job_runs).values(
            job=job,
            due_at=due_at,
            started_at=now,
            ended_at=now,
            outcome=JobOutcome.REFUSED,
            detail=detail[:LONGEST_DETAIL],
            actor="schedule",
            replica=replica,
        )
    )
    events.add(
        connection,
        at=now,
        kind="job_refused",
        reason=JobOutcome.REFUSED,
        note=f"{job}: {detail}",
        after={"due_at": due_at, "held": hold},
    )


def close_left_behind(connection: Connection, claim: Claim, *, job: str, now: datetime) -> bool:
    """Close a run of a replica that no longer holds the lease; its outcome is unknown."""
    if not leases.is_held(connection, claim, now=now):
        return False
    row = connection.execute(
        select(job_runs.c.id, job_runs.c.replica)
        .where(job_runs.c.job == job, job_runs.c.outcome == JobOutcome.RUNNING)
        .with_for_update()
    ).first()
    if row is None or row.replica == claim.replica:
        return False
    detail = f"{row.replica} stopped during the run"
    return finish(connection, row.id, outcome=JobOutcome.UNKNOWN, detail=detail, now=now)


def pause(connection: Connection, job: str, *, owner: str, reason: str, now: datetime) -> None:
    """Pause a job until it is resumed.

    Raises:
        RequestRefused: it is already paused.
    """
    statement = update(jobs).where(jobs.c.name == job, jobs.c.paused_at.is_(None))
    paused = statement.values(paused_at=now, paused_by=owner, paused_reason=reason)
    if not connection.execute(paused).rowcount:
        raise RequestRefused(f"{job} is already paused")
    events.add(connection, at=now, kind="job_paused", actor=owner, reason=reason, note=job)


def resume(connection: Connection, job: str, *, owner: str, now: datetime) -> None:
    """Resume a job; runs that were due in the meantime are skipped.

    Raises:
        RequestRefused: it is not paused.
    """
    statement = update(jobs).where(jobs.c.name == job, jobs.c.paused_at.is_not(None))
    resumed = statement.values(paused_at=None, paused_by=None, paused_reason=None, handled_at=now)
    if not connection.execute(resumed).rowcount:
        raise RequestRefused(f"{job} is not paused")
    events.add(connection, at=now, kind="job_resumed", actor=owner, note=job)


def history(connection: Connection, job: str, *, limit: int = LATEST) -> list[JobRun]:
    """Return the newest runs of a job, newest first."""
    rows = connection.execute(
        select(job_runs).where(job_runs.c.job == job).order_by(job_runs.c.id.desc()).limit(limit)
    )
    return [_read(row) for row in rows.mappings()]


def running(connection: Connection) -> list[JobRun]:
    """Return the runs in progress, including those whose replica has stopped."""
    rows = connection.execute(select(job_runs).where(job_runs.c.outcome == JobOutcome.RUNNING))
    return [_read(row) for row in rows.mappings()]


def latest(connection: Connection) -> dict[str, JobRun]:
    """Return the newest finished run of each job that was started, by job."""
    return _newest(connection, [outcome for outcome in JobOutcome if outcome not in _NOT_RUN])


def succeeded(connection: Connection) -> dict[str, JobRun]:
    """Return the newest successful run of each job."""
    return _newest(connection, list(GOOD))


def last_done(connection: Connection, job: str) -> JobRun | None:
    """Return the newest run of a job that did its work."""
    found = select(job_runs).where(job_runs.c.job == job, job_runs.c.outcome == JobOutcome.DONE)
    row = connection.execute(found.order_by(job_runs.c.id.desc()).limit(1)).mappings().first()
    return None if row is None else _read(row)


_NOT_RUN = {JobOutcome.RUNNING, JobOutcome.REFUSED}


def _newest(connection: Connection, outcomes: Sequence[JobOutcome]) -> dict[str, JobRun]:
    newest = (
        select(func.max(job_runs.c.id))
        .where(job_runs.c.outcome.in_(outcomes))
        .group_by(job_runs.c.job)
    )
    rows = connection.execute(select(job_runs).where(job_runs.c.id.in_(newest)))
    return {row["job"]: _read(row) for row in rows.mappings()}


def store_sessions(
    connection: Connection,
    calendar: str,
    sessions: Sequence[tuple[datetime, datetime]],
    *,
    now: datetime,
) -> None:
    """Replace the current and future sessions of a calendar."""
    mine = trading_sessions.c.calendar == calendar
    connection.execute(delete(trading_sessions).where(mine))
    if sessions:
        rows = [
            {"calendar": calendar, "opens_at": opens_at, "closes_at": closes_at}
            for opens_at, closes_at in sessions
        ]
        connection.execute(insert(trading_sessions), rows)
    events.add(
        connection,
        at=now,
        kind="sessions_stored",
        note=calendar,
        after={"sessions": len(sessions), "until": sessions[-1][1] if sessions else None},
    )


def sessions_of(connection: Connection, calendar: str) -> list[tuple[datetime, datetime]]:
    """Return the stored sessions of a calendar, sorted."""
    mine = trading_sessions.c.calendar == calendar
    columns = (trading_sessions.c.opens_at, trading_sessions.c.closes_at)
    rows = connection.execute(select(*columns).where(mine).order_by(trading_sessions.c.opens_at))
    return [(row.opens_at, row.closes_at) for row in rows]


def _handle(connection: Connection, job: str, due_at: datetime, now: datetime) -> bool:
    """Mark a due time as handled; False if another replica already did."""
    row = connection.execute(
        select(jobs.c.handled_at, jobs.c.held_due_at).where(jobs.c.name == job).with_for_update()
    ).one()
    is_new = row.handled_at < due_at or row.handled_at - now > WRONG_CLOCK
    if not is_new and row.held_due_at != due_at:
        return False
    connection.execute(
        update(jobs)
        .where(jobs.c.name == job)
        .values(handled_at=max(due_at, now), held_due_at=None, held_by=None)
    )
    return True


def _read(row: RowMapping) -> JobRun:
    return JobRun(
        id=row["id"],
        job=row["job"],
        due_at=row["due_at"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        outcome=JobOutcome(row["outcome"]),
        detail=row["detail"],
        actor=row["actor"],
        replica=row["replica"],
    )
