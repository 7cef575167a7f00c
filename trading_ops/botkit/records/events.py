"""What the bot did and why, kept for people: orders, trades, signals, risk and recoveries."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import msgspec

from trading_ops.botkit.records.sql import Session
from trading_ops.redaction import redact

AT_ONCE = 5_000
"""Events that are removed in one transaction: orders wait for it."""


@dataclass(frozen=True, kw_only=True)
class Retention:
    """How many events are kept, and for how long."""

    kept_seconds: float = 90 * 86_400.0
    kept_number: int = 500_000
    """Whatever their age: a bot that goes wild must not fill the disk."""

    between: int = 2_000
    """New events after which is looked whether there are too many, however short the time."""


class EventKind(StrEnum):
    """What an event is about."""

    ORDER = "ORDER"
    TRADE = "TRADE"
    SIGNAL = "SIGNAL"
    RISK = "RISK"
    RECOVERY = "RECOVERY"


@dataclass(frozen=True, kw_only=True)
class Event:
    """One thing that happened."""

    at: float
    """Seconds since the epoch."""

    kind: EventKind
    code: str
    """Stable, as `filled`, `denied` or a denial's code."""

    symbol: str | None = None
    order_id: str | None = None
    """The client id."""

    detail: dict[str, Any] = field(default_factory=dict)


def add_events(session: Session, events: Iterable[Event]) -> None:
    """Keep events; part of whatever transaction tells of the same."""
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


def latest_events(session: Session, *, kind: EventKind | None, number: int) -> list[Event]:
    """Return the newest events, newest first."""
    where, values = ("WHERE kind = ?", (kind.value,)) if kind else ("", ())
    rows = session.execute(
        "SELECT at, kind, code, symbol, order_id, detail FROM events"  # noqa: S608 - ours
        f" {where} ORDER BY id DESC LIMIT ?",
        (*values, number),
    ).all()
    return [
        Event(
            at=row[0],
            kind=EventKind(row[1]),
            code=row[2],
            symbol=row[3],
            order_id=row[4],
            detail=msgspec.json.decode(row[5]),
        )
        for row in rows
    ]


def prune_events(session: Session, now: float, retention: Retention) -> bool:
    """Remove what is too old and what is too much, some at a time; return whether there is more."""
    row = session.execute("SELECT max(id) FROM events").one()
    newest = int(row[0]) if row and row[0] is not None else 0
    removed = session.execute(
        "DELETE FROM events WHERE id IN"
        " (SELECT id FROM events WHERE at < ? OR id <= ? ORDER BY id LIMIT ?)",
        (now - retention.kept_seconds, newest - retention.kept_number, AT_ONCE),
    ).count
    return removed >= AT_ONCE
