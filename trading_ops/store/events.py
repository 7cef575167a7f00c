"""The story: one row for everything that was received, decided, done or ordered. Append-only.

Events of a transaction are gathered and written together, just before it commits, each chained to
the one before it: its MAC covers its own fields and the MAC of its predecessor, so a row that was
edited, removed, swapped or put in shows.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select, update

from trading_ops.store.tables import chain, events

_PENDING = "trading_ops.events"
_CHAINED = ("at", "kind", "incident_id", "attempt_id", "actor", "reason", "note", "before", "after")


@dataclass(frozen=True, kw_only=True)
class Event:
    """One line of the story."""

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
            "actor": actor,
            "reason": str(reason),
            "note": note,
            "before": _as_json(before),
            "after": _as_json(after),
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
    head = connection.execute(select(chain.c.seq, chain.c.mac).with_for_update()).one()
    seq, mac = int(head.seq), str(head.mac)
    for row in rows:
        seq += 1
        mac = mac_of(key, mac, seq, row)
        row["seq"], row["mac"] = seq, mac
    connection.execute(insert(events), rows)
    connection.execute(update(chain).values(seq=seq, mac=mac))


def mac_of(key: bytes, previous: str, seq: int, row: Mapping[str, Any]) -> str:
    """Return the MAC of one event: HMAC-SHA256 over its fields and its predecessor's MAC."""
    fields = [row[name] for name in _CHAINED]
    fields[0] = row["at"].isoformat()
    # A list as JSON has one spelling, in which no field can run into the next.
    text = json.dumps([previous, seq, *fields], ensure_ascii=True, separators=(",", ":"))
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def head(connection: Connection) -> int:
    """Return the number of the newest event; it grows with every change that is stored."""
    return int(connection.execute(select(chain.c.seq)).scalar_one())


def of_incident(connection: Connection, incident_id: str) -> list[Event]:
    """Return the story of one incident, in the order in which it was written."""
    statement = select(events).where(events.c.incident_id == incident_id).order_by(events.c.seq)
    return [Event(**row) for row in connection.execute(statement).mappings()]


def since(connection: Connection, seq: int, *, limit: int = 1000) -> list[Event]:
    """Return what was written after an event, oldest first."""
    statement = select(events).where(events.c.seq > seq).order_by(events.c.seq).limit(limit)
    return [Event(**row) for row in connection.execute(statement).mappings()]


def latest(connection: Connection, *, limit: int = 100) -> list[Event]:
    """Return the newest events, newest first."""
    statement = select(events).order_by(events.c.seq.desc()).limit(limit)
    return [Event(**row) for row in connection.execute(statement).mappings()]


def _pending(connection: Connection) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = connection.info.setdefault(_PENDING, [])
    return rows


def _as_json(values: Mapping[str, Any] | None) -> str | None:
    if values is None:
        return None
    return json.dumps(values, ensure_ascii=True, separators=(",", ":"), sort_keys=True, default=str)
