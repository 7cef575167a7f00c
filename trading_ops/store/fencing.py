"""Fencing tokens. An executor rejects requests with a token lower than the highest it has seen."""

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
"""The highest fence that executors accept: exact in JSON, and far below the limit of databases."""


_LOCKED = select(fences.c.fence).where(fences.c.target == bindparam("name")).with_for_update()
_RAISE = update(fences).where(fences.c.target == bindparam("name")).values(fence=bindparam("token"))


def raise_fence(connection: Connection, target: str) -> int:
    """Return the target's next fencing token: greater than every one before it.

    A database with a fence at or above `MAXIMUM` starts again at 1, since no executor accepts a
    higher one. An executor that has seen one of our fences refuses the 1, and its fence is adopted.
    One that has seen `MAXIMUM` keeps refusing, and the attempt says how to reset it.
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
    """Raise a target's fence to the one its executor has seen, unless we issued a higher one.

    The executor has seen a higher fence than an attempt's. If this database has issued a higher
    one since, the attempt is stale and the refusal is right: nothing changes. If not, the executor
    knows an earlier database: this one is new, or was restored from a backup.

    A fence above `MAXIMUM`, or more than `MOST_AHEAD` ahead, is not ours and is ignored.

    Returns:
        Whether the fence was raised, so that the next attempt is accepted.
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
            note=f"{attempt.target}: its executor has seen {highest}, issued by another database",
            before={"fence": attempt.fence},
            after={"fence": highest},
        )
    return bool(changed)
