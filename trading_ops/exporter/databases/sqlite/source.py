"""One SQLite file as a source."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from prometheus_client.metrics_core import Metric

from trading_ops import clock, logs
from trading_ops.errors import TradingOpsError
from trading_ops.exporter.config import SqliteEntry
from trading_ops.exporter.databases.figures import LabelledSamples
from trading_ops.exporter.databases.sqlite.failure import TOO_SLOW, SqliteFailure
from trading_ops.exporter.databases.sqlite.figures import SqliteFigures, check
from trading_ops.exporter.databases.sqlite.figures import find as find_file
from trading_ops.exporter.thread import OneAtATime

_log = logs.get(__name__)

PREFIX = "trading_sqlite_"
RETRY_SECONDS = 600.0
"""Delay after an incomplete check."""

CHECK_MARGIN_SECONDS = 1.0
"""Time limits of a check are only tested now and then."""


class Sqlite:
    """Reads in a thread, because a dead network disk can block a reading.

    The check is part of a reading and never runs in parallel: closing a file releases all locks of
    the process on it, including those of a running check.
    """

    def __init__(
        self, entry: SqliteEntry, find: Callable[[SqliteEntry], SqliteFigures] = find_file
    ) -> None:
        self._find = find
        self.name = f"sqlite:{entry.name}"
        self.interval_seconds = entry.interval_seconds
        self.timeout_seconds = entry.timeout_seconds + entry.check_seconds + CHECK_MARGIN_SECONDS
        self._entry = entry
        self._thread = OneAtATime[Any](self.name)
        self._found = SqliteFigures(None, {})
        self._duration = 0.0
        self._check_due = 0.0
        self._check: dict[str, float] = {}

    async def read(self) -> None:
        """Read the file, and run the check when it is due.

        Raises:
            SqliteFailure: the file cannot be read, or an earlier reading still hangs: there is
                never more than one thread.
        """
        began = clock.monotonic()
        try:
            async with asyncio.timeout(self._entry.timeout_seconds):
                self._found = await self._thread.do(lambda: self._find(self._entry))
        except (TimeoutError, TradingOpsError):
            self._found = SqliteFigures(None, {}, failure=SqliteFailure(TOO_SLOW, "the read hangs"))
        finally:
            self._duration = clock.monotonic() - began
        if self._found.failure is not None:
            raise self._found.failure
        if self._is_check_due():
            await self._check_for_corruption()

    def families(self, *, fresh: bool) -> Iterable[Metric]:
        """Return the last metrics; for an unreadable file the known ones and the reason."""
        found, figures = self._found, LabelledSamples(PREFIX, self._entry.name)
        failure = found.failure
        figures.put("up", float(fresh and failure is None))
        figures.put("read_duration_seconds", self._duration)
        if failure is not None:
            figures.put("failure", 1.0, failure.reason)
        if found.files is not None:
            figures.put("size_bytes", found.files.size)
            figures.put("wal_bytes", found.files.wal_size or 0)
            figures.put("modified_timestamp_seconds", found.files.modified)
        if found.locked is not None:
            figures.put("locked", found.locked)
        if found.journal_mode:
            figures.put("info", 1.0, found.journal_mode)
        figures.put_all(found.values | self._check)
        return figures.families()

    def _is_check_due(self) -> bool:
        files = self._found.files
        return (
            self._entry.check_interval_seconds > 0
            and files is not None
            and files.size <= self._entry.max_checked_bytes
            and clock.monotonic() >= self._check_due
        )

    async def _check_for_corruption(self) -> None:
        self._check_due = clock.monotonic() + min(RETRY_SECONDS, self._entry.check_interval_seconds)
        began = clock.monotonic()
        try:
            damage: list[str] = await self._thread.do(lambda: check(self._entry))
        except SqliteFailure as failure:
            _log.warning("check_aborted", database=self._entry.name, reason=str(failure))
            return
        self._check_due = began + self._entry.check_interval_seconds
        self._check = {
            "check_ok": float(not damage),
            "check_timestamp_seconds": clock.timestamp(),
            "check_duration_seconds": clock.monotonic() - began,
        }
        if damage:
            _log.error("damage_found", database=self._entry.name, first=damage[0][:200])
