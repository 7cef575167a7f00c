"""The bot's SQLite file and the one thread that touches it."""

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

from trading_ops.errors import StoreError

Result = TypeVar("Result")

SCHEMA = """
CREATE TABLE IF NOT EXISTS orders (
    client_id TEXT PRIMARY KEY,
    venue_id TEXT,
    symbol TEXT NOT NULL,
    side TEXT NOT NULL,
    price TEXT NOT NULL,
    quantity TEXT NOT NULL,
    filled TEXT NOT NULL,
    cost TEXT NOT NULL,
    fee TEXT NOT NULL,
    status TEXT NOT NULL,
    created_at REAL NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS orders_alive ON orders (status) WHERE status IN ('sent', 'open');
CREATE INDEX IF NOT EXISTS orders_by_age ON orders (created_at);
CREATE TABLE IF NOT EXISTS fills (
    id INTEGER PRIMARY KEY,
    client_id TEXT NOT NULL REFERENCES orders (client_id),
    quantity TEXT NOT NULL,
    cost TEXT NOT NULL,
    fee TEXT NOT NULL,
    at REAL NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS fills_by_order ON fills (client_id);
CREATE TABLE IF NOT EXISTS positions (
    symbol TEXT PRIMARY KEY,
    quantity TEXT NOT NULL,
    cost TEXT NOT NULL,
    realized TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS nonces (key TEXT PRIMARY KEY, ceiling INTEGER NOT NULL) STRICT;
"""


class Database:
    """Runs functions on the connection, one after the other, each in its own transaction."""

    def __init__(self, path: Path) -> None:
        """Open or create the file.

        Raises:
            StoreError: it is no such database, or cannot be opened.
        """
        self._path = path
        self._work: queue.SimpleQueue[Callable[[sqlite3.Connection], None] | None]
        self._work = queue.SimpleQueue()
        opened: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(opened,), name="store", daemon=True)
        self._closing = False
        self._thread.start()
        try:
            opened.result()
        except sqlite3.Error as error:
            raise StoreError(f"{path}: {error}. Fix: restore or move the file away") from error

    async def do(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Run `work` in a transaction; when this returns, it is committed.

        Raises:
            StoreError: it was not; nothing of it was kept.
        """
        done: Future[Result] = Future()

        def transact(connection: sqlite3.Connection) -> None:
            try:
                with connection:
                    connection.execute("BEGIN IMMEDIATE")
                    result = work(connection)
            except sqlite3.Error as error:
                done.set_exception(StoreError(f"{self._path}: {error}"))
            except BaseException as error:  # noqa: BLE001 - belongs to whoever gave the work
                done.set_exception(error)
            else:
                done.set_result(result)

        if self._closing:
            raise StoreError(f"{self._path} is closed")
        self._work.put(transact)
        return await asyncio.shield(asyncio.wrap_future(done))

    async def close(self) -> None:
        """Finish what was given, then close the file."""
        self._closing = True
        self._work.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self, opened: "Future[None]") -> None:
        try:
            connection = self._open()
        except sqlite3.Error as error:
            opened.set_exception(error)
            return
        opened.set_result(None)
        while (work := self._work.get()) is not None:
            work(connection)
        connection.close()

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            # An order or a nonce that was promised must survive a power cut.
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA foreign_keys=ON")
            connection.executescript(SCHEMA)
        except sqlite3.Error:
            connection.close()
            raise
        return connection
