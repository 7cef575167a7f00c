"""The bot's records in one SQLite file: the default, for one process."""

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
"""Of the file's pages: a pass asks for the orders that are alive, which are few."""


class SqliteDriver:
    """One connection to one file."""

    def __init__(self, path: Path) -> None:
        """Take the file; it is made when there is none."""
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self.connections = 0

    @property
    def name(self) -> str:
        """Return the path."""
        return str(self._path)

    def open(self) -> None:
        """Open the file and bring its tables up to date.

        Raises:
            StoreError: it is no such database, of a newer release, or cannot be opened.
        """
        try:
            self._connection = sqlite3.connect(self._path, isolation_level=None)
            self.connections += 1
            self._connection.execute("PRAGMA journal_mode=WAL")
            # An order or a nonce that was promised must survive a power cut.
            self._connection.execute("PRAGMA synchronous=FULL")
            self._connection.execute("PRAGMA foreign_keys=ON")
            # By default it keeps 2 MB of pages, which for weeks looks like a small leak.
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
            StoreError: nothing of it was kept.
        """
        connection = self._opened
        try:
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                return work(_Session(connection))
        except sqlite3.Error as error:
            raise StoreError(f"{self._path}: {error}") from error

    def interrupt(self) -> None:
        """Have the statement that runs fail, from another thread; who waits for a lock waits on."""
        connection = self._connection
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):  # it was closed meanwhile
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


def peek(path: Path, read: Callable[[Session], Result]) -> Result:
    """Read a file as it is, whoever has it open, and change nothing of it.

    Raises:
        StoreError: it cannot be read.
    """
    try:
        with contextlib.closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        ) as connection:
            return read(_Session(connection))
    except sqlite3.Error as error:
        raise StoreError(f"{path}: {error}") from error


class _Session:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def execute(self, statement: str, values: Sequence[Value] = ()) -> Rows:
        return _Rows(self._connection.execute(statement, tuple(values)))


class _Rows:
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
