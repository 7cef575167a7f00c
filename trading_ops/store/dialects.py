"""Where SQLite and PostgreSQL differ in a statement: upserts, time, locks."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Table, func, select
from sqlalchemy.dialects import sqlite

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql


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
    """Return the time by which replicas agree: the server's; with SQLite the process's."""
    if not is_postgresql(connection):
        return now
    moment: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
    return moment.astimezone(UTC)


def lock_until_commit(connection: Connection, key: int) -> None:
    """Wait for a lock that one transaction holds at a time; SQLite has one writer anyway."""
    if is_postgresql(connection):
        connection.execute(select(func.pg_advisory_xact_lock(key)))
