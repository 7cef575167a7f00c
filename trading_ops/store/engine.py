"""Opening databases: one connection for writing, read-only ones for all readers.

One schema works on SQLite and PostgreSQL: column types, upserts, time and locks are here too.
Labels, names and reasons come from other systems. PostgreSQL text cannot contain NUL, and UTF-8
cannot encode half of a surrogate pair; both are legal in JSON. One such character must not prevent
a notification from being stored, so these characters are replaced, in every column.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    JSON,
    URL,
    BigInteger,
    Connection,
    Dialect,
    Engine,
    Table,
    Text,
    TypeDecorator,
    create_engine,
    event,
    func,
    select,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from trading_ops.errors import StoreError

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql


BUSY_TIMEOUT_SECONDS = 5
WAL_BYTES = 2**26
"""Size to which the WAL is truncated after a long read let it grow."""

OPENED = "opened_file"
"""Key under which a connection keeps the identity of its file."""

DURABLE = ("fsync", "full_page_writes")
"""Server settings that must not be off, or a crash of its machine loses confirmed commits."""

EXAMPLE = "postgresql://USER@HOST/DATABASE"


def writing_engine(url: str) -> Engine:
    """Return the engine of the one writer.

    SQLite: WAL with synchronous=FULL, so that an acknowledged commit survives a power loss, and
    BEGIN IMMEDIATE, because upgrading a read lock to a write lock fails at once.
    """
    parsed = parse(url)
    if _is_postgresql(parsed):
        from trading_ops.store import postgresql  # noqa: PLC0415 - only who has it needs the driver

        return postgresql.engine(
            parsed, postgresql.ConnectionLimits(name="writer", settings=postgresql.WRITING)
        )
    engine = create_engine(parsed, pool_size=1, max_overflow=0, hide_parameters=True)
    event.listen(engine, "connect", _prepare_writer)
    event.listen(engine, "connect", _remember_file)
    event.listen(engine, "begin", _begin_immediate)
    return engine


def migrating_engine(url: str) -> Engine:
    """Return an engine for schema changes: no timeout, and waits for another migration."""
    parsed = parse(url)
    if not _is_postgresql(parsed):
        return writing_engine(url)
    from trading_ops.store import postgresql  # noqa: PLC0415 - see writing_engine

    bounds = postgresql.ConnectionLimits(
        name="migration", settings=postgresql.MIGRATING, answer_seconds=None
    )
    return postgresql.engine(parsed, bounds)


def reading_engine(url: str) -> Engine:
    """Return an engine with read-only connections, whose transactions see one snapshot."""
    parsed = parse(url)
    if _is_postgresql(parsed):
        from trading_ops.store import postgresql  # noqa: PLC0415 - see writing_engine

        bounds = postgresql.ConnectionLimits(
            name="reader", settings=postgresql.READING, pool_size=4, overflow=4
        )
        return postgresql.engine(parsed, bounds)
    engine = create_engine(parsed, pool_size=4, max_overflow=4, hide_parameters=True)
    event.listen(engine, "connect", _prepare_reader)
    event.listen(engine, "begin", _begin_deferred)
    return engine


def parse(url: str) -> URL:
    """Return a database's URL, with our driver.

    Raises:
        StoreError: invalid URL or unsupported database. The URL may contain a password, so the
            message does not repeat it.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise StoreError(f"invalid database URL; write {EXAMPLE}") from error
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        return parsed
    if backend not in {"postgresql", "postgres"}:
        raise StoreError(f"unsupported database {backend!r}; write {EXAMPLE}")
    if not find_spec("psycopg"):
        raise StoreError(
            "PostgreSQL's driver is not installed: pip install 'trading-ops[postgresql]'"
        )
    return parsed.set(drivername="postgresql+psycopg")


def _is_postgresql(url: URL) -> bool:
    return url.get_backend_name() == "postgresql"


