"""Readiness runs, their plans and their progress. A bot has at most one open run."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import Connection, insert, select, update

from trading_ops.domain.approval import Approval, digest
from trading_ops.domain.attempt import AttemptState
from trading_ops.domain.decision import Reason
from trading_ops.domain.hold import HeldState
from trading_ops.domain.readiness import ReadinessPlan, ReadinessRun, RunChange, RunState
from trading_ops.errors import RequestRefused
from trading_ops.store import approvals, events
from trading_ops.store.holds import IN_FORCE
from trading_ops.store.tables import attempts, holds, incidents, maintenance, readiness_runs

APPROVAL_ACTION = "readiness_approve"
"""Action name in approval requests."""


class StoredRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run as stored."""

    run: ReadinessRun
    plan: ReadinessPlan
    version: int
    """Increases with each change; an update with an older version is rejected."""


def begin(
    connection: Connection, run: ReadinessRun, plan: ReadinessPlan, *, actor: str
) -> StoredRun:
    """Store a new run.

    Raises:
        RequestRefused: the bot has a run already.
    """
    if find(connection, run.bot) is not None:
        fix = f"`trading-ops readiness abort {run.bot}` ends it"
        raise RequestRefused(f"{run.bot} has a run already: {fix}")
    connection.execute(
        insert(readiness_runs).values(
            id=run.id,
            bot=run.bot,
            plan=msgspec.to_builtins(plan),
            state=msgspec.to_builtins(run),
            version=1,
            begun_at=run.begun_at,
        )
    )
    first = plan.stages[0]
    events.add(
        connection,
        at=run.begun_at,
        kind="readiness_started",
        actor=actor,
        note=f"{run.bot}: {first.phase}/{first.name}",
        after={"run": run.id},
    )
    return StoredRun(run=run, plan=plan, version=1)


def save(
    connection: Connection,
    stored: StoredRun,
    run: ReadinessRun,
    changes: Sequence[RunChange],
    *,
    now: datetime,
    actor: str = "reconciler",
    reason: str = "",
) -> bool:
    """Store a changed run and record the changes; False: it was changed concurrently."""
    ended = now if run.state is RunState.ABORTED else None
    changed = connection.execute(
        update(readiness_runs)
        .where(readiness_runs.c.id == run.id, readiness_runs.c.version == stored.version)
        .values(state=msgspec.to_builtins(run), version=stored.version + 1, ended_at=ended)
    ).rowcount
    if not changed:
        return False
    for entry in changes:
        events.add(
            connection,
            at=now,
            kind=entry.kind,
            actor=actor,
            reason=reason,
            note=entry.note,
            before=_shown(stored.run),
            after=_shown(run),
        )
    return True


def change(
    connection: Connection,
    bot: str,
    alter: Callable[[StoredRun], tuple[ReadinessRun, RunChange]],
    *,
    now: datetime,
    actor: str,
    reason: str,
    approved: bool = True,
) -> StoredRun | Approval:
    """Change the open run of a bot at an operator's request; return it.

    Args:
        connection: inside a transaction.
        bot: its name.
        alter: returns the changed run and what to record; may raise RequestRefused.
        now: the time.
        actor: who requested it.
        reason: why.
        approved: if False, another operator must approve the stage; without an approval, the
            request for one is returned and nothing changes.

    Raises:
        RequestRefused: the bot has no open run, or it was changed concurrently.
    """
    stored = find(connection, bot)
    if stored is None:
        fix = f"`trading-ops readiness begin {bot}` begins one"
        raise RequestRefused(f"{bot} has no open run: {fix}")
    run, change = alter(stored)
    if not approved:
        approval = _spend_approval(connection, stored, run, actor=actor, now=now)
        if approval is not None:
            return approval
    if not save(connection, stored, run, (change,), now=now, actor=actor, reason=reason):
        raise RequestRefused("the run has changed meanwhile: try again")
    return StoredRun(run=run, plan=stored.plan, version=stored.version + 1)


def find(connection: Connection, bot: str) -> StoredRun | None:
    """Return the open run of a bot."""
    return next((run for run in open_runs(connection) if run.run.bot == bot), None)


def latest(connection: Connection, bot: str) -> StoredRun | None:
    """Return the open run of a bot, or the last one."""
    statement = (
        select(readiness_runs)
        .where(readiness_runs.c.bot == bot)
        .order_by(readiness_runs.c.ended_at.is_not(None), readiness_runs.c.begun_at.desc())
        .limit(1)
    )
    row = connection.execute(statement).mappings().one_or_none()
    return None if row is None else _read(row)


def open_runs(connection: Connection) -> list[StoredRun]:
    """Return the run of each bot that has one."""
    statement = select(readiness_runs).where(readiness_runs.c.ended_at.is_(None))
    rows = connection.execute(statement.order_by(readiness_runs.c.bot)).mappings()
    return [_read(row) for row in rows]


