"""Records metrics of a bot's SQLAlchemy engine: its pool and its statements.

watch_engine(metrics, engine)

It needs only SQLAlchemy and `trading_ops.instrument`. A statement is named by its verb and first
table (`select_orders`), or by its execution option:

connection.execute(select(orders), execution_options={STATEMENT: "open_orders"})

It times the execution of the statement, without reading the rows of an unbuffered cursor and
without the commit. `metrics.query` around the whole transaction includes both.
"""

import re
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, ExceptionContext, PoolProxiedConnection, QueuePool, event, exc
from sqlalchemy.pool import ConnectionPoolEntry

from trading_ops.instrument.database_errors import kind_of
from trading_ops.instrument.labels import OTHER
from trading_ops.instrument.topics.database import DatabaseMetrics

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

STATEMENT = "trading_statement"
"""Execution option with the name of a statement: a label, so never include values."""

BEGAN = "trading_ops_began"
"""Key of the start time in SQLAlchemy's objects."""

PARSED_CHARACTERS = 1000
"""Characters of a statement that are parsed for its name."""

NAMED = 256
"""Maximum number of cached statement names."""

LONGEST = 60
"""Maximum characters of a table's name."""

VERBS = frozenset(
    {
        *("select", "insert", "update", "delete", "with", "begin", "commit", "rollback"),
        *("savepoint", "release", "pragma", "create", "drop", "alter", "truncate", "copy"),
        *("vacuum", "analyze", "explain", "set", "show", "lock", "call", "listen", "notify"),
    }
)
_VERB = re.compile(r"(?:\s|--[^\n]*\n|/\*(?:[^*]|\*(?!/))*\*/|\()*([a-z]+)", re.IGNORECASE)
_QUOTE = '["`\\[]?'
_TABLE = re.compile(
    r"\b(?:from|into|update|table|join)\s+(?:(?:only|if|not|exists)\s+)*"
    rf"{_QUOTE}([a-z_]\w*)(?:[\"`\]]?\.{_QUOTE}([a-z_]\w*))?",
    re.IGNORECASE,
)


def watch_engine(
    metrics: DatabaseMetrics, engine: "Engine | AsyncEngine", *, pool: str = "main"
) -> None:
    """Record metrics of an engine from now on; call once per engine.

    Args:
        metrics: of the bot.
        engine: as `create_engine` or `create_async_engine` made it.
        pool: a unique name for its pool.
    """
    watched = engine if isinstance(engine, Engine) else engine.sync_engine
    _Watch(metrics, watched, pool).begin()


class _Watch:
    """Listens to one engine. Kept simple, because an error here would break the bot."""

    def __init__(self, metrics: DatabaseMetrics, engine: Engine, pool: str) -> None:
        self._metrics = metrics
        self._engine = engine
        self._pool = pool
        # By identity of their records, for pools that do not count connections.
        self._taken: set[int] = set()

    def begin(self) -> None:
        """Register the listeners."""
        engine = self._engine
        self._time_waits(engine)
        for name, listener in (
            ("engine_disposed", self._time_waits),
            ("connect", self._connected),
            ("checkout", self._checkout),
            ("checkin", self._checkin),
            ("detach", self._left),
            ("invalidate", self._invalidated),
            ("soft_invalidate", self._invalidated),
            ("before_cursor_execute", self._before),
            ("after_cursor_execute", self._after),
            ("handle_error", self._failed),
        ):
            event.listen(engine, name, listener)
        if not isinstance(engine.pool, QueuePool):
            self._metrics.watch_pool(self._pool, {"in_use": lambda: len(self._taken)})
            return
        states = {"in_use": self._in_use, "idle": self._idle, "overflow": self._overflow}
        limited = most_connections(engine.pool) is not None
        self._metrics.watch_pool(self._pool, states, size=self._size if limited else None)

    @property
    def _queue(self) -> QueuePool:
        """Return the current pool: `dispose` creates a new one."""
        pool = self._engine.pool
        if not isinstance(pool, QueuePool):
            raise TypeError("the pool was replaced by another kind of pool")
        return pool

    # The pool

    def _in_use(self) -> int:
        return self._queue.checkedout()

    def _idle(self) -> int:
        return self._queue.checkedin()

    def _overflow(self) -> int:
        return max(0, self._queue.overflow())

    def _size(self) -> int:
        return most_connections(self._queue) or 0

    def _time_waits(self, engine: Engine) -> None:
        """Time `connect` of the engine's pool, which has no events."""
        connect = engine.pool.connect

        def timed() -> PoolProxiedConnection:
            began = time.perf_counter()
            try:
                return connect()
            except exc.TimeoutError:
                self._metrics.pool_timeout(self._pool)
                raise
            finally:
                self._metrics.pool_wait(self._pool, time.perf_counter() - began)

        engine.pool.connect = timed  # type: ignore[method-assign]

    def _connected(self, *_: object) -> None:
        self._metrics.pool_connected(self._pool)

    def _checkout(self, _connection: object, record: ConnectionPoolEntry, _proxy: object) -> None:
        self._taken.add(id(record))
        record.info[BEGAN] = time.perf_counter()

    def _checkin(self, _connection: object, record: ConnectionPoolEntry) -> None:
        self._taken.discard(id(record))
        began = record.info.pop(BEGAN, None)
        if began is not None:
            self._metrics.pool_hold(self._pool, time.perf_counter() - began)

    def _left(self, connection: object, record: ConnectionPoolEntry) -> None:
        """Count a connection that was detached from the pool as returned."""
        self._checkin(connection, record)

    def _invalidated(self, *_: object) -> None:
        self._metrics.pool_invalidated(self._pool)

    # Statements

    def _before(self, *happened: Any) -> None:
        context = happened[4]
        if context is not None:
            vars(context)[BEGAN] = time.perf_counter()

    def _after(self, *happened: Any) -> None:
        self._ended(happened[4], happened[2])

    def _failed(self, failure: ExceptionContext) -> None:
        error = failure.sqlalchemy_exception or failure.original_exception
        kind = kind_of(error)
        if kind == OTHER and failure.connection is None:
            kind = "disconnected"  # no connection was available
        self._metrics.database_error(kind)
        self._ended(failure.execution_context, failure.statement or "")

    def _ended(self, context: Any, statement: str) -> None:
        began = None if context is None else vars(context).pop(BEGAN, None)
        if began is None:
            return
        seconds = time.perf_counter() - began
        name = context.execution_options.get(STATEMENT) or name_of(statement[:PARSED_CHARACTERS])
        self._metrics.query_ended(str(name), seconds=seconds)


def most_connections(pool: QueuePool) -> int | None:
    """Return the maximum of connections; None: unlimited."""
    # Not a public attribute; if a version renames it, only this value is lost.
    beyond = int(getattr(pool, "_max_overflow", -1))
    return None if beyond < 0 else pool.size() + beyond


@lru_cache(NAMED)
def name_of(statement: str) -> str:
    """Return a name for a statement: its verb and first table, never more of its text."""
    verb = _VERB.match(statement)
    if verb is None or (kind := verb[1].lower()) not in VERBS:
        return OTHER
    table = _TABLE.search(statement, verb.start(1))
    if table is None:
        return kind
    return f"{kind}_{(table[2] or table[1]).lower()[:LONGEST]}"
