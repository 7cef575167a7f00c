"""What a database's error means, from real errors where they are cheap to have."""

import sqlite3
from pathlib import Path

import psycopg
import pytest
from psycopg import errors
from sqlalchemy import exc

from trading_ops.instrument.database_errors import kind_of
from trading_ops.instrument.topics.database import DATABASE_ERRORS


class Coded(Exception):
    """As a driver's, with a code on it."""

    def __init__(self, **codes: object) -> None:
        super().__init__()
        vars(self).update(codes)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (Coded(sqlite_errorcode=sqlite3.SQLITE_BUSY_SNAPSHOT), "locked"),
        (Coded(sqlite_errorcode=sqlite3.SQLITE_FULL), "full"),
        (Coded(sqlite_errorcode=sqlite3.SQLITE_CORRUPT_INDEX), "corrupt"),
        (Coded(sqlite_errorcode=sqlite3.SQLITE_IOERR), "other"),
        (errors.UniqueViolation(), "integrity"),
        (errors.SerializationFailure(), "locked"),
        (errors.DeadlockDetected(), "locked"),
        (errors.LockNotAvailable(), "locked"),
        (errors.QueryCanceled(), "timeout"),
        (errors.AdminShutdown(), "disconnected"),
        (errors.ConnectionFailure(), "disconnected"),
        (errors.DiskFull(), "full"),
        (errors.DataCorrupted(), "corrupt"),
        (errors.UndefinedTable(), "other"),
        (Coded(pgcode="23505"), "integrity"),
        (psycopg.InterfaceError("the connection is closed"), "disconnected"),
        (TimeoutError(), "timeout"),
        (exc.TimeoutError("QueuePool limit"), "timeout"),
        (ConnectionResetError(), "disconnected"),
        (ValueError(), "other"),
        (Coded(sqlstate=None, sqlite_errorcode=None, orig=None), "other"),
    ],
)
def test_error_by_what_it_carries(error: Exception, kind: str) -> None:
    """Codes first, names after them."""
    assert kind_of(error) == kind
    assert kind in DATABASE_ERRORS


def test_error_around_a_drivers_is_that_one() -> None:
    """SQLAlchemy hands the driver's own error on, and says whether the connection is gone."""
    inner = errors.UniqueViolation()
    assert kind_of(exc.DBAPIError("INSERT", {}, inner)) == "integrity"
    gone = exc.DBAPIError("INSERT", {}, psycopg.OperationalError(), connection_invalidated=True)
    assert kind_of(gone) == "disconnected"


def test_error_raised_from_a_drivers_is_that_one() -> None:
    """As a bot does that has errors of its own; a cycle of causes is impossible."""
    with pytest.raises(ValueError, match="not kept") as raised:
        raise ValueError("not kept") from errors.DiskFull()
    assert kind_of(raised.value) == "full"


def test_sqlites_own_errors(tmp_path: Path) -> None:
    """A file that is none, a key that is there, a lock that another has."""
    broken = tmp_path / "broken.db"
    broken.write_bytes(b"no database at all" * 100)
    assert kind_of(failure(sqlite3.connect(broken), "SELECT * FROM orders")) == "corrupt"
    path = tmp_path / "bot.db"
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("CREATE TABLE orders (id TEXT PRIMARY KEY)")
    holder.execute("INSERT INTO orders VALUES ('a')")
    other = sqlite3.connect(path, timeout=0)
    assert kind_of(failure(other, "INSERT INTO orders VALUES ('a')")) == "integrity"
    third = sqlite3.connect(path, timeout=0)
    holder.execute("BEGIN EXCLUSIVE")
    assert kind_of(failure(third, "INSERT INTO orders VALUES ('b')")) == "locked"
    holder.close()


def failure(connection: sqlite3.Connection, statement: str) -> sqlite3.Error:
    """Return what a statement fails with, and close the connection."""
    try:
        with pytest.raises(sqlite3.Error) as raised:
            connection.execute(statement)
        return raised.value
    finally:
        connection.close()
