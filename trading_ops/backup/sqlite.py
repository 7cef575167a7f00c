"""SQLite: an online copy of a live database in one step, and facts about the copy.

The copy is taken with SQLite's backup API and all pages at once. Copying page by page would restart
at each commit of another connection; copying the file and its WAL could give an inconsistent
database.
"""

import contextlib
import sqlite3
from functools import partial
from pathlib import Path
from typing import Any

from trading_ops import clock
from trading_ops.backup.manifest import CapturedDatabase
from trading_ops.store.backups import position

MAGIC = b"SQLite format 3\0"
BUSY_SECONDS = 30.0
"""Timeout for a locked database."""

CHECK_SECONDS = 5.0
TIMES = ("at", "created_at", "received_at", "time", "ts")
"""Columns with the time of a row; the first one that a table has is used."""


def is_database(path: Path) -> bool:
    """Whether a file is a SQLite database."""
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def copy(source: Path, target: Path) -> None:
    """Copy a database while others use it; the copy is one file, without a WAL.

    Raises:
        sqlite3.Error: it cannot be read, stays locked, or the disk is full.
    """
    wal = source.with_name(f"{source.name}-wal")
    try:
        _copy(source, target, closed=False)
    except sqlite3.OperationalError as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY) or wal.exists():
            raise
        # In WAL mode and closed, in a folder where we may not create its WAL, such as a bot's.
        _copy(source, target, closed=True)
        if wal.exists():
            raise sqlite3.OperationalError("its program opened it during the copy") from error


def _copy(source: Path, target: Path, *, closed: bool) -> None:
    deadline = clock.monotonic() + BUSY_SECONDS

    def progress(status: int, _remaining: int, _total: int) -> None:
        # `backup` itself would wait for a lock forever.
        if status in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) and clock.monotonic() > deadline:
            raise sqlite3.OperationalError(f"it was locked for {BUSY_SECONDS:g} s")

    with _open(source, closed=closed) as live, contextlib.closing(sqlite3.connect(target)) as made:
        # A crash discards the copy, and syncing it would slow down the database's own writers.
        made.execute("PRAGMA synchronous=OFF")
        live.backup(made, pages=-1, progress=progress)
        made.execute("PRAGMA journal_mode=DELETE")
    target.chmod(0o600)


def describe(path: Path, name: str) -> CapturedDatabase:
    """Return facts about a copy.

    Raises:
        sqlite3.Error: it cannot be read.
    """
    with _open(path) as connection:
        tables = {
            str(row[0]): [str(column[1]) for column in connection.execute(_columns(str(row[0])))]
            for row in connection.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' "
                "AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name"
            )
        }
        rows, newest = {}, {}
        for table, columns in tables.items():
            time = next((column for column in TIMES if column in columns), None)
            highest = f"max({_quoted(time)})" if time else "NULL"
            query = f"SELECT count(*), {highest} FROM {_quoted(table)}"  # noqa: S608 - quoted names
            rows[table], latest = connection.execute(query).fetchone()
            if latest is not None:
                newest[table] = str(latest)
        found = position(tables, partial(_first, connection))
    return CapturedDatabase(
        path=name,
        engine="sqlite",
        rows=rows,
        newest=newest,
        revision=found.revision,
        audit_head=found.audit_head,
    )


def check(path: Path) -> list[str]:
    """Return the problems found by `PRAGMA integrity_check`, one sentence each."""
    try:
        with _open(path) as connection:
            output = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(20)")]
    except sqlite3.Error as error:
        output = [str(error)]
    return [] if output == ["ok"] else [f"{path.name}: {line}" for line in output]


def _open(path: Path, *, closed: bool = False) -> "contextlib.closing[sqlite3.Connection]":
    """Open a database; `closed`: no program has it open, and no lock is taken."""
    # Read-only: closing the connection must not checkpoint the WAL of a running program.
    uri = f"{path.absolute().as_uri()}?mode=ro{'&immutable=1' if closed else ''}"
    return contextlib.closing(sqlite3.connect(uri, uri=True, timeout=CHECK_SECONDS))


def _columns(table: str) -> str:
    return f"PRAGMA table_info({_quoted(table)})"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _first(connection: sqlite3.Connection, query: str) -> Any:
    row = connection.execute(query).fetchone()
    return None if row is None else row[0]
