"""Which replica works on what: leases on keys, by the database's clock.

A key is a root target (`target:NAME`), or a shard of the incidents without one (`unregistered:f`).
Only the replica that holds a key decides and starts actions for it. When its lease expires, another
replica takes the key over, raises the target's fence and probes unfinished attempts. Claim
transactions are short: rows locked by others are skipped, and none is held during an action.

Fencing tokens protect what leases cannot: an executor rejects requests with a token lower than the
highest that it has seen, so a replica that lost its lease without noticing changes nothing.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    BindParameter,
    Connection,
    Integer,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from trading_ops.domain.attempt import Attempt
from trading_ops.store import events
from trading_ops.store.engine import database_now, upsert
from trading_ops.store.tables import claims, fences, replicas

LEASE = timedelta(seconds=15)
MARGIN = timedelta(seconds=5)
"""No action starts when less than this is left of the lease."""

GONE = timedelta(minutes=5)
"""A replica that was not seen for this long is forgotten."""

CHUNK = 500

# Built once: they run many times a second, and building a statement costs more than running it.
_KEYS: BindParameter[Any] = bindparam("keys", expanding=True)
_SEEN = update(replicas).where(replicas.c.name == bindparam("replica_name"))
_EXTEND = update(claims).where(claims.c.replica == bindparam("holder"))
_HELD = select(claims.c.key).where(claims.c.replica == bindparam("holder"))
_ALIVE = select(func.count()).select_from(replicas).where(replicas.c.seen_at > bindparam("since"))
_FREE = (
    select(claims.c.key, claims.c.replica)
    .where(
        claims.c.key.in_(_KEYS),
        or_(claims.c.replica.is_(None), claims.c.until <= bindparam("moment")),
    )
    .limit(bindparam("room", type_=Integer()))
    .with_for_update(skip_locked=True)
)
_TAKE = update(claims).where(claims.c.key.in_(_KEYS))
_KNOWN = select(claims.c.key).where(claims.c.key.in_(_KEYS))
_RELEASE = (
    update(claims)
    .where(claims.c.replica == bindparam("holder"), claims.c.key.in_(_KEYS))
    .values(replica=None, until=None)
)
_HELD_UNTIL = (
    select(claims.c.until)
    .where(claims.c.key == bindparam("claimed"), claims.c.replica == bindparam("holder"))
    .with_for_update(read=True, key_share=True)
)


@dataclass(frozen=True)
class Claim:
    """A key that a replica holds."""

    key: str
    replica: str


def clear(connection: Connection) -> None:
    """Drop every claim. Safe only when no other replica can run, as under SQLite's file lock."""
    connection.execute(delete(claims))
    connection.execute(delete(replicas))


def renew(connection: Connection, replica: str, *, now: datetime) -> frozenset[str]:
    """Record that this replica is alive, extend its leases, and return the keys that it holds.

    An expired lease that no replica has taken over is extended too.
    """
    moment = database_now(connection, now)
    known = connection.execute(_SEEN, {"replica_name": replica, "seen_at": moment}).rowcount
    if not known:
        connection.execute(insert(replicas).values(name=replica, started_at=moment, seen_at=moment))
        connection.execute(delete(replicas).where(replicas.c.seen_at < moment - GONE))
    connection.execute(_EXTEND, {"holder": replica, "until": moment + LEASE})
    return frozenset(connection.execute(_HELD, {"holder": replica}).scalars())


def take(
    connection: Connection, replica: str, wanted: Sequence[str], *, held: int, now: datetime
) -> frozenset[str]:
    """Claim the free ones of the wanted keys, up to this replica's fair share.

    Args:
        connection: inside a transaction.
        replica: the one that claims.
        wanted: keys that it does not hold yet.
        held: number of keys that it already holds.
        now: the process's time, for databases without a clock.

    Returns:
        The keys that it holds from now on.
    """
    moment = database_now(connection, now)
    alive = connection.execute(_ALIVE, {"since": moment - LEASE}).scalar_one()
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
    rows = connection.execute(_FREE, {"keys": keys, "moment": moment, "room": room}).all()
    taken = {row.key for row in rows}
    if taken:
        values = {"keys": sorted(taken), "replica": replica, "until": moment + LEASE}
        connection.execute(_TAKE, values)
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
    known = set(connection.execute(_KNOWN, {"keys": keys}).scalars())
    missing = [{"key": key} for key in keys if key not in known]
    if not missing:
        return
    connection.execute(upsert(connection, claims).on_conflict_do_nothing(), missing)


