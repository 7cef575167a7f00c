"""The bot's events: trades, orders, signals, risk decisions. Stored durably, read over HTTP.

`add` never blocks: a thread of the journal writes the events, many in one transaction. Readers pass
the number of the last event that they have. A file that was deleted, or restored from a backup, has
another `journal` ID, so that a reader starts over instead of missing events; it recognizes known
events by their IDs.
"""

import contextlib
import json
import logging
import sqlite3
import threading
import uuid
from collections import deque
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from trading_ops import clock, durable

MOST_WAITING = 10_000
"""Maximum events in memory while the disk does not store them; further ones are dropped and
counted."""

KEPT = 100_000
"""Maximum events in the file; the oldest are removed. The reconciler reads them all in minutes."""

PAGE = 200
"""Events in one answer."""

TEXT_LIMIT = 300
ID_LIMIT = 100
DATA_LIMIT = 4_000
"""Characters of JSON."""

RETRY_SECONDS = 1.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS journal (id TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS events (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, event TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS reader (one INTEGER PRIMARY KEY, number INTEGER NOT NULL);
"""

_logger = logging.getLogger(__name__)


class EventKind(StrEnum):
    """Kind of an event."""

    TRADE = "trade"
    ORDER = "order"
    SIGNAL = "signal"
    RISK = "risk"
    SYSTEM = "system"


class EventSeverity(StrEnum):
    """Severity of an event."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True)
class _Added:
    id: str
    event: str


@dataclass(kw_only=True)
class EventJournal:
    """One file of events. `open` starts its thread, `close` writes what is left."""

    path: Path
    kept: int = KEPT
    id: str = field(init=False, default="")
    """ID of the file; empty until it is opened."""

    head: int = field(init=False, default=0)
    """The number of the newest stored event."""

    lost: int = field(init=False, default=0)
    """Number of events that this process dropped before they were stored, or read."""

    _read_upto: int = field(init=False, default=0)
    """The number of the newest event that a reader has, by its last request."""

    _waiting: deque[_Added] = field(init=False, default_factory=deque)
    _changed: threading.Condition = field(init=False, default_factory=threading.Condition)
    _closing: bool = field(init=False, default=False)
    _thread: threading.Thread | None = field(init=False, default=None)

    def open(self) -> None:
        """Start writing; may be called again after `close`. Until then, events wait in memory."""
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="agent-events", daemon=True)
        self._thread.start()

    def close(self, within_seconds: float = 2.0) -> None:
        """Write the remaining events and end the thread; returns after this time at the latest."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(within_seconds)

    def add(
        self,
        kind: EventKind | str,
        summary: str,
        *,
        id: str | None = None,  # noqa: A002 - as in the event
        severity: EventSeverity | str = EventSeverity.INFO,
        at: float | None = None,
        strategy: str = "",
        symbol: str = "",
        order: str = "",
        correlation: str = "",
        data: Mapping[str, Any] | None = None,
    ) -> str:
        """Add an event; returns its ID without waiting. Thread-safe.

        Args:
            kind: of the event.
            summary: one line of text.
            id: a second event with the same ID is ignored. Pass one, such as the venue's trade ID,
                if the bot may report the same fact again after a crash.
            severity: of the event.
            at: seconds since the epoch; None: now.
            strategy: that made the decision.
            symbol: that was traded.
            order: the client order ID.
            correlation: an ID that related events and log lines share.
            data: further fields, as JSON. Reports read `currency`, `profit`, `fee` and `slippage`
                of trades: decimal strings, in this currency; a positive slippage is a cost.

        Raises:
            ValueError: unknown kind or severity, empty ID, or data that is too long or not JSON.
        """
        key = str(uuid.uuid4()) if id is None else id
        if not 0 < len(key) <= ID_LIMIT:
            raise ValueError(f"an event id has 1 to {ID_LIMIT} characters: {key[:ID_LIMIT]!r}")
        try:
            details = json.dumps(dict(data or {}), allow_nan=False)
        except TypeError as error:
            raise ValueError(f"the data of event {key} is not JSON: {error}") from error
        if len(details) > DATA_LIMIT:
            raise ValueError(f"the data of event {key} is longer than {DATA_LIMIT} characters")
        event = {
            "id": key,
            "kind": EventKind(kind).value,
            "severity": EventSeverity(severity).value,
            "at": clock.timestamp() if at is None else float(at),
            "summary": summary[:TEXT_LIMIT],
            "strategy": strategy[:ID_LIMIT],
            "symbol": symbol[:ID_LIMIT],
            "order": order[:ID_LIMIT],
            "correlation": correlation[:ID_LIMIT],
            "data": json.loads(details),
        }
        ids = {"id": key, "symbol": symbol, "order": order, "strategy": strategy}
        fields = ids | {"correlation": correlation, "kind": event["kind"]}
        _logger.info("event_reported", extra={name: text for name, text in fields.items() if text})
        with self._changed:
            if len(self._waiting) >= MOST_WAITING:
                self.lost += 1
            else:
                self._waiting.append(_Added(key, json.dumps(event)))
                self._changed.notify_all()
        return key

    def flush(self, within_seconds: float = 5.0) -> bool:
        """Wait until all events are on disk; return whether they are."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting, within_seconds)

    def read(self, after: int, limit: int = PAGE) -> list[dict[str, Any]]:
        """Return the stored events after a number, oldest first, each with its `number`.

        Raises:
            OSError: the file cannot be read.
        """
        limit = max(1, min(limit, PAGE))
        self._read_upto = max(self._read_upto, min(after, self.head))
        try:
            with closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)) as connection:
                rows = connection.execute(
                    "SELECT number, event FROM events WHERE number > ? ORDER BY number LIMIT ?",
                    (after, limit),
                ).fetchall()
        except sqlite3.Error as error:
            raise OSError(f"{self.path}: {error}") from error
        return [{"number": number, **json.loads(event)} for number, event in rows]

    def _run(self) -> None:
        while not self._closing or self._waiting:
            try:
                with closing(self._connect()) as connection:
                    self._write_all(connection)
            except (sqlite3.Error, OSError) as error:
                if type(error) is sqlite3.DatabaseError:  # damaged, or not a database
                    self._set_aside()
                _logger.error("events_not_stored error=%s", error)  # noqa: TRY400 - tried again
                with self._changed:
                    if self._closing:
                        return
                    self._changed.wait_for(lambda: self._closing, RETRY_SECONDS)

    def _set_aside(self) -> None:
        damaged = self.path.with_name(f"{self.path.name}.damaged")
        with contextlib.suppress(OSError):
            self.path.replace(damaged)
            _logger.error("events_damaged moved_to=%s", damaged)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, isolation_level=None)
        try:
            self.path.chmod(durable.state_mode(self.path.parent))
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.executescript(_SCHEMA)
            row = connection.execute("SELECT id FROM journal").fetchone()
            if row is None:
                row = (str(uuid.uuid4()),)
                self._read_upto = 0
                connection.execute("INSERT INTO journal VALUES (?)", row)
            head = connection.execute("SELECT max(number) FROM events").fetchone()[0]
            reader = connection.execute("SELECT number FROM reader").fetchone()
        except BaseException:
            connection.close()
            raise
        self.head, self.id = head or 0, row[0]
        self._read_upto = max(self._read_upto, reader[0] if reader else 0)
        return connection

    def _write_all(self, connection: sqlite3.Connection) -> None:
        """Write until the journal is closed."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                batch = list(self._waiting)
            if not batch:
                return
            connection.execute("BEGIN IMMEDIATE")
            try:
                # Not INSERT OR IGNORE: it uses up a number for each existing event, and the maximum
                # of events is computed from the numbers.
                connection.executemany(
                    "INSERT INTO events (id, event) SELECT ?1, ?2"
                    " WHERE NOT EXISTS (SELECT 1 FROM events WHERE id = ?1)",
                    [(waiting.id, waiting.event) for waiting in batch],
                )
                head = connection.execute("SELECT max(number) FROM events").fetchone()[0] or 0
                unread = connection.execute(
                    "SELECT count(*) FROM events WHERE number <= ? AND number > ?",
                    (head - self.kept, self._read_upto),
                ).fetchone()[0]
                connection.execute("DELETE FROM events WHERE number <= ?", (head - self.kept,))
                connection.execute(
                    "INSERT OR REPLACE INTO reader VALUES (1, ?)", (self._read_upto,)
                )
                connection.execute("COMMIT")
            except BaseException:
                connection.rollback()
                raise
            with self._changed:
                for _ in batch:
                    self._waiting.popleft()
                self.head = head
                self.lost += unread
                self._changed.notify_all()
