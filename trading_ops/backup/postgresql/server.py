"""The server that is backed up: connection, clock, WAL position, and facts about its database."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

import psycopg.conninfo
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from trading_ops.backup.manifest import CapturedDatabase
from trading_ops.backup.postgresql import wal
from trading_ops.backup.sqlite import TIMES
from trading_ops.errors import SetupError, StoreError
from trading_ops.redaction import redact
from trading_ops.store import postgresql
from trading_ops.store.backups import position
from trading_ops.store.engine import parse

OLDEST = 13
"""Oldest supported major version: checksums of base backups, functions for transaction IDs."""

COUNTING = "60s"
QUIET_TRIES = 300
NAME = "postgresql"
OURS = frozenset({"options", "target_session_attrs", "application_name"})
"""Session parameters that a replication connection does not accept."""

_KEEP = """
SELECT pg_create_physical_replication_slot('trading_ops_' || pg_backend_pid(), true, true)
"""
_TABLES = """
SELECT n.nspname, c.relname, array_agg(a.attname::text ORDER BY a.attnum)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema')
  AND c.relpersistence = 'p'
GROUP BY 1, 2 ORDER BY 1, 2
"""
# A snapshot does not include the newest running transaction; ours would not be the next one.
_QUIET = """
SELECT pg_current_wal_insert_lsn()::text,
       pg_snapshot_xmin(pg_current_snapshot()) = pg_snapshot_xmax(pg_current_snapshot())
       AND pg_snapshot_xmax(pg_current_snapshot()) = pg_current_xact_id()
"""


class Server:
    """One connection, and the connection parameters for the programs."""

    def __init__(self, engine: Engine, connection: Connection, *, streams: bool = True) -> None:
        """Read the constant facts.

        Args:
            engine: of the connection.
            connection: to the server.
            streams: whether base and WAL use the replication protocol.

        Raises:
            SetupError: it cannot be backed up this way.
        """
        self._engine, self._connection = engine, connection
        self.major = int(self._first("SHOW server_version_num")) // 10_000
        if self.major < OLDEST:
            raise SetupError(
                f"PostgreSQL {self.major} cannot be backed up. Fix: upgrade it to {OLDEST} or later"
            )
        self.system = str(self._first("SELECT system_identifier FROM pg_control_system()"))
        self.segment = int(
            self._first("SELECT setting FROM pg_settings WHERE name = 'wal_segment_size'")
        )
        self.superuser = str(
            self._first("SELECT rolname FROM pg_roles WHERE rolsuper ORDER BY oid LIMIT 1")
        )
        self.database = str(self._first("SELECT current_database()"))
        self._refuse(streams=streams)
        if not streams:
            return
        # The slot is dropped with this connection; until then the server retains its WAL.
        self._first(_KEEP)

    @classmethod
    @contextlib.contextmanager
    def connect(cls, url: str, *, streams: bool = True) -> Iterator[Self]:
        """Connect like the reconciler.

        Raises:
            StoreError: it does not answer, now or during the block.
        """
        engine = counting_engine(url)
        try:
            with engine.connect() as connection:
                yield cls(engine, connection, streams=streams)
        except SQLAlchemyError as error:
            detail = redact(str(getattr(error, "orig", None) or error).strip())
            raise StoreError(f"PostgreSQL cannot be backed up: {detail}") from error
        finally:
            engine.dispose()

    def _refuse(self, *, streams: bool) -> None:
        role = str(self._first("SELECT current_user"))
        if streams and not self._first(
            "SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = current_user"
        ):
            raise SetupError(
                f"the role {role} may not take a backup of PostgreSQL. Fix: create one that may, "
                "and name it in backup_database, see docs/backups.md, “PostgreSQL”"
            )
        if self._first(
            "SELECT count(*) FROM pg_tablespace WHERE spcname NOT IN ('pg_default', 'pg_global')"
        ):
            raise SetupError(
                "PostgreSQL has additional tablespaces, which these backups do not include. Fix: "
                "use another backup tool, and set backup_interval_seconds to 0"
            )
        if (level := self._first("SHOW wal_level")) not in {"replica", "logical"}:
            raise SetupError(f"wal_level of PostgreSQL is {level}. Fix: set it to replica")
        if streams and self._first("SHOW wal_keep_size") == "0":
            raise SetupError(
                "PostgreSQL removes WAL before the next backup has it. Fix: ALTER SYSTEM SET "
                "wal_keep_size = '1GB'; SELECT pg_reload_conf()"
            )

    @property
    def arguments(self) -> list[str]:
        """Return the arguments of a program that connects to this server."""
        info = self._driver.info
        query = self._engine.url.query
        # Only parameters in the URL: the programs may have an older libpq than the driver.
        given: dict[str, Any] = {name: query[name] for name in query if name not in OURS}
        given |= {"user": info.user, "dbname": info.dbname}
        given |= {"host": info.host, "port": info.port}  # of several hosts, the one in use
        return ["--dbname", psycopg.conninfo.make_conninfo(**given), "--no-password"]

    @property
    def password(self) -> str | None:
        """Return the password of the URL."""
        return self._engine.url.password

    @property
    def _driver(self) -> Any:
        return self._connection.connection.driver_connection

    @property
    def size(self) -> int:
        """Return the bytes of all databases."""
        return int(self._first("SELECT coalesce(sum(pg_database_size(oid)), 0) FROM pg_database"))

    def now(self) -> datetime:
        """Return the server's time."""
        found: datetime = self._first("SELECT clock_timestamp()")
        return found

    def mark(self) -> int:
        """Commit an empty transaction and return the WAL position after it.

        The WAL up to there contains a commit later than all earlier queries, so that a recovery to
        an earlier time finds its target.
        """
        self._first("SELECT pg_current_xact_id()")
        return wal.position(str(self._first("SELECT pg_current_wal_insert_lsn()")))

    def describe(self) -> CapturedDatabase:
        """Return facts about the database at a position in the WAL.

        Rows are exact at `wal_counted`: no transaction was running, and the WAL did not move while
        the snapshot was taken. If the server is never idle for a fraction of a millisecond, or
        counting takes too long, only the schema and the audit log are included.
        """
        at = self._quiet()
        try:
            return describe(self._connection, counted=at)
        except SQLAlchemyError:
            self._connection.rollback()
            return describe(self._connection, counted=None)
        finally:
            self._connection.rollback()

    def _quiet(self) -> str | None:
        for _ in range(QUIET_TRIES):
            before = self._first("SELECT pg_current_wal_insert_lsn()::text")
            # Repeatable read: this statement takes the snapshot for all later ones.
            at, is_alone = self._connection.exec_driver_sql(_QUIET).one()
            if at == before and is_alone:
                return str(at)
            self._connection.rollback()
        return None

    def _first(self, statement: str) -> Any:
        """Query one value in a separate transaction."""
        found = self._connection.exec_driver_sql(statement).scalar()
        self._connection.commit()
        return found


