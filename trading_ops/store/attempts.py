"""Attempts as they are stored, moved on and found; see `starting` for how one starts."""

from collections import defaultdict
from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, bindparam, insert, select, update

from trading_ops.domain.attempt import RUNNING, Attempt, AttemptState, Delivery
from trading_ops.domain.gates import is_ahead
from trading_ops.store import events
from trading_ops.store.fencing import raise_fence
from trading_ops.store.tables import attempts, fences, incidents

RUNNING_VALUES = [state.value for state in RUNNING]

# Built once: each pass that finds something new reads these, and building them costs more.
_SINCE = bindparam("since", type_=attempts.c.started_at.type)
_FORGIVEN = select(fences.c.forgiven_at).where(fences.c.target == bindparam("name"))
_OF_TARGET = (
    select(attempts)
    .where(
        attempts.c.target == bindparam("name"),
        (attempts.c.started_at > _SINCE) | attempts.c.state.in_(RUNNING_VALUES),
    )
    .order_by(attempts.c.started_at)
)
_STARTS = (
    select(attempts.c.started_at)
    .select_from(attempts.outerjoin(fences, fences.c.target == attempts.c.target))
    .where(
        attempts.c.started_at > _SINCE,
        (fences.c.forgiven_at.is_(None)) | (attempts.c.started_at > fences.c.forgiven_at),
    )
)

_ADD = insert(attempts)
_STATE = select(attempts.c.state).where(attempts.c.id == bindparam("key")).with_for_update()
_FINISH = update(attempts).where(
    attempts.c.id == bindparam("key"),
    attempts.c.fence == bindparam("of_fence"),
    attempts.c.state.in_(bindparam("only_from", expanding=True)),
)
_OF_INCIDENT = (
    select(attempts).where(attempts.c.incident_id == bindparam("key")).order_by(attempts.c.fence)
)
_OF_OPEN = (
    select(attempts)
    .join(incidents, incidents.c.id == attempts.c.incident_id)
    .where(incidents.c.closed_at.is_(None))
    .order_by(attempts.c.fence)
)
_OF_THESE = _OF_OPEN.where(attempts.c.incident_id.in_(bindparam("only", expanding=True)))


def add(
    connection: Connection, attempt: Attempt, *, actor: str = "reconciler", reason: str = ""
) -> None:
    """Store an attempt that starts; the gates were looked at before, in the same transaction."""
    connection.execute(
        _ADD,
        {
            "id": attempt.id,
            "incident_id": attempt.incident_id,
            "runbook": attempt.runbook,
            "target": attempt.target,
            "action": attempt.action,
            "params": dict(attempt.params),
            "step": attempt.step,
            "delivery": attempt.delivery.value,
            "fence": attempt.fence,
            "state": attempt.state.value,
            "ordered_by": attempt.ordered_by,
            "started_at": attempt.started_at,
        },
    )
    events.add(
        connection,
        at=attempt.started_at,
        kind="started",
        incident_id=attempt.incident_id,
        attempt_id=attempt.id,
        actor=actor,
        reason=reason,
        note=f"{attempt.action} on {attempt.target}",
        after={
            "state": attempt.state,
            "params": dict(attempt.params),
            "step": attempt.step,
            "fence": attempt.fence,
        },
    )


def finish(
    connection: Connection,
    attempt: Attempt,
    state: AttemptState,
    *,
    detail: str,
    now: datetime,
    only_from: Collection[AttemptState],
) -> bool:
    """Change the state of an attempt by compare-and-set; False if another process did it first."""
    verification = state in (AttemptState.VERIFIED, AttemptState.UNVERIFIED)
    whole = f"{attempt.detail}; {detail}" if verification and attempt.detail else detail
    values: dict[str, object] = {"state": state.value, "detail": whole}
    if state is AttemptState.VERIFIED:
        values["verified_at"] = now
    elif state is not AttemptState.UNVERIFIED:
        values["ended_at"] = now
    was = connection.execute(_STATE, {"key": attempt.id}).scalar_one_or_none()
    known = {
        "key": attempt.id,
        "of_fence": attempt.fence,
        "only_from": [one.value for one in only_from],
    }
    changed = connection.execute(_FINISH, known | values).rowcount
    if changed:
        events.add(
            connection,
            at=now,
            kind=state.value,
            incident_id=attempt.incident_id,
            attempt_id=attempt.id,
            note=f"{attempt.action}: {detail}" if detail else attempt.action,
            before={"state": was},
            after={"state": state, "fence": attempt.fence},
        )
    return bool(changed)


