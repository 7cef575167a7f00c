"""Opening databases: one connection that writes, read-only ones for everybody else."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import make_url

from trading_ops.errors import StoreError

BUSY_TIMEOUT_SECONDS = 5


def writing_engine(url: str) -> Engine:
    """Return the engine of the one writer.

    SQLite: WAL with synchronous=FULL, so that an acknowledged commit survives a power cut, and
    BEGIN IMMEDIATE, because a read lock that wants to become a write lock fails at once.
    """
    engine = create_engine(url, pool_size=1, max_overflow=0)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_writer)
        event.listen(engine, "begin", _begin_immediate)
    return engine


def reading_engine(url: str) -> Engine:
    """Return an engine whose connections cannot write."""
    engine = create_engine(url, pool_size=4, max_overflow=4)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_reader)
        event.listen(engine, "begin", _begin_deferred)
    return engine


def _prepare_writer(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        f"busy_timeout={BUSY_TIMEOUT_SECONDS * 1000}",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_immediate(connection: Any) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _begin_deferred(connection: Any) -> None:
    # The driver begins no transaction for a SELECT; two reads would see two moments.
    connection.exec_driver_sql("BEGIN")


def _prepare_reader(connection: Any, _record: object) -> None:
    connection.isolation_level = None
    for pragma in ("query_only=ON", f"busy_timeout={BUSY_TIMEOUT_SECONDS * 1000}"):
        connection.execute(f"PRAGMA {pragma}")


def sqlite_path(url: str) -> Path | None:
    """Return the database file of a SQLite URL, or None for another database."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        return None
    return Path(parsed.database)


@contextmanager
def sole_writer(url: str) -> Iterator[None]:
    """Hold the database's file lock while it is open for writing (SQLite only).

    SQLite before 3.51.3 can corrupt a WAL when two connections write or checkpoint at once, so
    there must never be a second writer. The kernel frees the lock when its holder dies.

    Raises:
        StoreError: another process holds it.
    """
    path = sqlite_path(url)
    if path is None:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.with_suffix(".lock")
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
            raise StoreError(
                f"{path} is open for writing in process {holder}; stop that one first, or use "
                "PostgreSQL for several reconcilers"
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)
