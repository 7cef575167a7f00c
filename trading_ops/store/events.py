"""The timeline: one row for everything that was received, decided, done or ordered. Append-only.

Events of a transaction are gathered and written together, just before it commits, each chained to
the one before it: its MAC covers its own fields and the MAC of its predecessor, so a row that was
edited, removed, swapped or put in shows.
"""

import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple, cast

from sqlalchemy import (
    BigInteger,
    Connection,
    bindparam,
    delete,
    insert,
    select,
    type_coerce,
    update,
)

from trading_ops.store import audit_checkpoints
from trading_ops.store.dialects import EPOCH
from trading_ops.store.tables import chain, events

KEY_CHANGED = "audit_key_changed"
"""The kind of the event from which on a newer key is used."""

BEGINNING_SIGNED = "audit_beginning_signed"
"""Event kind: the start of an older chain was signed."""

REMOVED = "events_removed"
"""Event kind: older events were removed."""

_PENDING = "trading_ops.events"
_MICROSECOND = timedelta(microseconds=1)
_CHAINED = ("kind", "incident_id", "attempt_id", "actor", "reason", "note", "before", "after")
# A list as JSON has one spelling, in which no field can run into the next. Built once: `dumps`
# with separators builds a new one for each call.
# What is neither text nor number, which only an attacker stores, is spelt as neither.
_spell = json.JSONEncoder(
    ensure_ascii=True, separators=(",", ":"), default=lambda value: {"neither": repr(value)}
).encode


# Raw values: converting a million times would cost more than checking.
_LINK = [
    type_coerce(events.c.at, BigInteger) if name == "at" else events.c[name]
    for name in ("seq", "at", *_CHAINED, "mac")
]


# Built once: on the way of every change, building them would cost more than running them.
_HEAD = select(chain.c.seq, chain.c.mac, chain.c.signature).where(chain.c.id == 1)
_LOCK_HEAD = _HEAD.with_for_update()
_INSERT = insert(events)
_TOUCHED = (
    select(events.c.incident_id, events.c.kind).where(events.c.seq > bindparam("seq")).distinct()
)
_MOVE_HEAD = (
    update(chain)
    .where(chain.c.id == 1)
    .values(seq=bindparam("to_seq"), mac=bindparam("to_mac"), signature=bindparam("to_signature"))
)


@dataclass(frozen=True, kw_only=True)
class Event:
    """One line of the timeline."""

    seq: int
    at: datetime
    kind: str
    incident_id: str | None
    attempt_id: str | None
    actor: str
    reason: str
    note: str
    before: str | None = None
    """What was, as JSON, where something changed."""

    after: str | None = None
    mac: str | None = None
    """None: written before there was a chain."""


class Link(NamedTuple):
    """One event as it is stored, for checking the chain."""

    seq: int
    at: int
    """Microseconds since the epoch."""

    kind: str
    incident_id: str | None
    attempt_id: str | None
    actor: str
    reason: str
    note: str
    before: str | None
    after: str | None
    mac: str | None


class Head(NamedTuple):
    """The chain's newest event: what the next one is chained to."""

    seq: int
    mac: str
    """Empty: nothing was chained yet."""

    signature: str = ""
    """Over the number and the MAC: rows cut off the end cannot take an older head along."""

    def is_signed_by(self, key: bytes) -> bool:
        """Whether the holder of the key wrote this head."""
        made = _sign_head(key, self.seq, self.mac)
        return hmac.compare_digest(self.signature.encode(), made.encode())