def release(connection: Connection, replica: str, keys: Collection[str]) -> None:
    """Release keys, so that any replica can take them immediately."""
    ordered = sorted(keys)
    for begin in range(0, len(ordered), CHUNK):
        chunk = ordered[begin : begin + CHUNK]
        connection.execute(_RELEASE, {"holder": replica, "keys": chunk})


def leave(connection: Connection, replica: str) -> None:
    """Release all leases of a replica that stops."""
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
    mine = {"claimed": claim.key, "holder": claim.replica}
    until = connection.execute(_HELD_UNTIL, mine).scalar_one_or_none()
    return until is not None and until > moment + margin


MOST_AHEAD = 1_000_000
"""The largest accepted lead of an executor's fence over the stored one. A database restored from a
backup can be behind by this much; a larger lead is treated as hostile."""


MAXIMUM_FENCE = 2**53 - 1
"""The highest fence that executors accept: exact in JSON, and far below the limit of databases."""


_LOCKED = select(fences.c.fence).where(fences.c.target == bindparam("name")).with_for_update()
_RAISE = update(fences).where(fences.c.target == bindparam("name")).values(fence=bindparam("token"))


def raise_fence(connection: Connection, target: str) -> int:
    """Return the target's next fencing token: greater than every one before it.

    A database with a fence at or above `MAXIMUM_FENCE` starts again at 1, since no executor accepts
    a higher one. An executor that has seen one of our fences refuses the 1, and its fence is
    adopted. One that has seen `MAXIMUM_FENCE` keeps refusing; the attempt says how to reset it.
    """
    row = connection.execute(_LOCKED, {"name": target}).one_or_none()
    if row is None:
        connection.execute(insert(fences).values(target=target, fence=1))
        return 1
    token = int(row.fence) + 1 if row.fence < MAXIMUM_FENCE else 1
    connection.execute(_RAISE, {"name": target, "token": token})
    return token


def raise_all(
    connection: Connection, seen: Mapping[str, int], *, by: int, owner: str, now: datetime
) -> None:
    """Raise every target's fence after a restore, above the fences issued since the backup.

    Args:
        connection: of the restored database.
        seen: the highest fence that each target's executor had seen at the time of the backup.
        by: more than can have been issued since.
        owner: operator who restores.
        now: of the event.
    """
    rows = connection.execute(select(fences.c.target, fences.c.fence))
    before = {str(row.target): int(row.fence) for row in rows}
    highest = {
        target: max(before.get(target, 0), seen.get(target, 0)) for target in {*before, *seen}
    }
    raised = {target: min(fence + by, MAXIMUM_FENCE) for target, fence in sorted(highest.items())}
    for target, fence in raised.items():
        if target in before:
            statement = update(fences).where(fences.c.target == target).values(fence=fence)
            connection.execute(statement)
        else:
            connection.execute(insert(fences).values(target=target, fence=fence))
    events.add(
        connection,
        at=now,
        kind="fences_raised",
        actor=owner,
        note="restored from a backup",
        before=before,
        after=raised,
    )


def adopt_fence(connection: Connection, attempt: Attempt, highest: int, *, now: datetime) -> bool:
    """Raise a target's fence to the one its executor has seen, unless we issued a higher one.

    The executor has seen a higher fence than an attempt's. If this database has issued a higher
    one since, the attempt is stale and the refusal is right: nothing changes. If not, the executor
    knows an earlier database: this one is new, or was restored from a backup.

    A fence above `MAXIMUM_FENCE`, or more than `MOST_AHEAD` ahead, is not ours and is ignored.

    Returns:
        Whether the fence was raised, so that the next attempt is accepted.
    """
    if highest > MAXIMUM_FENCE or highest - attempt.fence > MOST_AHEAD:
        return False
    changed = connection.execute(
        update(fences)
        .where(
            fences.c.target == attempt.target,
            fences.c.fence == attempt.fence,
            fences.c.fence < highest,
        )
        .values(fence=highest)
    ).rowcount
    if changed:
        events.add(
            connection,
            at=now,
            kind="fence_adopted",
            incident_id=attempt.incident_id,
            attempt_id=attempt.id,
            note=f"{attempt.target}: its executor has seen {highest}, issued by another database",
            before={"fence": attempt.fence},
            after={"fence": highest},
        )
    return bool(changed)
