"""The bot's own database as the bot sees it: its pool and its statements."""

import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from trading_ops.instrument.database_errors import kind_of
from trading_ops.instrument.metric import Metric, bot_counter, bot_gauge, bot_histogram
from trading_ops.instrument.readings import Readings
from trading_ops.instrument.recording import observe

if TYPE_CHECKING:
    from trading_ops.instrument.recorder import Recorder

POOL_STATES = ("in_use", "idle", "overflow")
DATABASE_ERRORS = ("locked", "timeout", "disconnected", "integrity", "corrupt", "full", "other")

BOT_DATABASE: tuple[Metric, ...] = (
    bot_gauge(
        name="trading_database_pool_connections",
        labels=("pool", "state"),
        values={"state": POOL_STATES},
        help="Connections of a pool: in use, idle, and those of both that are beyond its "
        "ordinary size, as overflow.",
        why="All in use for long: statements are slow, or connections leak.",
    ),
    bot_gauge(
        name="trading_database_pool_size",
        labels=("pool",),
        help="Maximum connections of a pool, including overflow; absent if unlimited.",
        why="The limit for connections in use.",
    ),
    bot_histogram(
        name="trading_database_pool_wait_seconds",
        labels=("pool",),
        help="Time spent waiting for a connection, including opening a new one.",
        why="Rises before the pool is exhausted.",
    ),
    bot_histogram(
        name="trading_database_pool_hold_seconds",
        labels=("pool",),
        help="Time for which a connection was checked out.",
        why="Connections held across a call to the venue exhaust the pool.",
    ),
    bot_counter(
        name="trading_database_pool_connections_made_total",
        labels=("pool",),
        help="Connections opened.",
        why="Constant growth means that connections are short-lived.",
    ),
    bot_counter(
        name="trading_database_pool_invalidated_total",
        labels=("pool",),
        help="Connections discarded because they were broken.",
        why="The database restarts, or the network drops connections.",
    ),
    bot_counter(
        name="trading_database_pool_timeouts_total",
        labels=("pool",),
        help="Timeouts while waiting for a connection.",
        why="The database operation was not executed.",
    ),
    bot_histogram(
        name="trading_database_query_duration_seconds",
        labels=("statement",),
        exemplar="trace_id",
        help="Duration of a statement, by the name that the bot gives it.",
        why="A statement that slows down lacks an index or waits for a lock.",
    ),
    bot_counter(
        name="trading_database_errors_total",
        labels=("kind",),
        values={"kind": DATABASE_ERRORS},
        help="Failed statements, by kind of error.",
        why="With a locked or full database the bot cannot persist its records.",
    ),
)


class Ended(Protocol):
    """Records the end of a statement."""

    def __call__(
        self,
        statement: str,
        *,
        seconds: float,
        error: BaseException | None = None,
        trace_id: str = "",
    ) -> None:
        """Record the end."""
        ...


class Query:
    """Context manager: times a statement and counts its error, which is re-raised."""

    __slots__ = ("_began", "_ended", "_statement", "_trace_id")

    def __init__(self, ended: Ended, statement: str, trace_id: str) -> None:
        self._ended = ended
        self._statement = statement
        self._trace_id = trace_id
        self._began = 0.0

    def __enter__(self) -> Self:
        self._began = time.perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        seconds = time.perf_counter() - self._began
        # A cancelled task or an interrupted process is not a database error.
        fault = error if isinstance(error, Exception) else None
        self._ended(self._statement, seconds=seconds, error=fault, trace_id=self._trace_id)


POOLS = 4
STATEMENTS = 48
"""Pools and statements that need not be declared: their names are in the bot's code."""


