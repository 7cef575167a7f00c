"""One read-only connection to a server, on which nothing waits for long."""

import asyncio
import json
from collections.abc import Generator
from typing import Any, TypeVar

import psycopg
from psycopg.rows import dict_row
from psycopg.waiting import wait_async

from trading_ops.exporter.config import PostgresqlEntry
from trading_ops.exporter.databases.postgresql.dsn import Resolver, read_dsn

T = TypeVar("T")
Row = dict[str, Any]

APPLICATION = "trading-ops exporter"
SETTINGS = {
    "default_transaction_read_only": "on",
    # Functions and operators of other schemas are never used instead of the server's.
    "search_path": "pg_catalog",
    "lock_timeout": "500ms",
    "idle_in_transaction_session_timeout": "5s",
    # The planner overestimates these queries, and JIT compilation costs 100 times their run time.
    "jit": "off",
}

# Qualified: until this has run, names resolve by the default search path of the database.
PREPARE = """
SELECT pg_catalog.set_config(name, value, false)
FROM pg_catalog.json_each_text(%s::pg_catalog.json) AS s (name, value)
"""


class MonitoringSession:
    """Connects when needed and keeps the connection: a full server would refuse a new one."""

    def __init__(self, entry: PostgresqlEntry, *, statement_seconds: float, title: str) -> None:
        """Set up the session; `version` or `rows` connects.

        Args:
            entry: the database.
            statement_seconds: statement timeout of the server.
            title: application name in `pg_stat_activity`.
        """
        self._dsn_file = entry.dsn_file
        self._settings = SETTINGS | {"statement_timeout": f"{round(statement_seconds * 1000)}ms"}
        self._application = f"{APPLICATION} {title}"
        self._resolver = Resolver(f"the host's name of {entry.name}")
        self._connection: _MonitoringConnection | None = None
        self.is_new = True
        """Whether the last call opened a new connection."""

    async def version(self) -> int:
        """Return the server's version, such as 150020; connects if necessary.

        Raises:
            ClientError: the file of the connection string is invalid.
            psycopg.Error: the server is unreachable, or refuses the login.
        """
        self.is_new = not self.is_open
        return (await self._connected()).info.server_version

    async def rows(self, query: str, parameters: dict[str, Any]) -> list[Row]:
        """Run one query.

        Raises:
            psycopg.Error: the query failed, or the connection was lost.
        """
        connection = await self._connected()
        async with connection.cursor() as cursor:
            # Our own constants, selected by the server's version.
            await cursor.execute(query.encode(), parameters)
            return await cursor.fetchall()

    @property
    def is_open(self) -> bool:
        """Whether the connection is still open."""
        return self._connection is not None and not self._connection.closed

    def close(self) -> None:
        """Close the connection without a message to a server that may be frozen."""
        if self._connection is not None:
            self._connection.pgconn.finish()
        self._connection = None

    async def _connected(self) -> "_MonitoringConnection":
        if self._connection is not None and not self._connection.closed:
            return self._connection
        dsn = await self._resolver.resolve(read_dsn(self._dsn_file))
        connection = await _MonitoringConnection.connect(
            autocommit=True,
            **dsn | {"application_name": self._application},  # type: ignore[arg-type]  # strings
        )
        self._connection = connection
        await connection.execute(PREPARE, [json.dumps(self._settings)])
        return connection


class _MonitoringConnection(psycopg.AsyncConnection[Row]):
    """A connection that closes immediately when its wait is cancelled.

    The driver's own class sends a cancel request and waits ten seconds for a frozen server. The
    server's statement timeout ends the statement anyway.
    """

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.row_factory = dict_row

    async def wait(
        self,
        gen: Generator[Any, Any, T],
        interval: float = 0.1,
        timeout: float | None = None,  # noqa: ASYNC109 - the driver's own signature
    ) -> T:
        try:
            return await wait_async(gen, self.pgconn.socket, interval=interval, timeout=timeout)
        except asyncio.CancelledError:
            self.pgconn.finish()
            raise
