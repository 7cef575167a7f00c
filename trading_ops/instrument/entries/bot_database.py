"""The bot's own database as the bot sees it: its pool and its statements."""

from trading_ops.instrument.entries.kinds import bot_counter, bot_gauge, bot_histogram
from trading_ops.instrument.metric import Metric

POOL_STATES = ("in_use", "idle", "overflow")
DATABASE_ERRORS = ("locked", "timeout", "disconnected", "integrity", "corrupt", "full", "other")

BOT_DATABASE: tuple[Metric, ...] = (
    bot_gauge(
        name="trading_database_pool_connections",
        labels=("pool", "state"),
        values={"state": POOL_STATES},
        help="Connections of a pool: in use, idle, and those of both that are beyond its "
        "ordinary size, as overflow.",
        why="All in use for long: statements are slow, or connections are not given back.",
    ),
    bot_gauge(
        name="trading_database_pool_size",
        labels=("pool",),
        help="Connections that a pool may have, overflow included; absent when there is no bound.",
        why="The limit for those in use.",
    ),
    bot_histogram(
        name="trading_database_pool_wait_seconds",
        labels=("pool",),
        help="Time that was waited for a connection, the making of a new one included.",
        why="Work stands still here before the pool is seen to be exhausted.",
    ),
    bot_histogram(
        name="trading_database_pool_hold_seconds",
        labels=("pool",),
        help="Time for which a connection was kept.",
        why="Held across a call to the venue, a few of them exhaust the pool.",
    ),
    bot_counter(
        name="trading_database_pool_connections_made_total",
        labels=("pool",),
        help="Connections that were made.",
        why="Grows when a pool is renewed; grows all the time when none lasts.",
    ),
    bot_counter(
        name="trading_database_pool_invalidated_total",
        labels=("pool",),
        help="Connections that were thrown away because they were broken.",
        why="The database restarts, or the network drops connections.",
    ),
    bot_counter(
        name="trading_database_pool_timeouts_total",
        labels=("pool",),
        help="Times that no connection came free in time.",
        why="Work was not done.",
    ),
    bot_histogram(
        name="trading_database_query_duration_seconds",
        labels=("statement",),
        exemplar="trace_id",
        help="Time that a statement took, by the name that the bot gives it.",
        why="A statement that slows down lacks an index, or waits for a lock.",
    ),
    bot_counter(
        name="trading_database_errors_total",
        labels=("kind",),
        values={"kind": DATABASE_ERRORS},
        help="Statements that failed, by what was wrong.",
        why="A locked or full database loses what the bot meant to remember.",
    ),
)
