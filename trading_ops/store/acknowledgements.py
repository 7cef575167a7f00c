"""Acknowledgements and snoozes. A unique index allows one active one per incident."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, insert, or_, select, update

from trading_ops.domain.acknowledgement import (
    ACKNOWLEDGED_FOR,
    SILENCED_FOR,
    Acknowledgement,
    AcknowledgementKind,
)
from trading_ops.store import events
from trading_ops.store.tables import acknowledgements, incidents

ACTIVE = acknowledgements.c.ended_at.is_(None)
_ACTIVE = select(acknowledgements).where(ACTIVE)


@dataclass(frozen=True, kw_only=True)
class AcknowledgedAlert:
    """An acknowledgement with the alert of its incident."""

    acknowledgement: Acknowledgement
    labels: Mapping[str, str]
    closed_at: datetime | None
    """When the incident ended; None: it is open."""


def begin(
    connection: Connection,
    *,
    incident_id: str,
    kind: AcknowledgementKind,
    owner: str,
    note: str,
    until: datetime,
    now: datetime,
) -> Acknowledgement | None:
    """Store an acknowledgement and end the previous one; return None if the incident is closed.

    An operator who acknowledges the same incident again changes nothing.
    """
    is_open = select(incidents.c.id).where(
        incidents.c.id == incident_id, incidents.c.closed_at.is_(None)
    )
    # The lock serializes concurrent acknowledgements.
    if connection.execute(is_open.with_for_update()).one_or_none() is None:
        return None
    former = _active_of(connection, incident_id)
    both = AcknowledgementKind.ACKNOWLEDGE
    if former is not None and former.owner == owner and (former.kind, kind) == (both, both):
        return former
    if former is not None:
        # Its silence belongs to the new acknowledgement from now on.
        connection.execute(
            update(acknowledgements)
            .where(acknowledgements.c.id == former.id)
            .values(ended_at=now, ended_by=owner, silenced_until=None)
        )
    key = connection.execute(
        insert(acknowledgements).values(
            incident_id=incident_id,
            kind=kind.value,
            owner=owner,
            note=note,
            at=now,
            until=until,
        )
    ).inserted_primary_key
    assert key is not None  # noqa: S101 - an INSERT of one row always has a key
    ack = Acknowledgement(
        id=int(key[0]),
        incident_id=incident_id,
        kind=kind,
        owner=owner,
        note=note,
        at=now,
        until=until,
    )
    taken = former is not None and former.owner != owner
    events.add(
        connection,
        at=now,
        kind="taken_over" if taken else _BEGUN[kind],
        incident_id=incident_id,
        actor=owner,
        note=note,
        before=None if former is None else _shown(former),
        after=_shown(ack),
    )
    return ack


_BEGUN = {
    AcknowledgementKind.ACKNOWLEDGE: "acknowledged",
    AcknowledgementKind.SNOOZE: "snoozed",
}


def end(
    connection: Connection, incident_id: str, *, owner: str, kind: str, now: datetime
) -> Acknowledgement | None:
    """End the active acknowledgement; return it as it was, or None if there is none.

    The event's kind is `withdrawn` by an operator, `acknowledgement_ended` with the incident, and
    `snooze_ended` at its own end.
    """
    ack = _active_of(connection, incident_id)
    if ack is None:
        return None
    connection.execute(
        update(acknowledgements)
        .where(acknowledgements.c.id == ack.id)
        .values(ended_at=now, ended_by=owner)
    )
    events.add(
        connection, at=now, kind=kind, incident_id=incident_id, actor=owner, before=_shown(ack)
    )
    return ack


def renew(connection: Connection, ack: Acknowledgement, *, until: datetime, now: datetime) -> None:
    """Extend an active acknowledgement."""
    statement = update(acknowledgements).where(acknowledgements.c.id == ack.id, ACTIVE)
    if not connection.execute(statement.values(until=until)).rowcount:
        return
    events.add(
        connection,
        at=now,
        kind="acknowledgement_renewed",
        incident_id=ack.incident_id,
        before={"until": ack.until},
        after={"until": until},
    )


def note_silence(
    connection: Connection,
    ack: Acknowledgement,
    *,
    silence_id: str | None,
    until: datetime | None,
    now: datetime,
) -> None:
    """Store the silence of an acknowledgement and its end; `until` None: the silence is gone.

    The acknowledgement may have ended in the meantime; its silence must still be expired.
    """
    connection.execute(
        update(acknowledgements)
        .where(acknowledgements.c.id == ack.id)
        .values(silence_id=silence_id, silenced_until=until)
    )
    events.add(
        connection,
        at=now,
        kind="silence_ended" if until is None else "silence_placed",
        incident_id=ack.incident_id,
        before={"silence": ack.silence_id, "until": ack.silenced_until},
        after={"silence": silence_id, "until": until},
    )


def active(connection: Connection) -> dict[str, Acknowledgement]:
    """Return the acknowledgements in force, by incident id."""
    rows = connection.execute(_ACTIVE).mappings()
    return {ack.incident_id: ack for ack in map(_from_row, rows)}


def phrase(connection: Connection, incident_id: str) -> str | None:
    """Return who has acknowledged an incident, as a phrase, or None."""
    found = _active_of(connection, incident_id)
    return found.description if found else None


def of_incident(connection: Connection, incident_id: str) -> list[Acknowledgement]:
    """Return all acknowledgements of an incident, oldest first."""
    statement = select(acknowledgements).where(acknowledgements.c.incident_id == incident_id)
    rows = connection.execute(statement.order_by(acknowledgements.c.id)).mappings()
    return [_from_row(row) for row in rows]


def at_work(connection: Connection, *, now: datetime) -> list[AcknowledgedAlert]:
    """Return every acknowledgement that still matters, oldest first.

    These are the active ones, those that ended within the last hour (rules look back that far),
    and those whose silence may still exist.
    """
    statement = _cases().where(
        or_(
            ACTIVE,
            acknowledgements.c.ended_at > now - ACKNOWLEDGED_FOR,
            acknowledgements.c.silenced_until > now - SILENCED_FOR,
        )
    )
    rows = connection.execute(statement.order_by(acknowledgements.c.id)).mappings()
    return [_case(row) for row in rows]


def find(connection: Connection, key: int) -> AcknowledgedAlert | None:
    """Return one acknowledgement by its ID, as it is now."""
    row = connection.execute(_cases().where(acknowledgements.c.id == key)).mappings().one_or_none()
    return None if row is None else _case(row)


def _cases() -> Select[Any]:
    joined = acknowledgements.join(incidents, incidents.c.id == acknowledgements.c.incident_id)
    columns = (*acknowledgements.c, incidents.c.labels, incidents.c.closed_at)
    return select(*columns).select_from(joined)


def _active_of(connection: Connection, incident_id: str) -> Acknowledgement | None:
    statement = select(acknowledgements).where(
        acknowledgements.c.incident_id == incident_id, ACTIVE
    )
    row = connection.execute(statement.with_for_update()).mappings().one_or_none()
    return None if row is None else _from_row(row)


def _case(row: RowMapping) -> AcknowledgedAlert:
    return AcknowledgedAlert(
        acknowledgement=_from_row(row), labels=row["labels"], closed_at=row["closed_at"]
    )


def _from_row(row: RowMapping) -> Acknowledgement:
    """Return the acknowledgement of a row of the table."""
    return Acknowledgement(
        id=row["id"],
        incident_id=row["incident_id"],
        kind=AcknowledgementKind(row["kind"]),
        owner=row["owner"],
        note=row["note"],
        at=row["at"],
        until=row["until"],
        ended_at=row["ended_at"],
        ended_by=row["ended_by"],
        silence_id=row["silence_id"],
        silenced_until=row["silenced_until"],
    )


def _shown(ack: Acknowledgement) -> dict[str, Any]:
    return {"kind": ack.kind.value, "owner": ack.owner, "until": ack.until}
