"""The event log of the bot: orders, trades, signals, risk decisions and recoveries."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import msgspec

from trading_ops.botkit.records.sql import Row, Session
from trading_ops.redaction import redact

BATCH = 5_000
"""Maximum number of events removed in one transaction, because orders wait for it."""

DECISION_PRICE = "decision_price"
"""In the detail of a SIGNAL event: the market price at the decision, in quote currency."""

LEASE_ACQUIRED = "lease_acquired"
"""The code of the event with which an instance of a bot becomes the leader."""


@dataclass(frozen=True, kw_only=True)
class EventRetention:
    """How many events are kept, and for how long."""

    kept_seconds: float = 90 * 86_400.0
    kept_number: int = 500_000
    """Maximum number, whatever their age: a bot in a loop must not fill the disk."""

    prune_after: int = 2_000
    """New events after which old ones are removed, however short the time."""


class EventLogKind(StrEnum):
    """The kind of an event."""

    ORDER = "ORDER"
    TRADE = "TRADE"
    SIGNAL = "SIGNAL"
    RISK = "RISK"
    RECOVERY = "RECOVERY"


@dataclass(frozen=True, kw_only=True)
class Event:
    """One entry of the event log.

    Example:
        event = Event(at=time.time(), kind=EventKind.RISK, code="halted", detail={"loss": "120"})
        await book.record_events(event)
    """

    at: float
    """Seconds since the epoch."""

    kind: EventLogKind
    code: str
    """A stable identifier, for example `filled` or the code of a denial."""

    symbol: str | None = None
    order_id: str | None = None
    """The client ID of the order."""

    detail: dict[str, Any] = field(default_factory=dict)
    """JSON values; secrets are redacted when it is stored."""


def origin_of(event: Event) -> dict[str, str]:
    """Return strategy, signal and decision price of a SIGNAL event, for the events that follow."""
    detail = event.detail
    named = {"strategy": detail.get("source"), "signal": detail.get("signal")}
    named[DECISION_PRICE] = detail.get(DECISION_PRICE)
    return {name: str(value) for name, value in named.items() if value}


def add_events(session: Session, events: Iterable[Event]) -> None:
    """Store events, in the transaction of the change that they belong to."""
    for event in events:
        session.execute(
            "INSERT INTO events (at, kind, code, symbol, order_id, detail)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (
                event.at,
                event.kind.value,
                event.code,
                event.symbol,
                event.order_id,
                redact(msgspec.json.encode(event.detail).decode()),
            ),
        )


def latest_events(
    session: Session, *, kind: EventLogKind | None, number: int, code: str | None = None
) -> list[Event]:
    """Return up to `number` events, newest first; of all kinds, or codes, where that is None."""
    given = {"kind": kind and kind.value, "code": code}
    values = {name: value for name, value in given.items() if value is not None}
    where = " AND ".join(f"{name} = ?" for name in values) or "1 = 1"
    rows = session.execute(
        "SELECT at, kind, code, symbol, order_id, detail FROM events"  # noqa: S608 - ours
        f" WHERE {where} ORDER BY id DESC LIMIT ?",
        (*values.values(), number),
    ).all()
    return [_event(row) for row in rows]


def events_since(session: Session, *, kind: EventLogKind, since: float) -> list[Event]:
    """Return the events of a kind since a time, in seconds since the epoch, oldest first."""
    rows = session.execute(
        "SELECT at, kind, code, symbol, order_id, detail FROM events"
        " WHERE kind = ? AND at >= ? ORDER BY id",
        (kind.value, since),
    ).all()
    return [_event(row) for row in rows]


def _event(row: Row) -> Event:
    return Event(
        at=row[0],
        kind=EventLogKind(row[1]),
        code=row[2],
        symbol=row[3],
        order_id=row[4],
        detail=msgspec.json.decode(row[5]),
    )


def prune_events(session: Session, now: float, retention: EventRetention) -> bool:
    """Remove one batch of events beyond the retention; return whether more may be left."""
    row = session.execute("SELECT max(id) FROM events").one()
    newest = int(row[0]) if row and row[0] is not None else 0
    removed = session.execute(
        "DELETE FROM events WHERE id IN"
        " (SELECT id FROM events WHERE at < ? OR id <= ? ORDER BY id LIMIT ?)",
        (now - retention.kept_seconds, newest - retention.kept_number, BATCH),
    ).count
    return removed >= BATCH
