"""PostgreSQL: the server, its connections, and what holds vacuum back.

The label `database` is the name in the exporter's configuration. What belongs to a whole server is
told under each name that leads to it.
"""

from functools import partial

from trading_ops.instrument.metric import Metric, exporter_gauge

CONNECTION_STATES = (
    "active",
    "idle",
    "idle_in_transaction",
    "idle_in_transaction_aborted",
    "other",
)
XMIN_HOLDERS = ("session", "prepared", "slot")

_gauge = partial(exporter_gauge, labels=("database",))

POSTGRESQL: tuple[Metric, ...] = (
    _gauge(
        name="trading_postgresql_up",
        help="1 when the last reading of the database succeeded, else 0.",
        why="What the bot wants to remember is lost, or the bot stands still.",
    ),
    exporter_gauge(
        name="trading_postgresql_info",
        labels=("database", "version"),
        help="1, with the server's version as label.",
        why="Which faults of the server are known depends on it.",
    ),
    exporter_gauge(
        name="trading_postgresql_statistic_unavailable",
        labels=("database", "reading", "reason"),
        help="1 for each reading whose figures are absent, with the reason as label.",
        why="A figure that is absent raises no alarm; this says that it is, and what would help.",
    ),
    _gauge(
        name="trading_postgresql_read_duration_seconds",
        unit="seconds",
        help="Time that the last reading took.",
        why="A server that is slow to tell of itself is slow in everything.",
    ),
    _gauge(
        name="trading_postgresql_in_recovery",
        help="1 when the server is a standby, else 0.",
        why="A primary that has become a standby takes no writes.",
    ),
    _gauge(
        name="trading_postgresql_start_timestamp_seconds",
        unit="seconds",
        help="Time at which the server started, since the epoch.",
        why="A restart breaks every connection.",
    ),
    _gauge(
        name="trading_postgresql_connection_slots",
        help="Connections that ordinary roles may have together.",
        why="The limit for those in use.",
    ),
    _gauge(
        name="trading_postgresql_connection_slots_used_ratio",
        unit="ratio",
        help="Connections to databases as a share of the slots of ordinary roles.",
        why="At 1 nobody new is let in, not even the bot after its restart.",
    ),
    exporter_gauge(
        name="trading_postgresql_connections",
        labels=("database", "state"),
        values={"state": CONNECTION_STATES},
        help="Client connections of the server by state.",
        why="Many idle in transaction: a client forgets to end what it begins.",
    ),
    _gauge(
        name="trading_postgresql_longest_transaction_seconds",
        unit="seconds",
        help="Age of the oldest transaction of a client; 0 for none.",
        why="It keeps its locks, and vacuum from every row that died since.",
    ),
    _gauge(
        name="trading_postgresql_longest_query_seconds",
        unit="seconds",
        help="Age of the oldest statement that a client has running; 0 for none.",
        why="A statement that never ends, or waits for a lock.",
    ),
    _gauge(
        name="trading_postgresql_longest_idle_in_transaction_seconds",
        unit="seconds",
        help="Longest time for which a client has done nothing inside a transaction; 0 for none.",
        why="A client that hangs holds locks that others wait for.",
    ),
    _gauge(
        name="trading_postgresql_lock_waits",
        help="Sessions that wait for a lock.",
        why="Work stands still behind another transaction.",
    ),
    _gauge(
        name="trading_postgresql_longest_lock_wait_seconds",
        unit="seconds",
        help="Longest time for which a session has waited for a lock; 0 for none.",
        why="Longer than a moment: somebody holds a lock and does not go on.",
    ),
    exporter_gauge(
        name="trading_postgresql_oldest_xmin_age",
        labels=("database", "holder"),
        values={"holder": XMIN_HOLDERS},
        help="Transactions since the oldest that vacuum must respect, by what holds it.",
        why="While it grows, no dead row is removed and every table bloats.",
    ),
    _gauge(
        name="trading_postgresql_prepared_transactions",
        help="Prepared transactions that were neither committed nor rolled back.",
        why="One that was forgotten keeps its locks through a restart.",
    ),
    _gauge(
        name="trading_postgresql_longest_prepared_transaction_seconds",
        unit="seconds",
        help="Age of the oldest prepared transaction; 0 for none.",
        why="Whoever prepared it is gone.",
    ),
    _gauge(
        name="trading_postgresql_xid_used_ratio",
        unit="ratio",
        help="Age of the oldest unfrozen transaction id as a share of all that there can be.",
        why="Near 1 the server stops to take writes.",
    ),
    _gauge(
        name="trading_postgresql_multixact_used_ratio",
        unit="ratio",
        help="Age of the oldest multixact id as a share of all that there can be.",
        why="Near 1 the server stops to take writes.",
    ),
)
