"""Fencing tokens of targets: who was given a lower one was replaced, and is not obeyed any more."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection, bindparam, insert, select, update

from trading_ops.domain.attempt import Attempt
from trading_ops.store import events
from trading_ops.store.tables import fences

MOST_AHEAD = 1_000_000
"""The largest accepted lead of an executor's fence over the stored one. A database restored from a
backup can be behind by this much; a larger lead is treated as hostile."""


MAXIMUM = 2**53 - 1
"""The highest fence that executors take: exact in JSON, and far below what a database takes."""


_LOCKED = select(fences.c.fence).where(fences.c.target == bindparam("name")).with_for_update()
_RAISE = update(fences).where(fences.c.target == bindparam("name")).values(fence=bindparam("token"))


def raise_fence(connection: Connection, target: str) -> int:
    """Return the target's next fencing token: greater than every one before it.

    A database that holds a fence at or above `MAXIMUM` starts again at 1: no executor takes a
    higher one. An executor that has seen a fence of ours refuses the 1, and its fence is adopted;
    one that has the `MAXIMUM` itself keeps refusing, and the attempt says how to reset it.
    """
    row = connection.execute(_LOCKED, {"name": target}).one_or_none()
    if row is None:
        connection.execute(insert(fences).values(target=target, fence=1))
        return 1
    token = int(row.fence) + 1 if row.fence < MAXIMUM else 1
    connection.execute(_RAISE, {"name": target, "token": token})
    return token


def raise_all(
    connection: Connection, seen: Mapping[str, int], *, by: int, owner: str, now: datetime
) -> None:
    """Raise every target's fence after a restore, above what was given out since the backup.

    Args:
        connection: of the restored database.
        seen: the highest fence that each target's executor had seen when it was backed up.
        by: more than can have been given out since.
        owner: who restores.
        now: of the event.
    """
    rows = connection.execute(select(fences.c.target, fences.c.fence))
    before = {str(row.target): int(row.fence) for row in rows}
    highest = {
        target: max(before.get(target, 0), seen.get(target, 0)) for target in {*before, *seen}
    }
    raised = {target: min(fence + by, MAXIMUM) for target, fence in sorted(highest.items())}
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
    """Raise a target's fence to the one its executor has seen, unless a successor issued that.

    The executor has seen a higher fence than an attempt's. If this database has given out a higher
    one since, the attempt is stale, and that is what fences are for: nothing is changed. If not,
    the executor remembers another database: this one is new, or was restored from a backup.

    One above `MAXIMUM`, or further ahead than `MOST_AHEAD`, is not ours and not believed.

    Returns:
        Whether the fence was raised, so that the next attempt will be taken.
    """
    if highest > MAXIMUM or highest - attempt.fence > MOST_AHEAD:
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
            note=f"{attempt.target}: its executor has seen {highest}, from another database's time",
            before={"fence": attempt.fence},
            after={"fence": highest},
        )
    return bool(changed)
