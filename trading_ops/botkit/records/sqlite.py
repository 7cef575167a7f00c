"""Records in a SQLite file: the default, for a bot with one instance."""

import contextlib
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from trading_ops.botkit.records.schema import SQLITE, upgrade
from trading_ops.botkit.records.sql import Row, Rows, Session, Value
from trading_ops.errors import StoreError

Result = TypeVar("Result")


CACHE_KIB = 256
"""Size of SQLite's page cache; a trading pass reads few rows."""

WAL_BYTES = 2**26
"""Size to which the WAL is truncated after a long read let it grow."""


class SqliteDriver:
    """A `Driver` for one SQLite file; see `ThreadedDatabase`.

    Every transaction is durable (`synchronous=FULL`) and survives a power failure.

    Example:
        store = Store(metrics, lambda: ThreadedDatabase(SqliteDriver(Path("records.db")), metrics))
    """

    def __init__(self, path: Path) -> None:
        """Set the file; `open` creates it if it does not exist."""
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self.connections = 0

    @property
    def name(self) -> str:
        """Return the path."""
        return str(self._path)

    def open(self) -> None:
        """Open the file and create or migrate its tables.

        Raises:
            StoreError: it is not a database of a bot, was written by a newer release, or cannot be
                opened.
        """
        try:
            self._connection = sqlite3.connect(self._path, isolation_level=None)
            self.connections += 1
            # Of a new file: `optimize_records` can then return free pages.
            self._connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
            self._connection.execute("PRAGMA journal_mode=WAL")
            # After a long read of another process the WAL gets smaller again.
            self._connection.execute(f"PRAGMA journal_size_limit={WAL_BYTES}")
            # A recorded order must survive a power failure.
            self._connection.execute("PRAGMA synchronous=FULL")
            self._connection.execute("PRAGMA foreign_keys=ON")
            # The default cache of 2 MB fills over weeks and looks like a small memory leak.
            self._connection.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
            self.transact(lambda session: upgrade(session, SQLITE))
        except (sqlite3.Error, StoreError) as error:
            self.close()
            raise StoreError(
                f"{self._path}: {error}. Fix: restore or move the file away"
            ) from error

    def transact(self, work: Callable[[Session], Result]) -> Result:
        """Run `work` in a transaction and commit it.

        Raises:
            StoreError: it failed and was rolled back.
        """
        connection = self._opened
        try:
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                return work(_SqliteSession(connection))
        except sqlite3.Error as error:
            raise StoreError(f"{self._path}: {error}") from error

    def interrupt(self) -> None:
        """Make the running statement fail, from another thread; a wait for a lock continues."""
        connection = self._connection
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):  # closed in the meantime
                connection.interrupt()

    def close(self) -> None:
        """Close the file."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    @property
    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StoreError(f"{self._path} is closed")
        return self._connection


def read_only(path: Path, read: Callable[[Session], Result]) -> Result:
    """Read a file without changing it, also while a bot has it open.

    Args:
        path: of the file.
        read: called with the session; it must only read.

    Raises:
        StoreError: the file cannot be read.
    """
    try:
        with contextlib.closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        ) as connection:
            return read(_SqliteSession(connection))
    except sqlite3.Error as error:
        raise StoreError(f"{path}: {error}") from error


class _SqliteSession:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def execute(self, statement: str, values: Sequence[Value] = ()) -> Rows:
        return _SqliteRows(self._connection.execute(statement, tuple(values)))


class _SqliteRows:
    def __init__(self, cursor: sqlite3.Cursor) -> None:
        self._cursor = cursor

    @property
    def count(self) -> int:
        return self._cursor.rowcount

    def one(self) -> Row | None:
        found: Row | None = self._cursor.fetchone()
        return found

    def all(self) -> list[Row]:
        return self._cursor.fetchall()