def of_incident(connection: Connection, incident_id: str) -> list[Attempt]:
    """Return the attempts of one incident, oldest first."""
    # By the fence, which only grows: the clocks of two replicas, or one put back, may differ.
    return _read(connection.execute(_OF_INCIDENT, {"key": incident_id}).mappings().all())


def of_open_incidents(
    connection: Connection, only: Collection[str] | None = None
) -> dict[str, tuple[Attempt, ...]]:
    """Return the attempts of open incidents by incident id, oldest first, in one query.

    Args:
        connection: to read from.
        only: ids of incidents; None for all that are open.
    """
    if only is None:
        rows = connection.execute(_OF_OPEN)
    else:
        rows = connection.execute(_OF_THESE, {"only": list(only)})
    found: dict[str, list[Attempt]] = defaultdict(list)
    for attempt in _read(rows.mappings().all()):
        if attempt.incident_id is not None:
            found[attempt.incident_id].append(attempt)
    return {key: tuple(group) for key, group in found.items()}


def of_target(connection: Connection, target: str, *, since: datetime) -> list[Attempt]:
    """Return what counts against a target's budgets since a moment, and what runs, oldest first."""
    forgiven = connection.execute(_FORGIVEN, {"name": target}).scalar_one_or_none()
    begin = max(since, forgiven) if forgiven else since
    found = connection.execute(_OF_TARGET, {"name": target, "since": begin})
    return _read(found.mappings().all())


def count_since(connection: Connection, since: datetime, *, now: datetime) -> int:
    """Return how many attempts were started on all targets since a moment, forgiven ones apart.

    What lies as far ahead of now as that moment is past comes from a clock that has stepped back.
    """
    return sum(not is_ahead(start, now, now - since) for start in starts_since(connection, since))


def starts_since(connection: Connection, since: datetime) -> list[datetime]:
    """Return when attempts were started on any target since a moment, forgiven ones apart."""
    return list(connection.execute(_STARTS, {"since": since}).scalars())


def running(connection: Connection) -> list[Attempt]:
    """Return all attempts that hold a target."""
    statement = select(attempts).where(attempts.c.state.in_(RUNNING_VALUES))
    return _read(connection.execute(statement.order_by(attempts.c.started_at)).mappings().all())


def reset_budget(
    connection: Connection, target: str, *, owner: str, reason: str, now: datetime
) -> None:
    """Reset a target's attempt budgets and cooldowns, and record who did it."""
    fence = raise_fence(connection, target)
    mine = fences.c.target == target
    was = connection.execute(select(fences.c.forgiven_at).where(mine)).scalar_one()
    connection.execute(update(fences).where(mine).values(forgiven_at=now))
    events.add(
        connection,
        at=now,
        kind="budget_reset",
        actor=owner,
        reason=reason,
        note=f"budgets of {target}",
        before={"forgiven_at": was},
        after={"forgiven_at": now, "fence": fence},
    )


def read(connection: Connection, statement: Select[Any]) -> list[Attempt]:
    """Return the attempts that a query over their table finds."""
    return _read(connection.execute(statement).mappings().all())


def _read(rows: Collection[RowMapping]) -> list[Attempt]:
    read = []
    for row in rows:
        values: dict[str, Any] = dict(row)
        values["delivery"] = Delivery(row["delivery"])
        values["state"] = AttemptState(row["state"])
        read.append(Attempt(**values))
    return read
