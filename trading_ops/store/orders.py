"""What people order by hand: started like a runbook's step, in one transaction, or refused."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from trading_ops.domain.approval import digest
from trading_ops.domain.attempt import Attempt, AttemptId, AttemptState, Delivery
from trading_ops.domain.maintenance import covering
from trading_ops.domain.runbook import Limits, Step
from trading_ops.store import (
    approvals,
    attempts,
    claims,
    events,
    fencing,
    maintenance,
    pauses,
    starting,
)
from trading_ops.store.claims import Claim
from trading_ops.store.tables import attempts as table


@dataclass(frozen=True, kw_only=True)
class Order:
    """A person's order, ready to be started."""

    step: Step
    target: str
    """The root target."""

    owner: str
    reason: str
    limits: Limits
    everywhere_limit: int | None
    """None: an emergency action, which no budget of the fleet holds back."""

    everywhere_since: datetime
    claim: Claim | None = None
    """The lease under which it starts; None: there is no other replica."""

    @property
    def digest(self) -> str:
        """What its approval must be bound to."""
        return digest(
            incident_id=None,
            action=self.step.action,
            target=self.target,
            params=self.step.params,
            step=None,
        )


def start(connection: Connection, order: Order, *, now: datetime) -> Attempt | None:
    """Commit that an order starts, or return None when a gate shut since it was decided."""
    if not _still_allowed(connection, order, now):
        return None
    key = AttemptId(str(uuid.uuid4()))
    # Last of all, for it changes something: with it the attempt starts, or neither happens.
    spends = order.step.approval
    if spends and not approvals.use(connection, order.digest, attempt_id=key, now=now):
        return None
    attempt = Attempt(
        id=key,
        incident_id=None,
        runbook="",
        target=order.target,
        action=order.step.action,
        params=dict(order.step.params),
        step=0,
        delivery=order.step.delivery,
        fence=fencing.raise_fence(connection, order.target),
        state=AttemptState.STARTED,
        ordered_by=order.owner,
        started_at=now,
    )
    attempts.add(connection, attempt, actor=order.owner, reason=order.reason)
    return attempt


def refuse(
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
    """Keep that somebody ordered something, and which gate stood in the way."""
    events.add(
        connection,
        at=now,
        kind="order_refused",
        actor=owner,
        reason=gate,
        note=f"{action} on {target}: {note}" if note else f"{action} on {target}",
        after={"params": dict(params), "ordered_for": reason},
    )


def running(connection: Connection) -> list[Attempt]:
    """Return the orders by hand that hold a target, oldest first."""
    held = table.c.state.in_(attempts.RUNNING_VALUES)
    return attempts.read(connection, select(table).where(table.c.incident_id.is_(None), held))


def find(connection: Connection, key: str) -> Attempt | None:
    """Return one attempt by its id."""
    found = attempts.read(connection, select(table).where(table.c.id == key))
    return found[0] if found else None


def search(connection: Connection, *, target: str | None = None, limit: int = 100) -> list[Attempt]:
    """Return what was ordered by hand, newest first."""
    statement = select(table).where(table.c.incident_id.is_(None))
    if target is not None:
        statement = statement.where(table.c.target == target)
    newest = statement.order_by(table.c.started_at.desc()).limit(limit)
    return list(reversed(attempts.read(connection, newest)))


def _still_allowed(connection: Connection, order: Order, now: datetime) -> bool:
    """Look again at everything that another writer could have changed; see `starting.start`."""
    claim = order.claim
    if claim is not None and not claims.is_held(connection, claim, now=now, margin=claims.MARGIN):
        return False
    step = order.step
    if step.delivery is Delivery.SAFE_DIRECTION:
        return True  # a person's order to be careful passes every gate
    if pauses.current(connection, now=now) is not None:
        return False
    if covering(maintenance.current(connection, now=now), order.target, now) is not None:
        return False
    limits = order.limits
    if not starting.has_budget(connection, order.target, step.action, limits, None, now=now):
        return False
    if order.everywhere_limit is None:
        return True
    return starting.starts_below(
        connection, order.everywhere_limit, since=order.everywhere_since, now=now
    )