class DatabaseMetrics:
    """Records a bot's use of its database."""

    _readings: Readings

    # Statements

    def query(self, statement: str, *, trace_id: str = "") -> Query:
        """Return a context manager that times a statement, and counts its error if it fails.

        Args:
            statement: a name for it, such as `insert_trade`; never its text.
            trace_id: becomes the exemplar of its bucket.
        """
        return Query(self.query_ended, statement, trace_id)

    def query_ended(
        self,
        statement: str,
        *,
        seconds: float,
        error: BaseException | None = None,
        trace_id: str = "",
    ) -> None:
        """Record a statement that succeeded or failed, and its duration."""
        observe(self._queries.labels(statement), seconds, trace_id)
        if error is not None:
            self.database_error(kind_of(error))

    def database_error(self, kind: str) -> None:
        """Count a failed statement by kind, one of `DATABASE_ERRORS`."""
        self._database_errors.labels(kind).value += 1

    # The pool

    def pool_connections(self, pool: str, *, in_use: int, idle: int, overflow: int = 0) -> None:
        """Set a pool's connections; absent until set.

        Args:
            pool: its name.
            in_use: connections that are checked out.
            idle: open connections that are not checked out.
            overflow: of both, those above the pool's normal size.
        """
        counts = {"in_use": in_use, "idle": idle, "overflow": overflow}
        for state, count in counts.items():
            self._pool.labels(pool, state).value = count

    def pool_size(self, pool: str, connections: int) -> None:
        """Set a pool's maximum of connections, including overflow."""
        self._pool_size.labels(pool).value = connections

    def watch_pool(
        self,
        pool: str,
        states: Mapping[str, Callable[[], float]],
        *,
        size: Callable[[], float] | None = None,
    ) -> None:
        """Read a pool at each scrape; its error counters start at zero.

        Args:
            pool: its name.
            states: returns the number of connections by state, as in `pool_connections`; called in
                the thread of the scrape.
            size: returns the maximum of connections, or None if unlimited.
        """
        self._pool_wait.labels(pool)
        self._pool_hold.labels(pool)
        self._pool_made.labels(pool)
        self._pool_invalidated.labels(pool)
        self._pool_timeouts.labels(pool)
        for state, read in states.items():
            self._readings.add(self._pool.labels(pool, state), read)
        if size is not None:
            self._readings.add(self._pool_size.labels(pool), size)

    def pool_wait(self, pool: str, seconds: float) -> None:
        """Record the time spent waiting for a connection."""
        observe(self._pool_wait.labels(pool), seconds)

    def pool_hold(self, pool: str, seconds: float) -> None:
        """Record the time for which a connection was checked out."""
        observe(self._pool_hold.labels(pool), seconds)

    def pool_connected(self, pool: str, connections: int = 1) -> None:
        """Count connections that were opened."""
        made = max(
            0, connections
        )  # computed first: a call within the addition would allow a thread switch
        self._pool_made.labels(pool).value += made

    def pool_invalidated(self, pool: str) -> None:
        """Count a connection that was discarded because it was broken."""
        self._pool_invalidated.labels(pool).value += 1

    def pool_timeout(self, pool: str) -> None:
        """Count a timeout while waiting for a connection."""
        self._pool_timeouts.labels(pool).value += 1

    def _register_database(
        self, recorder: "Recorder", pools: tuple[str, ...], statements: tuple[str, ...]
    ) -> None:
        by_pool = {"pool": pools}
        self._pool = recorder.gauge(
            "trading_database_pool_connections", by_pool, limit=POOLS, at_once=False
        )
        self._pool_size = recorder.gauge(
            "trading_database_pool_size", by_pool, limit=POOLS, at_once=False
        )
        self._pool_wait = recorder.histogram(
            "trading_database_pool_wait_seconds", by_pool, limit=POOLS
        )
        self._pool_hold = recorder.histogram(
            "trading_database_pool_hold_seconds", by_pool, limit=POOLS
        )
        self._pool_made = recorder.counter(
            "trading_database_pool_connections_made_total", by_pool, limit=POOLS
        )
        self._pool_invalidated = recorder.counter(
            "trading_database_pool_invalidated_total", by_pool, limit=POOLS
        )
        self._pool_timeouts = recorder.counter(
            "trading_database_pool_timeouts_total", by_pool, limit=POOLS
        )
        self._queries = recorder.histogram(
            "trading_database_query_duration_seconds", {"statement": statements}, limit=STATEMENTS
        )
        self._database_errors = recorder.counter("trading_database_errors_total")
