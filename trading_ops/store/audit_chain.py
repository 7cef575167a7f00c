"""The audit chain: makes changes to stored events evident.

Each event's MAC covers its own fields and the MAC of its predecessor, so an edited, removed,
swapped or inserted row is detected. The signed head detects rows removed from the end. Signed
checkpoints of where the chain starts distinguish retention from tampering: each has the number and
MAC of the last event that may be missing, and only the holder of the key can sign it.
"""

import hmac
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple, cast

from sqlalchemy import (
    BigInteger,
    Connection,
    RowMapping,
    bindparam,
    delete,
    insert,
    select,
    type_coerce,
    update,
)

from trading_ops.store import events
from trading_ops.store.engine import EPOCH
from trading_ops.store.tables import audit_checkpoints, chain
from trading_ops.store.tables import events as table

KEY_CHANGED = "audit_key_changed"
"""Event kind: a new key is used from here on."""

START_SIGNED = "audit_start_signed"
"""Event kind: the start of an older chain was signed."""

REMOVED = "events_removed"
"""Event kind: older events were removed."""

_MICROSECOND = timedelta(microseconds=1)
_CHAINED = ("kind", "incident_id", "attempt_id", "actor", "reason", "note", "before", "after")
# A JSON list is unambiguous: field boundaries cannot be shifted. Built once: `dumps` with
# separators builds an encoder for each call. Values that are neither text nor numbers can only
# come from an attacker.
_canonical_json = json.JSONEncoder(
    ensure_ascii=True, separators=(",", ":"), default=lambda value: {"neither": repr(value)}
).encode


# Raw values: converting a million rows would cost more than checking them.
_LINK = [
    type_coerce(table.c.at, BigInteger) if name == "at" else table.c[name]
    for name in ("seq", "at", *_CHAINED, "mac")
]

# Built once: every change uses them, and building them costs more than running them.
_HEAD = select(chain.c.seq, chain.c.mac, chain.c.signature).where(chain.c.id == 1)
_LOCK_HEAD = _HEAD.with_for_update()
_INSERT = insert(table)
_MOVE_HEAD = (
    update(chain)
    .where(chain.c.id == 1)
    .values(seq=bindparam("to_seq"), mac=bindparam("to_mac"), signature=bindparam("to_signature"))
)


class Link(NamedTuple):
    """One event as stored, for checking the chain."""

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
    """The chain's newest event, to which the next one is chained."""

    seq: int
    mac: str
    """Empty: no event is chained yet."""

    signature: str = ""
    """Covers the number and the MAC, so that an older head cannot hide removed rows."""

    def is_signed_by(self, key: bytes) -> bool:
        """Whether the head was signed with this key."""
        made = _sign_head(key, self.seq, self.mac)
        return hmac.compare_digest(self.signature.encode(), made.encode())


class CheckpointKind(StrEnum):
    """Why the chain may start after this event."""

    BEGUN = "begun"
    """The chain begins here; older events never had a MAC."""

    REMOVED = "removed"
    """Retention removed the events up to here."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A signed position after which the chain is complete."""

    kind: str
    seq: int
    """Number of the last event before it; 0: none."""

    mac: str
    """MAC of that event; empty: it has none."""

    at: datetime
    signature: str

    def is_signed_by(self, key: bytes) -> bool:
        """Whether it was signed with this key."""
        made = _sign_checkpoint(key, self.kind, self.seq, self.mac, self.at)
        return hmac.compare_digest(self.signature.encode(), made.encode())


def write(connection: Connection, key: bytes) -> None:
    """Chain and insert the pending events. After this the transaction can only commit or fail."""
    rows = events.take_pending(connection)
    if not rows:
        return
    seq, mac, _ = connection.execute(_LOCK_HEAD).one()
    if not mac and not _has_begun(connection, seq):
        begun = CheckpointKind.BEGUN
        add_checkpoint(connection, key, kind=begun, seq=seq, mac="", at=rows[0]["at"])
    for row in rows:
        seq += 1
        at = (row["at"] - EPOCH) // _MICROSECOND
        mac = mac_of(key, mac, seq, (at, *[row[name] for name in _CHAINED]))
        row["seq"], row["mac"] = seq, mac
    connection.execute(_INSERT, rows)
    signature = _sign_head(key, seq, mac)
    connection.execute(_MOVE_HEAD, {"to_seq": seq, "to_mac": mac, "to_signature": signature})


def _sign_head(key: bytes, seq: int, mac: str) -> str:
    return hmac.digest(key, _canonical_json(["head", seq, mac]).encode("ascii"), "sha256").hex()


def mac_of(key: bytes, previous: str, seq: int, fields: Sequence[str | int | None]) -> str:
    """Return the MAC of one event: HMAC-SHA256 over its fields and its predecessor's MAC.

    Args:
        key: of the chain.
        previous: the predecessor's MAC; empty for the chain's first event.
        seq: the event's number.
        fields: of `Link`, from `at` to `after`, as they are stored.
    """
    return hmac.digest(
        key, _canonical_json([previous, seq, *fields]).encode("ascii"), "sha256"
    ).hex()


def newest(connection: Connection) -> Head:
    """Return the number and MAC in the chain's head; 0 and empty without a head."""
    row = connection.execute(_HEAD).one_or_none()
    if row is None:
        return Head(seq=0, mac="")
    return Head(seq=int(row.seq), mac=str(row.mac), signature=str(row.signature))


