"""Reads next to the writer: short transactions in threads, on read-only connections."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import quote

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from trading_ops.errors import StoreError
from trading_ops.store import migrate
from trading_ops.store.engine import reading_engine, sqlite_path

T = TypeVar("T")

THREADS = 2
"""Each thread competes for the GIL at every row and delays the event loop: with four threads, the
API's p99 under load was five times as high."""


class Reader:
    """Reads consistently: each call sees one snapshot of the database."""

    def __init__(self, engine: Engine) -> None:
        """Use an engine that no other reader uses.

        The reader has its own threads too: a database that hangs must not occupy the shared ones.
        """
        self._engine = engine
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="store-reader")
        self._started: set[asyncio.Task[Any]] = set()

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Return what `work` reads.

        Raises:
            StoreError: the database did not answer.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self.read_now, work)

    def start(self, work: Callable[[Connection], T]) -> asyncio.Task[T]:
        """Start a read in the background; `close` cancels it."""
        task = asyncio.create_task(self.read(work))
        self._started.add(task)
        task.add_done_callback(self._started.discard)
        return task

    def read_now(self, work: Callable[[Connection], T]) -> T:
        """Return what `work` reads; blocks the calling thread.

        Raises:
            StoreError: the database did not answer.
        """
        try:
            with self._engine.connect() as connection:
                return work(connection)
        except SQLAlchemyError as error:
            why = f"{self._why(error)}{self._other_schema()}"
            raise StoreError(f"the database could not be read: {why}") from error

    def _other_schema(self) -> str:
        """Return both revisions, if the database has another one than this release."""
        try:
            with self._engine.connect() as connection:
                found = migrate.current(connection)
        except SQLAlchemyError:
            return ""
        if found is None or found == migrate.HEAD:
            return ""
        return (
            f" (the schema has revision {found}, this release expects {migrate.HEAD}: run the "
            "release of that revision, or `trading-ops migrate` if it is older)"
        )

    def _why(self, error: SQLAlchemyError) -> str:
        """Return the first line of the driver's message; it may contain connection details."""
        cause = getattr(error, "orig", None)
        text = str(cause or "").strip().partition("\n")[0] or error.__class__.__name__
        password = self._engine.url.password
        return text.replace(password, "***") if password else text

    def close(self) -> None:
        """Wait for running reads, then close all connections."""
        for task in self._started:
            task.cancel()
        self._threads.shutdown(cancel_futures=True)
        self._engine.dispose()


@contextmanager
def open_reader(url: str) -> Iterator[Reader]:
    """Open an existing database read-only, whether or not the reconciler runs.

    Raises:
        StoreError: the URL is invalid, or the file does not exist.
    """
    try:
        path = sqlite_path(url)
        if path is not None:
            if not path.is_file():
                raise StoreError(f"database {path} does not exist")
            # Otherwise closing it would write the WAL back into the database.
            url = f"sqlite:///file:{quote(str(path.resolve()))}?mode=ro&uri=true"
        reader = Reader(reading_engine(url))
    except (ArgumentError, NoSuchModuleError, ImportError, ValueError) as error:
        raise StoreError(
            "invalid database URL: use sqlite:////folder/file or postgresql://USER@HOST/DATABASE"
        ) from error
    try:
        yield reader
    finally:
        reader.close()


def read_once(url: str, work: Callable[[Connection], T]) -> T:
    """Return what `work` reads from an existing database, over a connection of its own; blocks.

    Raises:
        StoreError: the URL is invalid, or the database did not answer.
    """
    with open_reader(url) as reader:
        return reader.read_now(work)
