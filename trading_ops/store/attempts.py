"""Attempts: the transaction that starts one, its state changes, and queries.

The transaction reads the rows of every gate again, under a lock, and checks the gates a second
time, so that two reconcilers cannot both start a step and a crash cannot start it twice.
"""

import uuid
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, bindparam, insert, select, update

from trading_ops.domain.attempt import (
    LAST_LINES,
    RUNNING,
    Attempt,
    AttemptId,
    AttemptState,
    DeliverySemantics,
)
from trading_ops.domain.decision import AttemptHistory, Reason, Wait
from trading_ops.domain.gates import (
    ClosedGate,
    GateInput,
    acknowledged_or_escalated,
    first_closed_gate,
    is_ahead,
)
from trading_ops.domain.maintenance import covering
from trading_ops.domain.runbook import LONGEST_WINDOW
from trading_ops.store import (
    acknowledgements,
    approvals,
    events,
    holds,
    leases,
    maintenance,
)
from trading_ops.store.engine import lock_until_commit
from trading_ops.store.leases import Claim, raise_fence
from trading_ops.store.tables import attempts, fences, incidents

STARTING = 0x7472_6F71
"""The advisory lock under which attempts are counted and started; see `incidents.OPENING`."""

RUNNING_VALUES = [state.value for state in RUNNING]

# Built once: building a statement costs more than running it, and many passes run these.
_SINCE = bindparam("since", type_=attempts.c.started_at.type)
_BUDGET_RESET = select(fences.c.budget_reset_at).where(fences.c.target == bindparam("name"))
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
        (fences.c.budget_reset_at.is_(None)) | (attempts.c.started_at > fences.c.budget_reset_at),
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


@dataclass(frozen=True, kw_only=True)
class StartRequest:
    """What is about to start: a runbook step or a manual action."""

    gate_input: GateInput
    """The input of the decision. Stored rows are read again; the rest, such as the state in
    Prometheus and the target's answers, is used as it is."""

    claim: Claim | None = None
    """The lease under which it starts; None: there is only one replica."""

    requested_by: str | None = None
    """Who requested the manual action."""

    reason: str = ""
    """The operator's reason."""


def start(connection: Connection, request: StartRequest, *, now: datetime) -> Attempt | None:
    """Commit that a step starts, or return None when a gate closed since it was decided."""
    if closed_gate(connection, request, now=now) is not None:
        return None
    given, step = request.gate_input, request.gate_input.step
    key = AttemptId(str(uuid.uuid4()))
    # Last: it modifies the approval, so both commit or neither does.
    if step.approval and not approvals.use(connection, given.digest, attempt_id=key, now=now):
        return None
    attempt = Attempt(
        id=key,
        incident_id=given.incident.id if given.incident else None,
        runbook=given.runbook.alert if given.runbook else "",
        target=given.target,
        action=step.action,
        params=dict(step.params),
        step=given.index or 0,
        delivery=step.delivery,
        fence=raise_fence(connection, given.target),
        state=AttemptState.STARTED,
        requested_by=request.requested_by,
        started_at=now,
    )
    add(connection, attempt, actor=request.requested_by or "reconciler", reason=request.reason)
    return attempt


def closed_gate(
    connection: Connection, request: StartRequest, *, now: datetime
) -> ClosedGate | None:
    """Check the gates again, on rows read in this transaction."""
    claim, incident = request.claim, request.gate_input.incident
    if claim is not None and not leases.is_held(connection, claim, now=now, margin=leases.MARGIN):
        return Wait(reason=Reason.TARGET_BUSY, note=f"the lease of {claim.key} was lost")
    given = _reload(connection, request.gate_input, now)
    if incident is None:
        return first_closed_gate(given)
    row = connection.execute(
        select(incidents.c.closed_at, incidents.c.escalated_at).where(incidents.c.id == incident.id)
    ).one_or_none()
    if row is None or row.closed_at is not None:
        return Wait(reason=Reason.RESOLVED, note="the incident was closed")
    return acknowledged_or_escalated(
        replace(incident, escalated_at=row.escalated_at), given.world
    ) or first_closed_gate(given)


def _reload(connection: Connection, given: GateInput, now: datetime) -> GateInput:
    """Return the input with everything replaced that another writer may have changed."""
    target, incident = given.target, given.incident
    acknowledged = acknowledgements.phrase(connection, incident.id) if incident else None
    world = replace(
        given.world, pause=maintenance.current_pause(connection, now=now), acknowledged=acknowledged
    )
    if given.step.delivery is DeliverySemantics.SAFE_DIRECTION:
        return replace(given, world=world, now=now)  # no other gate is checked
    _start_one_at_a_time(connection)
    since = now - given.limits.window
    return replace(
        given,
        world=replace(
            world,
            maintenance=covering(maintenance.current(connection, now=now), target, now),
            halted=holds.halted_by_operators(connection).get(target),
            approvals=approvals.active(connection, now=now) if given.step.approval else {},
        ),
        history=AttemptHistory(
            target=tuple(of_target(connection, target, since=now - LONGEST_WINDOW)),
            everywhere=count_since(connection, since, now=now),
        ),
        now=now,
    )


def _start_one_at_a_time(connection: Connection) -> None:
    """Without it, two replicas acting on different targets could both use the last attempt."""
    lock_until_commit(connection, STARTING)