def add(
    connection: Connection,
    *,
    at: datetime,
    kind: str,
    incident_id: str | None = None,
    attempt_id: str | None = None,
    actor: str = "reconciler",
    reason: str = "",
    note: str = "",
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Append one event, at the end of the transaction."""
    _pending(connection).append(
        {
            "at": at,
            "kind": kind,
            "incident_id": incident_id,
            "attempt_id": attempt_id,
            "actor": _storable(actor),
            "reason": _storable(str(reason)),
            "note": _storable(note),
            "before": as_json(before),
            "after": as_json(after),
        }
    )


def mark(connection: Connection) -> int:
    """Return a mark to which `rewind` goes back, for a savepoint that is rolled back."""
    return len(_pending(connection))


def rewind(connection: Connection, to: int) -> None:
    """Forget what was added since the mark."""
    del _pending(connection)[to:]


def forget(connection: Connection) -> None:
    """Forget everything that was added and not yet written."""
    connection.info.pop(_PENDING, None)


def write(connection: Connection, key: bytes) -> None:
    """Chain and insert what was added; from here on the transaction can only commit or fail."""
    rows = connection.info.pop(_PENDING, None)
    if not rows:
        return
    seq, mac, _ = connection.execute(_LOCK_HEAD).one()
    if not mac and not audit_checkpoints.has_begun(connection, seq):
        begun = audit_checkpoints.Kind.BEGUN
        audit_checkpoints.add(connection, key, kind=begun, seq=seq, mac="", at=rows[0]["at"])
    for row in rows:
        seq += 1
        at = (row["at"] - EPOCH) // _MICROSECOND
        mac = mac_of(key, mac, seq, (at, *[row[name] for name in _CHAINED]))
        row["seq"], row["mac"] = seq, mac
    connection.execute(_INSERT, rows)
    signature = _sign_head(key, seq, mac)
    connection.execute(_MOVE_HEAD, {"to_seq": seq, "to_mac": mac, "to_signature": signature})


def _sign_head(key: bytes, seq: int, mac: str) -> str:
    return hmac.digest(key, _spell(["head", seq, mac]).encode("ascii"), "sha256").hex()


def mac_of(key: bytes, previous: str, seq: int, fields: Sequence[str | int | None]) -> str:
    """Return the MAC of one event: HMAC-SHA256 over its fields and its predecessor's MAC.

    Args:
        key: of the chain.
        previous: the predecessor's MAC; empty for the chain's first event.
        seq: the event's number.
        fields: of `Link`, from `at` to `after`, as they are stored.
    """
    return hmac.digest(key, _spell([previous, seq, *fields]).encode("ascii"), "sha256").hex()


def head(connection: Connection) -> int:
    """Return the number of the newest event; it grows with every change that is stored."""
    return int(connection.execute(_HEAD).one().seq)


def newest(connection: Connection) -> Head:
    """Return the newest event's number and MAC, as the chain's head has them; 0 without a head."""
    row = connection.execute(_HEAD).one_or_none()
    if row is None:
        return Head(seq=0, mac="")
    return Head(seq=int(row.seq), mac=str(row.mac), signature=str(row.signature))


def links(connection: Connection, *, after: int | None, limit: int) -> list[Link]:
    """Return events as they are stored, in order, for checking the chain.

    Args:
        connection: to read from.
        after: only those with a greater number; None: from the first one, whatever its number.
        limit: maximum number.
    """
    statement = select(*_LINK).order_by(events.c.seq).limit(limit)
    if after is not None:
        statement = statement.where(events.c.seq > after)
    return cast("list[Link]", connection.execute(statement).all())


def touched(connection: Connection, seq: int) -> set[tuple[str | None, str]]:
    """Return the incident and kind of everything that was written after an event."""
    rows = connection.execute(_TOUCHED, {"seq": seq})
    return {(row.incident_id, row.kind) for row in rows}


def note_key(connection: Connection, keys: Sequence[bytes], *, at: datetime) -> str:
    """Add an event if a new key is used from here on; return a note for the log, or "".

    Args:
        connection: inside a transaction that is written with the first key.
        keys: the one in use, then older ones.
        at: now.
    """
    rows = links(connection, after=head(connection) - 2, limit=2)
    if not rows or rows[-1].mac is None:
        return ""
    last, previous = rows[-1], rows[0].mac or "" if len(rows) > 1 else ""
    fits = [mac_of(key, previous, last[0], last[1:-1]) == last.mac for key in keys]
    if fits[0]:
        return ""
    known = "in place of an older one" if any(fits) else "the one before it is not known here"
    note = f"the chain continues with key {name_of(keys[0])}, {known}"
    add(connection, at=at, kind=KEY_CHANGED, note=note, after={"key": name_of(keys[0])})
    return note


def note_beginning(connection: Connection, key: bytes, *, at: datetime) -> str:
    """Sign the beginning of a chain without checkpoints; return a note for the log, or "".

    A database of an earlier version has a chain and no checkpoint.
    """
    chained = select(events.c.seq).where(events.c.mac.is_not(None)).order_by(events.c.seq).limit(1)
    first = connection.execute(chained).scalar_one_or_none()
    if first is None or audit_checkpoints.read(connection):
        return ""
    begun = audit_checkpoints.Kind.BEGUN
    audit_checkpoints.add(connection, key, kind=begun, seq=first - 1, mac="", at=at)
    note = f"the chain of an earlier version begins at event {first}; its beginning is signed now"
    add(connection, at=at, kind=BEGINNING_SIGNED, note=note, after={"first": first})
    return note


def remove_through(connection: Connection, key: bytes, *, through: int, at: datetime) -> int:
    """Delete the events up to a number, and sign a checkpoint where the chain continues.

    Archive them first. The two newest events always stay: `note_key` checks the one by the other.
    Delete in portions, since all of one call is one transaction.

    Args:
        connection: inside a transaction that is written with the same key.
        key: of the chain.
        through: the last event to delete.
        at: now.

    Returns:
        How many events were deleted.
    """
    through = min(through, head(connection) - 2)
    last = connection.execute(
        select(events.c.seq, events.c.mac)
        .where(events.c.seq <= through)
        .order_by(events.c.seq.desc())
        .limit(1)
    ).one_or_none()
    if last is None:
        return 0
    audit_checkpoints.add(
        connection,
        key,
        kind=audit_checkpoints.Kind.REMOVED,
        seq=last.seq,
        mac=last.mac or "",
        at=at,
    )
    removed = connection.execute(delete(events).where(events.c.seq <= last.seq)).rowcount
    note = f"{removed} events up to {last.seq} were removed"
    add(connection, at=at, kind=REMOVED, note=note, after={"through": last.seq})
    return removed


def name_of(key: bytes) -> str:
    """Return a short fingerprint of a key that does not reveal it."""
    return hmac.digest(key, b"trading-ops audit key", "sha256").hex()[:8]


def _pending(connection: Connection) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = connection.info.setdefault(_PENDING, [])
    return rows


def _storable(text: str) -> str:
    """Return text that every database can store: PostgreSQL has no NUL, UTF-8 no lone surrogate."""
    if text.isascii():
        return text.replace("\0", "\N{REPLACEMENT CHARACTER}")
    clean = text.encode("utf-8", "replace").decode("utf-8")
    return clean.replace("\0", "\N{REPLACEMENT CHARACTER}")


def as_json(values: Mapping[str, Any] | None) -> str | None:
    """Return what an event keeps of a state before or after."""
    if values is None:
        return None
    return json.dumps(
        values, ensure_ascii=True, separators=(",", ":"), sort_keys=True, default=_spelt
    )


def _spelt(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
