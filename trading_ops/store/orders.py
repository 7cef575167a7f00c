"""Manual actions as they are refused, stored and found; `starting` starts them."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection, select

from trading_ops.domain.attempt import Attempt
from trading_ops.store import attempts, events
from trading_ops.store.tables import attempts as table


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
    """Record a manual action that was requested and the gate that refused it."""
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
    """Return the manual actions that hold a target, oldest first."""
    held = table.c.state.in_(attempts.RUNNING_VALUES)
    return attempts.read(connection, select(table).where(table.c.incident_id.is_(None), held))


def find(connection: Connection, key: str) -> Attempt | None:
    """Return one attempt by its id."""
    found = attempts.read(connection, select(table).where(table.c.id == key))
    return found[0] if found else None


def search(connection: Connection, *, target: str | None = None, limit: int = 100) -> list[Attempt]:
    """Return the manual actions, newest first."""
    statement = select(table).where(table.c.incident_id.is_(None))
    if target is not None:
        statement = statement.where(table.c.target == target)
    newest = statement.order_by(table.c.started_at.desc()).limit(limit)
    return list(reversed(attempts.read(connection, newest)))
