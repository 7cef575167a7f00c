"""The entries of databases in the exporter's configuration."""

from pathlib import Path
from typing import Annotated

import msgspec

Name = Annotated[str, msgspec.Meta(pattern="^[a-z][a-z0-9_-]{0,62}$")]
"""A value of a label: lower-case letters, digits, - and _."""

Seconds = Annotated[float, msgspec.Meta(ge=1, le=86_400)]
Largest = Annotated[int, msgspec.Meta(ge=0, le=100)]


class PostgresqlEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A PostgreSQL database to read."""

    name: Name
    """The value of the label `database`."""

    dsn_file: Path
    """One line, a connection string of libpq: only in a file, since it may hold a password."""

    interval_seconds: Seconds = 10.0
    timeout_seconds: Seconds = 5.0
    """Timeout for all answers, after which the connection is closed."""

    storage_interval_seconds: Seconds = 60.0
    """From one look at tables and indexes to the next."""

    largest_tables: Largest = 20
    largest_indexes: Largest = 20
    """Maximum number that have their own figures."""


class SqliteEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A SQLite file to read."""

    name: Name
    """The value of the label `database`."""

    path: Path
    interval_seconds: Seconds = 15.0
    timeout_seconds: Seconds = 5.0
    busy_seconds: Annotated[float, msgspec.Meta(ge=0.05, le=2)] = 0.5
    """Continuous lock time that counts as locked."""

    check_interval_seconds: Annotated[float, msgspec.Meta(ge=0)] = 86_400.0
    """From one `quick_check` to the next; 0 for never."""

    check_seconds: Annotated[float, msgspec.Meta(ge=0.01, le=60)] = 10.0
    """A longer check is cancelled: while it reads, the WAL cannot be reset."""

    largest_checked_bytes: Annotated[int, msgspec.Meta(ge=0)] = 256 * 1024 * 1024
    """A larger file is not checked."""