def add(
    connection: Connection, attempt: Attempt, *, actor: str = "reconciler", reason: str = ""
) -> None:
    """Store a started attempt; the caller has checked the gates in the same transaction."""
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
            "requested_by": attempt.requested_by,
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
    log: Sequence[str] = (),
) -> bool:
    """Change the state of an attempt by compare-and-set; False if another process did it first.

    `log` is what the process that it restarted logged last; it becomes an event of its own.
    """
    verification = state in (AttemptState.VERIFIED, AttemptState.UNVERIFIED)
    full_detail = f"{attempt.detail}; {detail}" if verification and attempt.detail else detail
    values: dict[str, object] = {"state": state.value, "detail": full_detail}
    if state is AttemptState.VERIFIED:
        values["verified_at"] = now
    elif state is not AttemptState.UNVERIFIED:
        values["ended_at"] = now
    was = connection.execute(_STATE, {"key": attempt.id}).scalar_one_or_none()
    known = {
        "key": attempt.id,
        "of_fence": attempt.fence,
        "only_from": [state.value for state in only_from],
    }
    changed = connection.execute(_FINISH, known | values).rowcount
    if changed and log:
        events.add(
            connection,
            at=now,
            kind=LAST_LINES,
            incident_id=attempt.incident_id,
            attempt_id=attempt.id,
            note="\n".join(log),
        )
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


def refuse_manual(
    connection: Connection,
    *,
    action: str,
    target: str,
    params: Mapping[str, str],
    owner: str,
    reason: str,
    gate: str,
    note: str,
    now: datetime,
) -> None:
    """Record a refused manual action and the gate that refused it."""
    events.add(
        connection,
        at=now,
        kind="request_refused",
        actor=owner,
        reason=gate,
        note=f"{action} on {target}: {note}" if note else f"{action} on {target}",
        after={"params": dict(params), "ordered_for": reason},
    )


def of_incident(connection: Connection, incident_id: str) -> list[Attempt]:
    """Return the attempts of one incident, oldest first."""
    # By the fence, which only grows: clocks of replicas differ, and a clock can step back.
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
    """Return the attempts that count against a target's budgets since `since`, and running ones."""
    reset_at = connection.execute(_BUDGET_RESET, {"name": target}).scalar_one_or_none()
    begin = max(since, reset_at) if reset_at else since
    found = connection.execute(_OF_TARGET, {"name": target, "since": begin})
    return _read(found.mappings().all())


def count_since(connection: Connection, since: datetime, *, now: datetime) -> int:
    """Return the number of attempts on all targets since `since` and the last budget reset.

    Attempts as far in the future as `since` is in the past come from a clock that stepped back.
    """
    return sum(not is_ahead(start, now, now - since) for start in starts_since(connection, since))


def starts_since(connection: Connection, since: datetime) -> list[datetime]:
    """Return the start times of attempts on any target since `since` and the last budget reset."""
    return list(connection.execute(_STARTS, {"since": since}).scalars())


def running(connection: Connection) -> list[Attempt]:
    """Return all attempts that block their target."""
    statement = select(attempts).where(attempts.c.state.in_(RUNNING_VALUES))
    return _read(connection.execute(statement.order_by(attempts.c.started_at)).mappings().all())


def running_manual(connection: Connection) -> list[Attempt]:
    """Return the manual actions that block a target, oldest first."""
    held = attempts.c.state.in_(RUNNING_VALUES)
    return read(connection, select(attempts).where(attempts.c.incident_id.is_(None), held))


def find(connection: Connection, key: str) -> Attempt | None:
    """Return one attempt by its id."""
    found = read(connection, select(attempts).where(attempts.c.id == key))
    return found[0] if found else None


def reset_budget(
    connection: Connection, target: str, *, owner: str, reason: str, now: datetime
) -> None:
    """Reset a target's attempt budgets and cooldowns, and record who did it."""
    fence = raise_fence(connection, target)
    mine = fences.c.target == target
    was = connection.execute(select(fences.c.budget_reset_at).where(mine)).scalar_one()
    connection.execute(update(fences).where(mine).values(budget_reset_at=now))
    events.add(
        connection,
        at=now,
        kind="budget_reset",
        actor=owner,
        reason=reason,
        note=f"budgets of {target}",
        before={"budget_reset_at": was},
        after={"budget_reset_at": now, "fence": fence},
    )


def read(connection: Connection, statement: Select[Any]) -> list[Attempt]:
    """Return the attempts that a query returns."""
    return _read(connection.execute(statement).mappings().all())


def attempt_from_row(row: RowMapping) -> Attempt:
    """Return the attempt of a row of the table."""
    return Attempt(
        id=row["id"],
        incident_id=row["incident_id"],
        runbook=row["runbook"],
        target=row["target"],
        action=row["action"],
        step=row["step"],
        delivery=DeliverySemantics(row["delivery"]),
        fence=row["fence"],
        state=AttemptState(row["state"]),
        params=row["params"],
        requested_by=row["requested_by"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        verified_at=row["verified_at"],
        detail=row["detail"],
    )


def _read(rows: Collection[RowMapping]) -> list[Attempt]:
    return [attempt_from_row(row) for row in rows]
