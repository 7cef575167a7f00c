"""Databases as the exporter sees them: PostgreSQL servers and SQLite files.

The label `database` is the name in the exporter's configuration. What belongs to a whole server is
told under each name that leads to it.
"""

from functools import partial

from trading_ops.instrument.entries.kinds import exporter_counter, exporter_gauge
from trading_ops.instrument.metric import Metric

CONNECTION_STATES = (
    "active",
    "idle",
    "idle_in_transaction",
    "idle_in_transaction_aborted",
    "other",
)
XMIN_HOLDERS = ("session", "prepared", "slot")
CHECKPOINT_KINDS = ("timed", "requested")
CHECKPOINT_PHASES = ("write", "sync")
SQLITE_FAILURES = (
    "missing",
    "not_a_file",
    "permission",
    "corrupt",
    "locked",
    "needs_recovery",
    "too_slow",
    "changed",
    "input_output",
    "error",
)

_gauge = partial(exporter_gauge, labels=("database",))
_counter = partial(exporter_counter, labels=("database",))
_of_table = partial(exporter_gauge, labels=("database", "table"))
_of_index = partial(exporter_gauge, labels=("database", "index"))

_SERVER: tuple[Metric, ...] = (
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
        name="trading_postgresql_reading_absent",
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

_COUNTED: tuple[Metric, ...] = (
    _counter(
        name="trading_postgresql_commits_total",
        help="Transactions of the database that were committed.",
        why="None: nobody writes.",
    ),
    _counter(
        name="trading_postgresql_rollbacks_total",
        help="Transactions of the database that were rolled back.",
        why="A rising share: statements fail.",
    ),
    _counter(
        name="trading_postgresql_blocks_read_total",
        help="Blocks that were not in the server's own cache.",
        why="With the hits it tells how well the cache serves.",
    ),
    _counter(
        name="trading_postgresql_blocks_hit_total",
        help="Blocks that were found in the server's own cache.",
        why="A falling share of all: the data outgrew the memory, or an index is missing.",
    ),
    _counter(
        name="trading_postgresql_temp_bytes_total",
        unit="bytes",
        help="Bytes written to temporary files by the database's queries.",
        why="A sort or a join does not fit into its memory.",
    ),
    _counter(
        name="trading_postgresql_deadlocks_total",
        help="Deadlocks that were found in the database.",
        why="Each one lost somebody's transaction.",
    ),
    _counter(
        name="trading_postgresql_conflicts_total",
        help="Queries that a standby cancelled because they were in the way of recovery.",
        why="Reports from a standby fail.",
    ),
    _counter(
        name="trading_postgresql_checksum_failures_total",
        help="Pages of the database whose checksum was wrong; absent without checksums.",
        why="The disk gives back other bytes than it was given.",
    ),
    _gauge(
        name="trading_postgresql_stats_reset_timestamp_seconds",
        unit="seconds",
        help="Time since which the database's statistics count, since the epoch; 0 for ever.",
        why="An index is unused since then, and no longer.",
    ),
    _gauge(
        name="trading_postgresql_wal_archive_enabled",
        help="1 when the server archives its WAL, else 0.",
        why="Without it a restore ends at the last backup.",
    ),
    _counter(
        name="trading_postgresql_wal_archived_total",
        help="WAL files that were archived.",
        why="None for long: a quiet server, or an archiver that hangs.",
    ),
    _counter(
        name="trading_postgresql_wal_archive_failures_total",
        help="Attempts to archive a WAL file that failed.",
        why="WAL stays until the disk is full, and a restore lacks what was not archived.",
    ),
    _gauge(
        name="trading_postgresql_wal_archive_last_success_timestamp_seconds",
        unit="seconds",
        help="Time at which a WAL file was last archived, since the epoch; 0 for never.",
        why="What came later is lost with the machine.",
    ),
    _gauge(
        name="trading_postgresql_wal_archive_last_failure_timestamp_seconds",
        unit="seconds",
        help="Time at which archiving last failed, since the epoch; 0 for never.",
        why="Later than the last success: it fails now.",
    ),
    exporter_counter(
        name="trading_postgresql_checkpoints_total",
        labels=("database", "kind"),
        values={"kind": CHECKPOINT_KINDS},
        help="Checkpoints, by whether their time had come or somebody asked for them.",
        why="Many that were asked for: max_wal_size is too small for what is written.",
    ),
    exporter_counter(
        name="trading_postgresql_checkpoint_seconds_total",
        unit="seconds",
        labels=("database", "phase"),
        values={"phase": CHECKPOINT_PHASES},
        help="Time spent in checkpoints, by phase.",
        why="Much in sync: the disk cannot keep up.",
    ),
    _gauge(
        name="trading_postgresql_replication_slots",
        help="Replication slots of the server.",
        why="Each one keeps WAL for its reader.",
    ),
    _gauge(
        name="trading_postgresql_inactive_replication_slots",
        help="Replication slots that nobody reads from.",
        why="WAL is kept for somebody who may never come back.",
    ),
    _gauge(
        name="trading_postgresql_replication_slot_retained_bytes",
        unit="bytes",
        help="WAL that is kept for the slot that is furthest behind.",
        why="It fills the disk.",
    ),
    _gauge(
        name="trading_postgresql_replicas",
        help="Replicas that are connected.",
        why="Fewer than there should be: a failover would lose data, or find nobody.",
    ),
    _gauge(
        name="trading_postgresql_replication_lag_bytes",
        unit="bytes",
        help="WAL that the replica furthest behind has not replayed; absent without replicas.",
        why="What a failover would have to catch up with, or lose.",
    ),
    _gauge(
        name="trading_postgresql_replication_lag_seconds",
        unit="seconds",
        help="Time by which the slowest replica is late; absent without replicas.",
        why="Reads from the replica are that old.",
    ),
    _gauge(
        name="trading_postgresql_standby_receiving",
        help="1 when this standby receives WAL, else 0; absent on a primary.",
        why="A standby that receives nothing falls behind without noticing.",
    ),
    _gauge(
        name="trading_postgresql_standby_lag_seconds",
        unit="seconds",
        help="Age of the last transaction that this standby replayed; 0 when it has all.",
        why="What a failover to it would lose.",
    ),
)

_STORED: tuple[Metric, ...] = (
    _gauge(
        name="trading_postgresql_size_bytes",
        unit="bytes",
        help="Size of the database on disk.",
        why="It grows until the disk is full.",
    ),
    _of_table(
        name="trading_postgresql_table_size_bytes",
        unit="bytes",
        help="Size of a table without its indexes, at the last vacuum or analyze.",
        why="Shows which one grows.",
    ),
    _of_table(
        name="trading_postgresql_table_live_rows",
        help="Rows of a table, as the server estimates.",
        why="The base for the dead ones.",
    ),
    _of_table(
        name="trading_postgresql_table_dead_rows",
        help="Dead rows of a table that vacuum has not removed, as the server estimates.",
        why="Every reading of the table passes over them.",
    ),
    _of_table(
        name="trading_postgresql_table_dead_ratio",
        unit="ratio",
        help="Dead rows as a share of all rows of a table.",
        why="Vacuum does not keep up, or something holds it back.",
    ),
    _of_table(
        name="trading_postgresql_table_last_vacuum_timestamp_seconds",
        unit="seconds",
        help="Time at which a table was last vacuumed, since the epoch; 0 for never.",
        why="A table that changes and is never vacuumed bloats.",
    ),
    _of_table(
        name="trading_postgresql_table_last_analyze_timestamp_seconds",
        unit="seconds",
        help="Time at which a table was last analyzed, since the epoch; 0 for never.",
        why="With old statistics the server chooses bad plans.",
    ),
    _gauge(
        name="trading_postgresql_invalid_indexes",
        help="Indexes that a failed build has left behind.",
        why="They cost every write and serve no query; a unique one does not protect.",
    ),
    _of_index(
        name="trading_postgresql_index_invalid",
        help="1 for each index that a failed build has left behind.",
        why="Which one to rebuild or drop.",
    ),
    _gauge(
        name="trading_postgresql_unused_indexes",
        help="Indexes from 1 MiB, unique ones aside, unused since the statistics were reset.",
        why="They cost every write.",
    ),
    _gauge(
        name="trading_postgresql_unused_index_bytes",
        unit="bytes",
        help="Size of the indexes that no query has used.",
        why="What dropping them would give back.",
    ),
    _of_index(
        name="trading_postgresql_index_size_bytes",
        unit="bytes",
        help="Size of an index at the last vacuum or analyze.",
        why="Shows which one grows.",
    ),
    exporter_counter(
        name="trading_postgresql_index_scans_total",
        labels=("database", "index"),
        help="Scans of an index that queries began.",
        why="None for long: the index only costs.",
    ),
    _of_index(
        name="trading_postgresql_index_growth_ratio",
        unit="ratio",
        help="Bytes for each row, against the fewest since the exporter started or a rebuild.",
        why="From 2 on half of the index is waste: rebuild it.",
    ),
    _of_index(
        name="trading_postgresql_index_bloat_ratio",
        unit="ratio",
        help="Size of a B-tree against the size estimated for its rows and the width of its keys.",
        why="From 2 on half of the index is waste: rebuild it.",
    ),
)

POSTGRESQL: tuple[Metric, ...] = (*_SERVER, *_COUNTED, *_STORED)

SQLITE: tuple[Metric, ...] = (
    _gauge(
        name="trading_sqlite_up",
        help="1 when the file could be opened and its schema read, else 0.",
        why="What the bot wants to remember is lost.",
    ),
    exporter_gauge(
        name="trading_sqlite_failure",
        labels=("database", "reason"),
        values={"reason": SQLITE_FAILURES},
        help="1 for the reason for which the file cannot be read; absent when it can.",
        why="Whether to restore, to wait or to mend a permission depends on it.",
    ),
    exporter_gauge(
        name="trading_sqlite_info",
        labels=("database", "journal_mode"),
        help="1, with the journal mode as label.",
        why="Without WAL every reader stops the writer.",
    ),
    _gauge(
        name="trading_sqlite_read_duration_seconds",
        unit="seconds",
        help="Time that the last reading took.",
        why="A slow disk is slow for the bot as well.",
    ),
    _gauge(
        name="trading_sqlite_size_bytes",
        unit="bytes",
        help="Size of the file.",
        why="It grows until the disk is full.",
    ),
    _gauge(
        name="trading_sqlite_wal_bytes",
        unit="bytes",
        help="Size of the write-ahead log; 0 for none.",
        why="Far above its usual size: a reader that never ends keeps it from beginning anew.",
    ),
    _gauge(
        name="trading_sqlite_modified_timestamp_seconds",
        unit="seconds",
        help="Time at which the file or its write-ahead log was last written, since the epoch.",
        why="A bot that trades writes.",
    ),
    _gauge(
        name="trading_sqlite_pages",
        help="Pages of the database.",
        why="The base for the free ones.",
    ),
    _gauge(
        name="trading_sqlite_free_ratio",
        unit="ratio",
        help="Share of the pages that are free.",
        why="A file that is mostly free can be vacuumed.",
    ),
    _gauge(
        name="trading_sqlite_tables",
        help="Tables in the schema.",
        why="None: somebody replaced the database by an empty one.",
    ),
    _gauge(
        name="trading_sqlite_locked",
        help="1 when the lock for writing was held without a gap during the last probe, else 0.",
        why="Nobody else can write; a client has left a transaction open.",
    ),
    _gauge(
        name="trading_sqlite_check_ok",
        help="1 when the last quick_check found nothing, 0 when it found damage.",
        why="A damaged database is restored, not used.",
    ),
    _gauge(
        name="trading_sqlite_check_timestamp_seconds",
        unit="seconds",
        help="Time at which a quick_check last came to its end, since the epoch; 0 for never.",
        why="Damage since then is not known.",
    ),
    _gauge(
        name="trading_sqlite_check_duration_seconds",
        unit="seconds",
        help="Time that the last quick_check took.",
        why="As it nears its limit, checks will be broken off.",
    ),
)

DATABASES: tuple[Metric, ...] = (*POSTGRESQL, *SQLITE)