def links(connection: Connection, *, after: int | None, limit: int) -> list[Link]:
    """Return events as stored, in order, for checking the chain.

    Args:
        connection: to read from.
        after: only events with a greater number; None: from the first stored event.
        limit: maximum number.
    """
    statement = select(*_LINK).order_by(table.c.seq).limit(limit)
    if after is not None:
        statement = statement.where(table.c.seq > after)
    return cast("list[Link]", connection.execute(statement).all())


def pages(connection: Connection, *, first: int, last: int, size: int) -> Iterator[Sequence[Link]]:
    """Yield events as stored, from one number to another, `size` at a time."""
    while first <= last:
        page = links(connection, after=first - 1, limit=min(size, last - first + 1))
        if not page:
            return
        yield page
        first = page[-1].seq + 1


def note_key(connection: Connection, keys: Sequence[bytes], *, at: datetime) -> str:
    """Add an event if the key has changed; return a note for the log, or "".

    Args:
        connection: inside a transaction that is written with the first key.
        keys: the current one, then older ones.
        at: now.
    """
    rows = links(connection, after=events.head(connection) - 2, limit=2)
    if not rows or rows[-1].mac is None:
        return ""
    last, previous = rows[-1], rows[0].mac or "" if len(rows) > 1 else ""
    fits = [mac_of(key, previous, last[0], last[1:-1]) == last.mac for key in keys]
    if fits[0]:
        return ""
    known = "in place of an older one" if any(fits) else "the one before it is not known here"
    note = f"the chain continues with key {name_of(keys[0])}, {known}"
    events.add(connection, at=at, kind=KEY_CHANGED, note=note, after={"key": name_of(keys[0])})
    return note


def note_beginning(connection: Connection, key: bytes, *, at: datetime) -> str:
    """Sign the start of a chain without checkpoints; return a note for the log, or "".

    A database of an earlier version has a chain and no checkpoint.
    """
    chained = select(table.c.seq).where(table.c.mac.is_not(None)).order_by(table.c.seq).limit(1)
    first = connection.execute(chained).scalar_one_or_none()
    if first is None or checkpoints(connection):
        return ""
    begun = CheckpointKind.BEGUN
    add_checkpoint(connection, key, kind=begun, seq=first - 1, mac="", at=at)
    note = f"the chain of an earlier version begins at event {first}; its beginning is signed now"
    events.add(connection, at=at, kind=START_SIGNED, note=note, after={"first": first})
    return note


def removable_through(connection: Connection) -> int:
    """Return the number of the newest event that may be removed; `note_key` needs the last two."""
    return events.head(connection) - 2


def remove_through(
    connection: Connection, key: bytes, *, through: int, at: datetime, archive: str = ""
) -> int:
    """Delete the events up to a number, and sign a checkpoint where the chain continues.

    Archive them first. Delete in batches, since each call is one transaction.

    Args:
        connection: inside a transaction that is written with the same key.
        key: of the chain.
        through: the last event to delete.
        at: now.
        archive: the file that contains them, for the event.

    Returns:
        The number of deleted events.
    """
    through = min(through, removable_through(connection))
    last = connection.execute(
        select(table.c.seq, table.c.mac)
        .where(table.c.seq <= through)
        .order_by(table.c.seq.desc())
        .limit(1)
    ).one_or_none()
    if last is None:
        return 0
    add_checkpoint(
        connection,
        key,
        kind=CheckpointKind.REMOVED,
        seq=last.seq,
        mac=last.mac or "",
        at=at,
    )
    removed = connection.execute(delete(table).where(table.c.seq <= last.seq)).rowcount
    note = f"{removed} events up to {last.seq} were removed"
    after = {"through": last.seq, "archive": archive}
    events.add(connection, at=at, kind=REMOVED, note=note, after=after)
    return removed


def name_of(key: bytes) -> str:
    """Return a short fingerprint of a key that does not reveal it."""
    return hmac.digest(key, b"trading-ops audit key", "sha256").hex()[:8]


def add_checkpoint(
    connection: Connection, key: bytes, *, kind: CheckpointKind, seq: int, mac: str, at: datetime
) -> None:
    """Store a checkpoint, in the transaction of the change that requires it."""
    signature = _sign_checkpoint(key, kind, seq, mac, at)
    values = {"kind": kind.value, "seq": seq, "mac": mac, "at": at, "signature": signature}
    connection.execute(insert(audit_checkpoints), values)


def _has_begun(connection: Connection, seq: int) -> bool:
    """Whether a checkpoint says that the chain starts after an event."""
    wanted = (audit_checkpoints.c.kind == CheckpointKind.BEGUN.value) & (
        audit_checkpoints.c.seq == seq
    )
    return connection.execute(select(audit_checkpoints.c.seq).where(wanted)).first() is not None


def checkpoints(connection: Connection) -> list[Checkpoint]:
    """Return all checkpoints in ascending order; their signatures are not checked."""
    rows = connection.execute(select(audit_checkpoints).order_by(audit_checkpoints.c.seq))
    return [_checkpoint(row) for row in rows.mappings()]


def _checkpoint(row: RowMapping) -> Checkpoint:
    """Return the checkpoint of a row of the table."""
    return Checkpoint(
        kind=row["kind"],
        seq=row["seq"],
        mac=row["mac"],
        at=row["at"],
        signature=row["signature"],
    )


def _sign_checkpoint(key: bytes, kind: str, seq: int, mac: str, at: datetime) -> str:
    microseconds = (at - EPOCH) // timedelta(microseconds=1)
    text = json.dumps(["checkpoint", kind, seq, mac, microseconds], separators=(",", ":"))
    return hmac.digest(key, text.encode(), "sha256").hex()
