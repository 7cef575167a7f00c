"""Upgrades a database. Alembic is imported only when there is something to do."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import SQLAlchemyError

from trading_ops.errors import StoreError
from trading_ops.store.engine import (
    is_postgresql,
    lock_until_commit,
    migrating_engine,
    reading_engine,
    sole_writer,
    sqlite_path,
)

FOLDER = Path(__file__).parent / "migrations"
HEAD = "0010"
"""The newest revision; a test compares it with the files."""

_WRITERS = text(
    # A local session has no address, and one of another role does not show it.
    "SELECT DISTINCT coalesce(host(client_addr), 'an unknown address') FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    # A name in the URL is that of every session.
    " AND application_name IN ('trading-ops writer', current_setting('application_name'))"
)

COUNTED = 1000
"""Rows of a table that are counted before it is dropped."""

LOCK = 0x7452_6164_4F70_7301
"""The number of our advisory lock in PostgreSQL; arbitrary, but used only here."""


def current(connection: Connection) -> str | None:
    """Return the database's revision, or None for an empty one."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


def is_behind(url: str) -> bool:
    """Whether a migration is needed; False when the database does not answer."""
    path = sqlite_path(url)
    if path is not None and not path.exists():
        return True
    engine = reading_engine(url)
    try:
        with engine.connect() as connection:
            return current(connection) != HEAD
    except SQLAlchemyError:
        return False
    finally:
        engine.dispose()


def upgrade(url: str) -> str:
    """Upgrade the database to the newest revision and return it; cheap if it is up to date.

    Several processes may call it at once: one migrates, the others wait.

    Raises:
        StoreError: another process has the SQLite database open for writing, or the database is
            unreachable, rejects the change, or belongs to a newer version of this program.
    """
    with sole_writer(url):
        engine = migrating_engine(url)
        try:
            with engine.begin() as connection:
                if current(connection) != HEAD:
                    _wait_for_others(connection)
                    _run_alembic(connection)
        except SQLAlchemyError as error:
            cause = getattr(error, "orig", None) or error
            raise StoreError(f"the database cannot be prepared: {str(cause).strip()}") from error
        finally:
            engine.dispose()
    return HEAD


@dataclass(frozen=True)
class Downgraded:
    """What a downgrade did."""

    revision: str | None
    """Of the database now; None: it is empty."""

    lost: tuple[str, ...] = ()
    """What was dropped with its content: `3 rows of recurring_windows`, or `TABLE.COLUMN`."""


def downgrade(url: str, revision: str) -> Downgraded:
    """Downgrade the schema to an older revision, for the previous release.

    Tables and columns that the newer schema added are dropped with what is in them. A database that
    is at the revision, or older, is not changed.

    Raises:
        StoreError: as for `upgrade`; or a reconciler uses the database, or this release does not
            know the revision.
    """
    known = sorted(path.name[:4] for path in (FOLDER / "versions").glob("[0-9]*.py"))
    if revision not in known:
        raise StoreError(
            f"revision {revision} is not known. Fix: one of {known[0]} to {known[-1]}, from the "
            "output of `trading-ops migrate` of the older release. A newer release takes the "
            "schema forward itself, when it starts"
        )
    lost: tuple[str, ...] = ()
    with sole_writer(url):
        engine = migrating_engine(url)
        try:
            with engine.begin() as connection:
                _wait_for_others(connection)
                found = current(connection)
                if found is not None and found > revision:
                    _refuse_beside_others(connection)
                    before = _filled(connection)
                    _run_alembic(connection, down_to=revision)
                    lost = tuple(_dropped(before, connection))
                    found = current(connection)
        except SQLAlchemyError as error:
            cause = getattr(error, "orig", None) or error
            raise StoreError(f"the schema cannot be changed: {str(cause).strip()}") from error
        finally:
            engine.dispose()
    return Downgraded(found, lost)


def _filled(connection: Connection) -> dict[str, tuple[int, frozenset[str]]]:
    """Return how many rows each table has, at most `COUNTED`, and its columns; not empty ones."""
    schema = inspect(connection)
    quote = connection.dialect.identifier_preparer.quote
    found = {}
    for table in schema.get_table_names():
        some = f"SELECT 1 FROM {quote(table)} LIMIT {COUNTED}"  # noqa: S608 - a quoted name
        rows = connection.execute(text(f"SELECT count(*) FROM ({some}) AS found")).scalar_one()  # noqa: S608
        if rows:
            columns = frozenset(column["name"] for column in schema.get_columns(table))
            found[table] = rows, columns
    return found


def _dropped(
    before: Mapping[str, tuple[int, frozenset[str]]], connection: Connection
) -> Iterator[str]:
    schema = inspect(connection)
    left = set(schema.get_table_names())
    for table, (rows, columns) in sorted(before.items()):
        if table not in left:
            yield f"{rows} rows of {table}" if rows < COUNTED else f"{rows} or more rows of {table}"
        else:
            kept = {column["name"] for column in schema.get_columns(table)}
            yield from (f"{table}.{column}" for column in sorted(columns - kept))


def _wait_for_others(connection: Connection) -> None:
    """Take the migration lock until the transaction ends (PostgreSQL)."""
    lock_until_commit(connection, LOCK)


def _refuse_beside_others(connection: Connection) -> None:
    """Raise StoreError while a reconciler has a session; SQLite has a file lock instead."""
    if not is_postgresql(connection):
        return
    hosts = sorted(connection.execute(_WRITERS).scalars())
    if hosts:
        raise StoreError(
            f"a reconciler uses the database from {', '.join(hosts)}. Fix: stop the reconcilers "
            "of all hosts, then repeat the command"
        )


def _run_alembic(connection: Connection, *, down_to: str | None = None) -> None:
    from alembic import command  # noqa: PLC0415 - 0.1 s and 20 MB that most starts do not need
    from alembic.config import Config  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    attributes: dict[str, Any] = config.attributes
    attributes["connection"] = connection
    try:
        if down_to is None:
            command.upgrade(config, "head")
        else:
            command.downgrade(config, down_to)
    except CommandError as error:
        raise StoreError(
            f"the database has revision {current(connection)}, which this version of trading-ops "
            f"(revision {HEAD}) does not know: run the version that made it, or a newer one"
        ) from error
