"""Holds on bots: placed, active, released. Placing one again changes nothing."""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime

from sqlalchemy import Connection, Row, bindparam, or_, select, update

from trading_ops.domain.hold import HeldState, Hold, is_automatic
from trading_ops.errors import StoreError
from trading_ops.store import events
from trading_ops.store.engine import upsert
from trading_ops.store.tables import attempts, fences, holds, maintenance

IN_FORCE = frozenset({"hold_acknowledged", "hold_adopted"})
"""Event kinds that show that a hold is in force at its bot."""


class IdTaken(StoreError):
    """The id belongs to a hold on another target: nothing was stored."""


def place(
    connection: Connection,
    hold: Hold,
    *,
    now: datetime,
    kind: str = "hold_placed",
    actor: str | None = None,
) -> bool:
    """Store a hold; return whether that changed anything.

    Of two holds with the same ID, the stricter one wins. A released hold becomes active again only
    if it was placed after the release: a late copy, as from a journal, does not undo a release.

    Args:
        connection: of the writer.
        hold: the hold; `hold.at` is the time it was placed.
        now: of the event.
        kind: of the event.
        actor: who reported it, if not the hold's owner.

    Raises:
        IdTaken: the id belongs to another target.
    """
    row = None
    if not _insert(connection, hold):
        row = connection.execute(select(holds).where(holds.c.id == hold.id).with_for_update()).one()
        if not _is_news(row, hold):
            return False
        values = _columns(hold) | {"released_at": None, "released_by": None, "released_for": None}
        connection.execute(update(holds).where(holds.c.id == hold.id).values(values))
    events.add(
        connection,
        at=now,
        kind=kind,
        actor=actor or hold.owner,
        note=f"{hold.target} is {hold.state}{f' by {hold.owner}' if actor else ''}: {hold.reason}",
        before=None if row is None else _as_json(row),
        after={"id": hold.id, "target": hold.target, "state": hold.state, "placed_at": hold.at},
    )
    return True


def release(
    connection: Connection,
    *,
    ids: Iterable[str],
    owner: str,
    reason: str,
    now: datetime,
    kind: str = "hold_released",
) -> frozenset[str]:
    """Release the active ones of these holds; return their ids."""
    released = set()
    for key in sorted(ids):
        row = connection.execute(
            select(holds).where(holds.c.id == key, holds.c.released_at.is_(None)).with_for_update()
        ).one_or_none()
        if row is None:
            continue
        connection.execute(
            update(holds)
            .where(holds.c.id == key)
            .values(released_at=now, released_by=owner, released_for=reason)
        )
        events.add(
            connection,
            at=now,
            kind=kind,
            actor=owner,
            note=f"{row.target} is no longer {row.state} by {row.owner}: {reason}",
            before=_as_json(row),
            after={"id": key, "target": row.target, "released_by": owner, "released_for": reason},
        )
        released.add(key)
    return frozenset(released)


def withdraw(
    connection: Connection, hold_id: str, *, owner: str, reason: str, now: datetime
) -> bool:
    """Withdraw a hold that was never in force; return False if it was: it stays active."""
    if is_acknowledged(connection, hold_id):
        return False
    release(connection, ids=(hold_id,), owner=owner, reason=reason, now=now, kind="hold_withdrawn")
    return True


_ACTIVE = select(holds).where(holds.c.released_at.is_(None)).order_by(holds.c.at, holds.c.id)
_ACTIVE_OF = _ACTIVE.where(holds.c.target == bindparam("target"))


def active(connection: Connection, target: str | None = None) -> list[Hold]:
    """Return the active holds, oldest first, of one target or of all."""
    if target is None:
        return [_hold(row) for row in connection.execute(_ACTIVE)]
    return [_hold(row) for row in connection.execute(_ACTIVE_OF, {"target": target})]


def placed_in_windows(connection: Connection) -> list[Hold]:
    """Return the active holds that were placed while a maintenance window was open."""
    around = select(maintenance.c.id).where(
        or_(maintenance.c.target == holds.c.target, maintenance.c.target.is_(None)),
        maintenance.c.begins_at <= holds.c.at,
        maintenance.c.ends_at > holds.c.at,
    )
    statement = select(holds).where(holds.c.released_at.is_(None), around.exists())
    return [_hold(row) for row in connection.execute(statement.order_by(holds.c.at))]