def held_without_hold(connection: Connection) -> list[ReadinessRun]:
    """Return the held runs whose hold was never stored, not even one that was released since."""
    held = {
        stored.run.hold_key: stored.run
        for stored in open_runs(connection)
        if stored.run.state is RunState.HELD
    }
    placed = connection.execute(select(holds.c.id).where(holds.c.id.in_(held))).scalars()
    for key in placed:
        del held[key]
    return list(held.values())


def verified_actions(
    connection: Connection, bot: str, actions: Collection[str], *, since: datetime
) -> dict[str, datetime]:
    """Return when each action was last verified on a bot.

    An acknowledged hold counts as a halt.
    """
    statement = select(attempts.c.action, attempts.c.verified_at).where(
        attempts.c.target == bot,
        attempts.c.action.in_(actions),
        attempts.c.state == AttemptState.VERIFIED,
        attempts.c.verified_at >= since,
    )
    found: dict[str, datetime] = {}
    for row in connection.execute(statement.order_by(attempts.c.verified_at)):
        found[row.action] = row.verified_at
    if "halt_trading" in actions:
        halts = select(holds.c.id, holds.c.at).where(
            holds.c.target == bot, holds.c.state == HeldState.HALTED, holds.c.at >= since
        )
        for row in connection.execute(halts.order_by(holds.c.at)):
            if events.exists(connection, kinds=IN_FORCE, since=row.at, id=row.id):
                found["halt_trading"] = max(row.at, found.get("halt_trading", row.at))
    return found


def ended_alerts(
    connection: Connection, bot: str, alerts: Collection[str], *, since: datetime
) -> dict[str, datetime]:
    """Return when the last incident of each alert of a bot ended: drills and real ones.

    An incident that an operator closed does not count: it may still have been firing.
    """
    statement = select(incidents.c.alert, incidents.c.closed_at).where(
        incidents.c.target == bot,
        incidents.c.alert.in_(alerts),
        incidents.c.opened_at >= since,
        incidents.c.close_reason.in_((Reason.RECOVERED, Reason.RESOLVED)),
    )
    rows = connection.execute(statement.order_by(incidents.c.closed_at))
    return {row.alert: row.closed_at for row in rows}


def explanation(
    connection: Connection,
    bot: str,
    *,
    actions: Collection[str],
    crashes: Collection[str],
    since: datetime,
    until: datetime,
) -> str:
    """Return what explains a restart of a bot in a period; empty: nothing recorded.

    Args:
        connection: to read from.
        bot: its name.
        actions: actions that restart a process.
        crashes: runbooks that restart a crashed process, which does not explain the crash.
        since: the beginning of the period.
        until: its end.
    """
    overlapping = select(maintenance).where(
        (maintenance.c.target == bot) | maintenance.c.target.is_(None),
        maintenance.c.begins_at < until,
        maintenance.c.ends_at > since,
    )
    row = connection.execute(overlapping.limit(1)).mappings().one_or_none()
    if row is not None:
        return f"maintenance window {row['id']} of {row['owner']}"
    ordered = select(attempts.c.id, attempts.c.action).where(
        attempts.c.target == bot,
        attempts.c.action.in_(actions),
        attempts.c.runbook.not_in(crashes),
        attempts.c.state.not_in((AttemptState.FAILED, AttemptState.ABANDONED)),
        attempts.c.started_at > since - timedelta(minutes=1),
        attempts.c.started_at <= until,
    )
    found = connection.execute(ordered.limit(1)).one_or_none()
    return "" if found is None else f"attempt {found.id} ({found.action})"


def _spend_approval(
    connection: Connection, stored: StoredRun, run: ReadinessRun, *, actor: str, now: datetime
) -> Approval | None:
    """Use another operator's approval of a stage; without one, return the request for it."""
    params = {
        "run": run.id,
        "stage": stored.plan.stages[run.stage].name,
        "after_breaches": str(run.breaches),
    }
    bound = digest(
        incident_id=None, action=APPROVAL_ACTION, target=run.bot, params=params, step=None
    )
    if approvals.use(connection, bound, attempt_id=None, now=now):
        return None
    return approvals.request(
        connection,
        incident_id=None,
        action=APPROVAL_ACTION,
        target=run.bot,
        params=params,
        step=None,
        requested_by=actor,
        now=now,
    )


def _read(row: Any) -> StoredRun:
    return StoredRun(
        run=msgspec.convert(row["state"], ReadinessRun),
        plan=msgspec.convert(row["plan"], ReadinessPlan),
        version=row["version"],
    )


def _shown(run: ReadinessRun) -> dict[str, Any]:
    return {
        "run": run.id,
        "bot": run.bot,
        "state": run.state,
        "stage": run.stage,
        "hours": round(run.credited / timedelta(hours=1), 3),
    }
