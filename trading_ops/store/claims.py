"""Which replica works on what: leases on keys, by the database's clock.

A key is a root target (`target:NAME`), or a shard of the incidents without one (`unregistered:f`).
Only the replica that holds a key decides and starts actions for it. When its lease expires, another
replica takes the key over, raises the target's fence and probes unfinished attempts. Claim
transactions are short: rows locked by others are skipped, and none is held during an action.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, func, insert, or_, select, update

from trading_ops.store import events
from trading_ops.store.database_clock import database_now
from trading_ops.store.tables import claims, replicas
from trading_ops.store.upsert import upsert

LEASE = timedelta(seconds=15)
MARGIN = timedelta(seconds=5)
"""No effect is started when less than this is left of the lease."""

GONE = timedelta(minutes=5)
"""After this a replica that was not seen is forgotten."""

CHUNK = 500


@dataclass(frozen=True)
class Claim:
    """A key as one replica holds it."""

    key: str
    replica: str


def clear(connection: Connection) -> None:
    """Drop every claim. Only safe when no other replica can run: behind SQLite's file lock."""
    connection.execute(delete(claims))
    connection.execute(delete(replicas))


def renew(connection: Connection, replica: str, *, now: datetime) -> frozenset[str]:
    """Record that this replica is alive, extend its leases, and return the keys that it holds.

    An expired lease that no replica has taken over is extended too.
    """
    moment = database_now(connection, now)
    known = connection.execute(
        update(replicas).where(replicas.c.name == replica).values(seen_at=moment)
    ).rowcount
    if not known:
        connection.execute(insert(replicas).values(name=replica, started_at=moment, seen_at=moment))
        connection.execute(delete(replicas).where(replicas.c.seen_at < moment - GONE))
    connection.execute(
        update(claims).where(claims.c.replica == replica).values(until=moment + LEASE)
    )
    held = select(claims.c.key).where(claims.c.replica == replica)
    return frozenset(connection.execute(held).scalars())


def take(
    connection: Connection, replica: str, wanted: Sequence[str], *, held: int, now: datetime
) -> frozenset[str]:
    """Claim what is free of the wanted keys, up to this replica's fair share.

    Args:
        connection: inside a transaction.
        replica: who claims.
        wanted: keys that it does not hold.
        held: how many it holds already.
        now: the process's time, for databases without a clock.

    Returns:
        The keys that it holds from now on.
    """
    moment = database_now(connection, now)
    alive = connection.execute(
        select(func.count()).select_from(replicas).where(replicas.c.seen_at > moment - LEASE)
    ).scalar_one()
    room = math.ceil((len(wanted) + held) / max(alive, 1)) - held if alive > 1 else len(wanted)
    taken: set[str] = set()
    for begin in range(0, len(wanted), CHUNK):
        if len(taken) >= room:
            break
        chunk = wanted[begin : begin + CHUNK]
        taken |= _take_chunk(connection, replica, chunk, moment=moment, room=room - len(taken))
    return frozenset(taken)


def _take_chunk(
    connection: Connection, replica: str, keys: Sequence[str], *, moment: datetime, room: int
) -> set[str]:
    _make_rows(connection, keys)
    free = or_(claims.c.replica.is_(None), claims.c.until <= moment)
    statement = (
        select(claims.c.key, claims.c.replica)
        .where(claims.c.key.in_(keys), free)
        .limit(room)
        .with_for_update(skip_locked=True)
    )
    rows = connection.execute(statement).all()
    taken = {row.key for row in rows}
    if taken:
        connection.execute(
            update(claims)
            .where(claims.c.key.in_(taken))
            .values(replica=replica, until=moment + LEASE)
        )
    for row in rows:
        if row.replica not in (None, replica):
            events.add(
                connection,
                at=moment,
                kind="claim_taken_over",
                actor=replica,
                note=f"{row.key} from {row.replica}",
                before={"replica": row.replica},
                after={"replica": replica},
            )
    return taken


def _make_rows(connection: Connection, keys: Sequence[str]) -> None:
    known = set(
        connection.execute(select(claims.c.key).where(claims.c.key.in_(keys))).scalars().all()
    )
    missing = [{"key": key} for key in keys if key not in known]
    if not missing:
        return
    connection.execute(upsert(connection, claims).on_conflict_do_nothing(), missing)


def release(connection: Connection, replica: str, keys: Collection[str]) -> None:
    """Give keys up, so that anyone may take them at once."""
    ordered = sorted(keys)
    for begin in range(0, len(ordered), CHUNK):
        mine = claims.c.replica == replica, claims.c.key.in_(ordered[begin : begin + CHUNK])
        connection.execute(update(claims).where(*mine).values(replica=None, until=None))


def leave(connection: Connection, replica: str) -> None:
    """Give everything up at the end of a replica."""
    mine = claims.c.replica == replica
    connection.execute(update(claims).where(mine).values(replica=None, until=None))
    connection.execute(delete(replicas).where(replicas.c.name == replica))


def holder(connection: Connection, key: str, *, now: datetime) -> str | None:
    """Return the replica whose lease on a key is running, or None."""
    moment = database_now(connection, now)
    return connection.execute(
        select(claims.c.replica).where(claims.c.key == key, claims.c.until > moment)
    ).scalar_one_or_none()


def is_held(
    connection: Connection, claim: Claim, *, now: datetime, margin: timedelta = timedelta(0)
) -> bool:
    """Whether the claim is valid for at least `margin`.

    It cannot be lost before this transaction ends: a takeover skips rows with any lock. The lock
    must be the weakest one: a transaction may be long, and the renewal of the same claim, on its
    own connection, must not wait for it or deadlock with it.
    """
    moment = database_now(connection, now)
    until = connection.execute(
        select(claims.c.until)
        .where(claims.c.key == claim.key, claims.c.replica == claim.replica)
        .with_for_update(read=True, key_share=True)
    ).scalar_one_or_none()
    return until is not None and until > moment + margin
