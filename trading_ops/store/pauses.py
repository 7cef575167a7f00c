"""Pauses of automation: who, why, and until when. A pause always ends."""

from datetime import datetime

from sqlalchemy import Connection, bindparam, insert, select, update

from trading_ops.domain.decision import Pause
from trading_ops.store import events
from trading_ops.store.tables import pauses

_LONGEST = (
    select(pauses.c.owner, pauses.c.reason, pauses.c.expires_at)
    .where(pauses.c.ended_at.is_(None), pauses.c.expires_at > bindparam("now"))
    .order_by(pauses.c.expires_at.desc())
    .limit(1)
)


def current(connection: Connection, *, now: datetime) -> Pause | None:
    """Return the pause in force; of several, the one that ends last."""
    row = connection.execute(_LONGEST, {"now": now}).one_or_none()
    if row is None:
        return None
    return Pause(owner=row.owner, reason=row.reason, expires_at=row.expires_at)


def begin(connection: Connection, pause: Pause, *, now: datetime) -> int:
    """Pause automation; return the ID of the pause, to end only this one."""
    key = connection.execute(
        insert(pauses).values(
            owner=pause.owner, reason=pause.reason, begins_at=now, expires_at=pause.expires_at
        )
    ).inserted_primary_key
    assert key is not None  # noqa: S101 - an INSERT of one row always has a key
    events.add(
        connection,
        at=now,
        kind="paused",
        actor=pause.owner,
        note=pause.reason,
        after={"pause": int(key[0]), "expires_at": pause.expires_at},
    )
    return int(key[0])


def end(connection: Connection, *, owner: str, now: datetime, only: int | None = None) -> int:
    """End the pauses in force, or only one of them; return how many ended."""
    in_force = [pauses.c.ended_at.is_(None), pauses.c.expires_at > now]
    if only is not None:
        in_force.append(pauses.c.id == only)
    columns = (pauses.c.id, pauses.c.owner, pauses.c.expires_at)
    active = connection.execute(select(*columns).where(*in_force)).all()
    ended = connection.execute(
        update(pauses).where(*in_force).values(ended_at=now, ended_by=owner)
    ).rowcount
    if ended:
        before = [row._asdict() for row in active]
        events.add(
            connection,
            at=now,
            kind="unpaused",
            actor=owner,
            before={"pauses": before},
            after={"pauses": [], "ended": [row.id for row in active]},
        )
    return ended
