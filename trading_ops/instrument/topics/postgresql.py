"""PostgreSQL: the server, its connections, and what blocks vacuum.

The label `database` is the name in the exporter's configuration. Server-wide metrics are exported
for each of its databases.
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
        help="1 if the database could be read, else 0.",
        why="While down, the bot cannot persist data or stops trading.",
    ),
    exporter_gauge(
        name="trading_postgresql_info",
        labels=("database", "version"),
        help="Always 1; the server's version as a label.",
        why="Known bugs depend on the version.",
    ),
    exporter_gauge(
        name="trading_postgresql_statistic_unavailable",
        labels=("database", "reading", "reason"),
        help="1 for each group of metrics that is missing, with the reason as a label.",
        why="A missing metric raises no alert; this one shows that it is missing, and why.",
    ),
    _gauge(
        name="trading_postgresql_read_duration_seconds",
        unit="seconds",
        help="Duration of the last read.",
        why="A server that is slow here is slow everywhere.",
    ),
    _gauge(
        name="trading_postgresql_in_recovery",
        help="1 if the server is a standby, else 0.",
        why="A primary that became a standby rejects writes.",
    ),
    _gauge(
        name="trading_postgresql_start_timestamp_seconds",
        unit="seconds",
        help="Start time of the server, Unix time.",
        why="A restart breaks every connection.",
    ),
    _gauge(
        name="trading_postgresql_connection_slots",
        help="Connection slots for ordinary roles.",
        why="The limit for connections in use.",
    ),
    _gauge(
        name="trading_postgresql_connection_slots_used_ratio",
        unit="ratio",
        help="Used connections as a ratio of the slots for ordinary roles.",
        why="At 1 new connections are refused, even from a restarted bot.",
    ),
    exporter_gauge(
        name="trading_postgresql_connections",
        labels=("database", "state"),
        values={"state": CONNECTION_STATES},
        help="Client connections of the server by state.",
        why="Many idle in transaction: a client does not end its transactions.",
    ),
    _gauge(
        name="trading_postgresql_longest_transaction_seconds",
        unit="seconds",
        help="Age of the oldest client transaction; 0: none.",
        why="It holds locks and keeps vacuum from removing dead rows.",
    ),
    _gauge(
        name="trading_postgresql_longest_query_seconds",
        unit="seconds",
        help="Age of the oldest running statement; 0: none.",
        why="A statement that hangs or waits for a lock.",
    ),
    _gauge(
        name="trading_postgresql_longest_idle_in_transaction_seconds",
        unit="seconds",
        help="Longest time that a client is idle in transaction; 0: none.",
        why="A hung client holds locks that others wait for.",
    ),
    _gauge(
        name="trading_postgresql_lock_waits",
        help="Sessions that wait for a lock.",
        why="Work is blocked by another transaction.",
    ),
    _gauge(
        name="trading_postgresql_longest_lock_wait_seconds",
        unit="seconds",
        help="Longest time that a session has waited for a lock; 0: none.",
        why="Long waits: a transaction holds a lock and does not finish.",
    ),
    exporter_gauge(
        name="trading_postgresql_oldest_xmin_age",
        labels=("database", "holder"),
        values={"holder": XMIN_HOLDERS},
        help="Age in transactions of the oldest xmin horizon, by what holds it.",
        why="While it grows, vacuum cannot remove dead rows and tables bloat.",
    ),
    _gauge(
        name="trading_postgresql_prepared_transactions",
        help="Prepared transactions that are not committed or rolled back.",
        why="A forgotten one holds its locks even across a restart.",
    ),
    _gauge(
        name="trading_postgresql_longest_prepared_transaction_seconds",
        unit="seconds",
        help="Age of the oldest prepared transaction; 0: none.",
        why="The client that prepared it is gone.",
    ),
    _gauge(
        name="trading_postgresql_xid_used_ratio",
        unit="ratio",
        help="Age of the oldest unfrozen transaction id, as a ratio of the wraparound limit.",
        why="Near 1 the server stops accepting writes.",
    ),
    _gauge(
        name="trading_postgresql_multixact_used_ratio",
        unit="ratio",
        help="Age of the oldest multixact id, as a ratio of the wraparound limit.",
        why="Near 1 the server stops accepting writes.",
    ),
)
