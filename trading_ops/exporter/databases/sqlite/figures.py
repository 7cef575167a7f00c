"""Reads a SQLite file, and checks it for corruption."""

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from trading_ops.exporter.config import SqliteEntry
from trading_ops.exporter.databases.sqlite.connection import reading
from trading_ops.exporter.databases.sqlite.failure import CORRUPT, LOCKED, SqliteFailure
from trading_ops.exporter.databases.sqlite.files import Files, look, uses_wal
from trading_ops.exporter.databases.sqlite.locks import held_throughout


@dataclass(frozen=True)
class SqliteFigures:
    """The result; if the file cannot be read, `values` is empty and `failure` has the reason."""

    files: Files | None
    values: dict[str, float]
    journal_mode: str = ""
    locked: bool | None = None
    failure: SqliteFailure | None = None


def find(entry: SqliteEntry) -> SqliteFigures:
    """Read the file; a failure is returned with everything that could be read."""
    files: Files | None = None
    locked: bool | None = None
    try:
        files = look(entry.path)
        wal = uses_wal(entry.path)
        locked = held_throughout(entry.path, wal=wal, seconds=entry.busy_seconds)
        with reading(
            entry.path,
            files,
            wal=wal,
            busy_seconds=entry.busy_seconds,
            within=entry.timeout_seconds / 2,
        ) as connection:
            values = _values(connection, entry.path)
            # As read-only and immutable, SQLite reports another mode.
            mode = "wal" if wal else _one(connection, "PRAGMA journal_mode")
    except SqliteFailure as failure:
        held = True if failure.reason == LOCKED else locked
        return SqliteFigures(files, {}, locked=held, failure=failure)
    return SqliteFigures(files, values, str(mode), locked)


def check(entry: SqliteEntry) -> list[str]:
    """Return the corruption that `quick_check` finds.

    Raises:
        SqliteFailure: the file cannot be read, or the check took too long.
    """
    files, wal = look(entry.path), uses_wal(entry.path)
    # With a rollback journal, no process can write during the check.
    within = entry.check_seconds if wal else min(1.0, entry.check_seconds)
    try:
        with reading(
            entry.path, files, wal=wal, busy_seconds=entry.busy_seconds, within=within
        ) as connection:
            found = [str(row[0]) for row in connection.execute("PRAGMA quick_check(10)")]
    except SqliteFailure as failure:
        if failure.reason != CORRUPT:
            raise
        return [str(failure)]  # too corrupt to be checked
    return [] if found == ["ok"] else found


def _values(connection: sqlite3.Connection, path: Path) -> dict[str, float]:
    tables = int(_one(connection, "SELECT count(*) FROM sqlite_master WHERE type = 'table'"))
    pages = int(_one(connection, "PRAGMA page_count"))
    free = int(_one(connection, "PRAGMA freelist_count"))
    page_size = int(_one(connection, "PRAGMA page_size"))
    files = look(path)
    if not files.wal_size and files.size < pages * page_size:
        # SQLite notices missing pages only when it reads them.
        raise SqliteFailure(CORRUPT, f"{path} has {files.size} bytes, fewer than expected")
    return {"pages": pages, "free_ratio": free / pages if pages else 0.0, "tables": tables}


def _one(connection: sqlite3.Connection, query: str) -> str:
    row = connection.execute(query).fetchone()
    if row is None:
        raise SqliteFailure(CORRUPT, f"{query} has no answer")
    return str(row[0])