def _prepare_writer(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    for pragma in (
        "auto_vacuum=INCREMENTAL",  # of a new database; see trading_ops.sqlite_care
        "journal_mode=WAL",
        f"journal_size_limit={WAL_BYTES}",
        "synchronous=FULL",
        "foreign_keys=ON",
        f"busy_timeout={BUSY_TIMEOUT_SECONDS * 1000}",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _remember_file(connection: Any, record: Any) -> None:
    if name := connection.execute("PRAGMA database_list").fetchone()[2]:  # empty: in memory
        record.info[OPENED] = (Path(name), _identity(Path(name)))


def _identity(path: Path) -> tuple[int, int] | None:
    """Return the identity of a file, to detect a replacement; None if it does not exist."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def is_replaced(connection: Connection) -> bool:
    """Return whether the database's file was deleted or replaced since it was opened."""
    opened = connection.info.get(OPENED)
    return opened is not None and _identity(opened[0]) != opened[1]


def _begin_immediate(connection: Any) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _begin_deferred(connection: Any) -> None:
    # The driver starts no transaction for a SELECT, so two reads could see two snapshots.
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
    there must never be a second writer. The kernel releases the lock when its holder dies.

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


def describe(url: str) -> str:
    """Return a short description of the database, without its password.

    Raises:
        StoreError: it does not answer, or its commits are not durable.
    """
    path = sqlite_path(url)
    if path is not None:
        return f"SQLite {sqlite3.sqlite_version}, {path}"
    engine = reading_engine(url)
    try:
        with engine.connect() as connection:
            server_settings = {
                name: connection.exec_driver_sql(f"SHOW {name}").scalar_one()
                for name in ("server_version", *DURABLE)
            }
    except SQLAlchemyError as error:
        cause = getattr(error, "orig", None) or error
        raise StoreError(f"the database does not answer: {str(cause).strip()}") from error
    finally:
        engine.dispose()
    if unsafe := [
        f"{name} = {server_settings[name]}" for name in DURABLE if server_settings[name] != "on"
    ]:
        raise StoreError(
            f"the server runs with {', '.join(unsafe)}: a crash could lose confirmed commits"
        )
    place = engine.url
    return (
        f"PostgreSQL {server_settings['server_version'].split()[0]}, "
        f"{place.database or 'the default'} on {place.host or 'a local socket'}"
    )


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Timestamp(TypeDecorator[datetime]):
    """An aware datetime, stored as microseconds since the epoch: exact on every database."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        """Turn a datetime into microseconds; a naive one is a programming error."""
        del dialect
        return None if value is None else (value - EPOCH) // timedelta(microseconds=1)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:
        """Turn microseconds into a datetime in UTC."""
        del dialect
        return None if value is None else EPOCH + timedelta(microseconds=value)


REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def storable(text: str) -> str:
    """Replace characters that no database can store; return the same object if there are none."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text.replace("\0", REPLACEMENT)


class StorableText(TypeDecorator[str]):
    """Text of any length."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Replace what cannot be stored; in comparisons too, so that stored text is found."""
        del dialect
        return None if value is None else storable(value)


class StorableJson(TypeDecorator[Any]):
    """Any JSON value, usually a mapping."""

    impl = JSON
    cache_ok = True

    def process_bind_param(self, value: Any | None, dialect: Dialect) -> Any | None:
        """Replace what cannot be stored in every string."""
        del dialect
        return _storable(value)


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, dict):
        return {_storable(key): _storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(item) for item in value]
    return value


def is_postgresql(connection: Connection) -> bool:
    """Whether the database is a server, which several processes write to."""
    return connection.dialect.name == "postgresql"


def upsert(connection: Connection, table: Table) -> "postgresql.Insert | sqlite.Insert":
    """Return an insert that takes `on_conflict_do_nothing` and `on_conflict_do_update`."""
    if is_postgresql(connection):
        from sqlalchemy.dialects import postgresql  # noqa: PLC0415 - 2 MB, only where it is used

        return postgresql.insert(table)
    return sqlite.insert(table)


def database_now(connection: Connection, now: datetime) -> datetime:
    """Return the time that all replicas agree on: the server's, or with SQLite the process's."""
    if not is_postgresql(connection):
        return now
    moment: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
    return moment.astimezone(UTC)


def lock_until_commit(connection: Connection, key: int) -> None:
    """Wait for a lock that only one transaction can hold; SQLite has one writer anyway."""
    if is_postgresql(connection):
        connection.execute(select(func.pg_advisory_xact_lock(key)))