def counting_engine(url: str) -> Engine:
    """Return an engine with a statement timeout that allows counting rows."""
    settings = {
        **postgresql.READING,
        "statement_timeout": COUNTING,
        "idle_in_transaction_session_timeout": "0",
        "timezone": "UTC",
    }
    bounds = postgresql.ConnectionLimits(name="backup", settings=settings, answer_seconds=None)
    return postgresql.engine(parse(url), bounds)


@dataclass(frozen=True)
class _Table:
    schema: str
    name: str
    columns: tuple[str, ...]

    @property
    def key(self) -> str:
        return self.name if self.schema == "public" else f"{self.schema}.{self.name}"

    @property
    def quoted(self) -> str:
        return f"{_quoted(self.schema)}.{_quoted(self.name)}"


def describe(connection: Connection, *, counted: str | None) -> CapturedDatabase:
    """Return facts about the connected database, in the current transaction.

    Args:
        connection: to it.
        counted: the WAL position of the transaction's snapshot; None: rows are not counted.
    """
    found = connection.exec_driver_sql(_TABLES).all()
    tables = [_Table(schema, name, tuple(columns or ())) for schema, name, columns in found]
    rows: dict[str, int] = {}
    newest: dict[str, str] = {}
    for table in tables if counted else ():
        time = next((column for column in TIMES if column in table.columns), None)
        highest = f"max({_quoted(time)})::text" if time else "NULL"
        query = f"SELECT count(*), {highest} FROM {table.quoted}"  # noqa: S608 - quoted names
        rows[table.key], latest = connection.exec_driver_sql(query).one()
        if latest is not None:
            newest[table.key] = str(latest)
    at = position(
        {table.key for table in tables}, lambda query: connection.exec_driver_sql(query).scalar()
    )
    return CapturedDatabase(
        path=NAME,
        engine="postgresql",
        rows=rows,
        newest=newest,
        revision=at.revision,
        audit_head=at.audit_head,
        wal_counted=counted,
    )


def _quoted(name: str) -> str:
    escaped = name.replace('"', '""').replace("%", "%%")
    return f'"{escaped}"'
