"""What one schema needs to work on SQLite and PostgreSQL: column types, upserts, time, locks.

Labels, names and reasons come from other systems. PostgreSQL text cannot contain NUL, and UTF-8
cannot encode half of a surrogate pair; both are legal in JSON. One such character must not prevent
a notification from being stored, so these characters are replaced, in every column.
"""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Connection,
    Dialect,
    Table,
    Text,
    TypeDecorator,
    func,
    select,
)
from sqlalchemy.dialects import sqlite

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql


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