def halted_by_operators(connection: Connection) -> dict[str, str]:
    """Return which operator has halted each target, and why."""
    return {
        hold.target: f"by {hold.owner}: {hold.reason}"
        for hold in active(connection)
        if hold.state is HeldState.HALTED and not is_automatic(hold)
    }


def is_acknowledged(connection: Connection, hold_id: str) -> bool:
    """Whether an active hold was reported in force at its bot since it was placed."""
    query = select(holds.c.at).where(holds.c.id == hold_id, holds.c.released_at.is_(None))
    row = connection.execute(query).one_or_none()
    return row is not None and events.exists(connection, kinds=IN_FORCE, since=row.at, id=hold_id)


def is_persons(connection: Connection, hold: Hold) -> bool:
    """Whether an operator placed a hold through our API, and not at the bot itself."""
    return not is_automatic(hold) and events.exists(
        connection, kinds=("hold_placed", "hold_laid"), since=hold.at, id=hold.id
    )


def release_orderer(connection: Connection, hold: Hold) -> str | None:
    """Return who requested the release of a hold through our API since it was placed, if anyone.

    Either through the API, which stores the request before it sends it to the bot, or by an
    approved `resume_trading`.
    """
    requests = events.about_target(
        connection,
        hold.target,
        kinds=("hold_release_requested", "hold_lift_asked"),
        since=hold.at,
        until=None,
    )
    for event in reversed(requests):
        if _names(json.loads(event.after or "{}").get("id", ""), hold.id, every="all"):
            return event.actor
    ordered = select(attempts.c.params, attempts.c.requested_by).where(
        attempts.c.target == hold.target,
        attempts.c.action == "resume_trading",
        attempts.c.started_at >= hold.at,
        attempts.c.requested_by.is_not(None),
    )
    for row in connection.execute(ordered):
        if _names(row.params.get("holds", ""), hold.id):
            return str(row.requested_by)
    return None


def _names(holds_named: str, hold_id: str, *, every: str = "") -> bool:
    names = {name.strip() for name in holds_named.split(",")}
    return hold_id in names or (every != "" and names == {every})


def fences_seen(connection: Connection) -> Mapping[str, int]:
    """Return the newest fencing token by target."""
    rows = connection.execute(select(fences.c.target, fences.c.fence))
    return {row.target: int(row.fence) for row in rows}


def note(
    connection: Connection,
    *,
    hold_id: str,
    target: str,
    kind: str,
    actor: str,
    text: str,
    now: datetime,
) -> None:
    """Add an event about a hold that changes none of its columns, such as its acknowledgement."""
    after = {"id": hold_id, "target": target}
    events.add(connection, at=now, kind=kind, actor=actor, note=text, after=after)


def note_acknowledged(connection: Connection, hold: Hold, *, text: str, now: datetime) -> None:
    """Record that a hold is in force at its bot, unless the timeline already shows that."""
    if is_acknowledged(connection, hold.id):
        return
    note(
        connection,
        hold_id=hold.id,
        target=hold.target,
        kind="hold_acknowledged",
        actor=hold.target,
        text=text,
        now=now,
    )


def _insert(connection: Connection, hold: Hold) -> bool:
    statement = upsert(connection, holds).values(_columns(hold)).on_conflict_do_nothing()
    return connection.execute(statement.returning(holds.c.id)).one_or_none() is not None


def _is_news(row: Row[tuple[object, ...]], hold: Hold) -> bool:
    if row.target != hold.target:
        raise IdTaken(f"the id {hold.id} belongs to a hold on {row.target}; choose another one")
    if row.released_at is not None:
        return bool(hold.at > row.released_at)
    return hold.state.severity > HeldState(row.state).severity


def _columns(hold: Hold) -> dict[str, object]:
    return {
        "id": hold.id,
        "target": hold.target,
        "state": hold.state.value,
        "owner": hold.owner,
        "reason": hold.reason,
        "at": hold.at,
    }


def _hold(row: Row[tuple[object, ...]]) -> Hold:
    return Hold(
        id=row.id,
        target=row.target,
        state=HeldState(row.state),
        owner=row.owner,
        reason=row.reason,
        at=row.at,
    )


def _as_json(row: Row[tuple[object, ...]]) -> dict[str, object]:
    return {
        "id": row.id,
        "target": row.target,
        "state": row.state,
        "owner": row.owner,
        "released_at": row.released_at,
    }
