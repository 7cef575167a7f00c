"""Records in a PostgreSQL schema, for a bot with standby instances that share them.

All waits have timeouts, and a broken connection is replaced at the next transaction. Each
transaction first calls the guard, so that an instance that lost its lease, for example while it was
frozen, writes nothing.
"""

import contextlib
import re
import socket
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import psycopg
from psycopg import sql

from trading_ops.botkit.records.schema import POSTGRESQL, upgrade
from trading_ops.botkit.records.sql import Row, Rows, Session, Value
from trading_ops.errors import StoreError

Result = TypeVar("Result")

NAME = re.compile(r"[a-z][a-z0-9_-]{0,40}")
CONNECT_SECONDS = 3
SETTINGS = {
    "application_name": "trading-bot",
    # Set here, because a server that defaults to `off` acknowledges commits that a crash can lose.
    "synchronous_commit": "on",
    "statement_timeout": "4s",
    "lock_timeout": "3s",
    "idle_in_transaction_session_timeout": "8s",
}
KEEPALIVE = {
    "keepalives": 1,
    "keepalives_idle": 3,
    "keepalives_interval": 1,
    "keepalives_count": 3,
    "tcp_user_timeout": 5_000,
}


class PostgresqlDriver:
    """A `Driver` for one bot's schema on a PostgreSQL server; see `ThreadedDatabase`.

    Example:
        url = "postgresql://bot:password@db:5432/trading"
        store = Store(metrics, lambda: ThreadedDatabase(PostgresqlDriver(url, "mybot"), metrics))
    """

    def __init__(
        self, url: str, bot: str, *, guard: Callable[[Session], None] = lambda _: None
    ) -> None:
        """Set the server and the schema; `open` connects.

        Args:
            url: `postgresql://user:password@host:port/database`; never logged.
            bot: name of the bot, from which the schema's name is made.
            guard: called first in each transaction; raises when this process must no longer write,
                for example because its fencing token is out of date.

        Raises:
            StoreError: the bot's name is not valid in a schema name.
        """
        if not NAME.fullmatch(bot):
            raise StoreError(f"{bot!r} is not valid in a schema name: it must match {NAME.pattern}")
        self._url = url
        self._schema = f"bot_{bot.replace('-', '_')}"
        self._guard = guard
        self._connection: psycopg.Connection[Row] | None = None
        self.connections = 0

    @property
    def name(self) -> str:
        """Return the schema's name; the URL may contain a password."""
        return f"PostgreSQL, schema {self._schema}"

    def open(self) -> None:
        """Connect, create the schema and create or migrate its tables.

        Raises:
            StoreError: the server cannot be reached, or the schema was written by a newer release.
        """
        try:
            self._run(self._prepare)
        except StoreError:
            self.close()
            raise

    def transact(self, work: Callable[[Session], Result]) -> Result:
        """Call the guard and run `work` in one transaction, and commit it.

        Raises:
            StoreError: it is unknown whether it was committed. Errors of the guard and of `work`
                are passed on, after a rollback.
        """

        def guarded(session: Session) -> Result:
            self._guard(session)
            return work(session)

        return self._run(guarded)

    def interrupt(self) -> None:
        """Make the running transaction fail, from another thread."""
        self.abort()

    def abort(self) -> None:
        """Shut the connection's socket down, from another thread: its running statement fails."""
        connection = self._connection
        if connection is not None:
            with (
                contextlib.suppress(OSError, psycopg.Error),
                socket.fromfd(connection.fileno(), socket.AF_INET, socket.SOCK_STREAM) as wire,
            ):
                wire.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Disconnect."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _prepare(self, session: Session) -> None:
        # Two instances that start at the same time must not create the same tables.
        session.execute("SELECT pg_advisory_xact_lock(hashtext(?))", (self._schema,))
        session.execute(f"CREATE SCHEMA IF NOT EXISTS {self._schema}")
        upgrade(session, POSTGRESQL)

    def _run(self, work: Callable[[Session], Result]) -> Result:
        try:
            connection = self._connected()
            with connection.transaction():
                return work(_PostgresqlSession(connection))
        except psycopg.Error as error:
            self.close()
            text = " ".join(str(error).split()) or type(error).__name__
            raise StoreError(f"{self.name}: {text[:300]}") from error

    def _connected(self) -> psycopg.Connection[Row]:
        if self._connection is None or self._connection.closed:
            settings: dict[str, Any] = {**KEEPALIVE, "connect_timeout": CONNECT_SECONDS}
            connection = psycopg.connect(self._url, autocommit=True, **settings)
            try:
                for name, value in {**SETTINGS, "search_path": self._schema}.items():
                    connection.execute(
                        sql.SQL("SET {} = {}").format(sql.Identifier(name), sql.Literal(value))
                    )
            except BaseException:
                connection.close()
                raise
            self._connection = connection
            self.connections += 1
        return self._connection


class _PostgresqlSession:
    def __init__(self, connection: psycopg.Connection[Row]) -> None:
        self._connection = connection

    def execute(self, statement: str, values: Sequence[Value] = ()) -> Rows:
        query = statement.replace("%", "%%").replace("?", "%s").encode()
        return _PostgresqlRows(self._connection.execute(query, tuple(values)))


class _PostgresqlRows:
    def __init__(self, cursor: psycopg.Cursor[Row]) -> None:
        self._cursor = cursor

    @property
    def count(self) -> int:
        return self._cursor.rowcount

    def one(self) -> Row | None:
        return self._cursor.fetchone()

    def all(self) -> list[Row]:
        return self._cursor.fetchall()
