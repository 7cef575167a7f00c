"""PostgreSQL servers, where there are any: their work, and what is kept of it elsewhere."""

from grafana.boards.panels import GREEN, YELLOW, above, below, events, lines, row, steps, timeline
from grafana.boards.words import age, forecast, gain, most, rate

HIT = "sum by (database) (rate(trading_postgresql_blocks_hit_total[$__rate_interval]))"
READ = "sum by (database) (rate(trading_postgresql_blocks_read_total[$__rate_interval]))"

POSTGRESQL = row(
    "PostgreSQL: for those who have a server",
    (
        timeline(
            "Servers that answer",
            "min by (database) (trading_postgresql_up)",
            "{{database}}",
            "Whether the exporter could read each server.",
            limits=below(1),
            runbook="TradingDatabaseDown",
        ),
        lines(
            "Connections of the slots",
            "percentunit",
            most("trading_postgresql_connection_slots_used_ratio", "database"),
            "At 100 % nobody new is let in, a restarted bot among them.",
            limits=above(0.7, 0.85),
            runbook="TradingPostgresqlConnectionsHigh",
        ),
        lines(
            "What holds others up",
            "s",
            {
                **most(
                    "trading_postgresql_longest_transaction_seconds",
                    "database",
                    called="transaction",
                ),
                **most(
                    "trading_postgresql_longest_idle_in_transaction_seconds",
                    "database",
                    called="idle in one",
                ),
                **most(
                    "trading_postgresql_longest_lock_wait_seconds",
                    "database",
                    called="waits for a lock",
                ),
            },
            "The longest transaction, the longest idle one, the longest wait for a lock.",
            limits=above(60, 300),
            runbook="TradingPostgresqlTransactionStuck",
        ),
        lines(
            "Transactions",
            "ops",
            {
                **rate("trading_postgresql_commits_total", "database", called="committed"),
                **rate("trading_postgresql_rollbacks_total", "database", called="rolled back"),
            },
            "Per second. Many that are rolled back are statements that fail.",
        ),
    ),
    (
        lines(
            "Size of the database",
            "bytes",
            {
                **most("trading_postgresql_size_bytes", "database"),
                **forecast("trading_postgresql_size_bytes", "database", called="in a day"),
            },
            "And where a straight line through the last six hours ends in a day.",
            limits=above(10 * 2**30, 100 * 2**30),
            runbook="TradingHostDiskFilling",
        ),
        lines(
            "Found in the cache",
            "percentunit",
            {
                "{{database}}": f"{HIT} / ({HIT} + {READ})",
            },
            "Share of the blocks that were in the server's own cache.",
            limits=below(0.8, 0.95),
        ),
        events(
            "Deadlocks",
            "short",
            gain("trading_postgresql_deadlocks_total", "database", window="1h"),
            "In the last hour.",
            limits=above(1),
            runbook="TradingPostgresqlTransactionStuck",
        ),
        lines(
            "Age of the oldest transaction id",
            "percentunit",
            most("trading_postgresql_xid_used_ratio", "database"),
            "Of all that there can be: at 100 % the server takes no more writes.",
            limits=above(0.2, 0.5),
        ),
    ),
    (
        timeline(
            "WAL is archived",
            "max by (database) (trading_postgresql_wal_archive_enabled)",
            "{{database}}",
            "Without an archive everything since the last backup is lost with the machine.",
            states=(("0", "no", YELLOW), ("1", "yes", GREEN)),
            limits=below(1),
            runbook="TradingPostgresqlArchiveFailing",
        ),
        events(
            "WAL files archived",
            "short",
            {
                **gain("trading_postgresql_wal_archived_total", "database", called="archived"),
                **gain(
                    "trading_postgresql_wal_archive_failures_total", "database", called="failed"
                ),
            },
            "What is not archived waits on the disk and fills it.",
            runbook="TradingPostgresqlArchiveFailing",
        ),
        steps(
            "Replicas",
            "short",
            {
                **most("trading_postgresql_replicas", "database", called="connected"),
                **most(
                    "trading_postgresql_inactive_replication_slots",
                    "database",
                    called="slots that nobody reads",
                ),
            },
            "Replicas that are connected. A slot that nobody reads keeps WAL for ever.",
        ),
        timeline(
            "Standby",
            "max by (database) (trading_postgresql_in_recovery)",
            "{{database}}",
            "Whether the server is a standby. One that becomes a primary was promoted.",
            states=(("0", "primary", GREEN), ("1", "standby", YELLOW)),
        ),
    ),
    (
        lines(
            "Time to read a server",
            "s",
            most("trading_postgresql_read_duration_seconds", "database"),
            "How long the exporter's last reading took. A server that answers this slowly is slow "
            "in everything.",
            limits=above(0.5, 2),
            runbook="TradingDatabaseSlow",
        ),
        lines(
            "Server uptime",
            "s",
            {
                **age("trading_postgresql_start_timestamp_seconds", "database"),
                **age(
                    "trading_postgresql_stats_reset_timestamp_seconds",
                    "database",
                    called="statistics",
                ),
            },
            "Time since the server started, and since its statistics were reset.",
        ),
        lines(
            "Longest statement",
            "s",
            {
                **most("trading_postgresql_longest_query_seconds", "database", called="running"),
                **most(
                    "trading_postgresql_longest_prepared_transaction_seconds",
                    "database",
                    called="prepared",
                ),
            },
            "Age of the oldest running statement and of the oldest prepared transaction.",
            limits=above(60, 300),
            runbook="TradingPostgresqlTransactionStuck",
        ),
        lines(
            "What vacuum must keep",
            "short",
            {
                **most("trading_postgresql_oldest_xmin_age", "database", "holder"),
                **most(
                    "trading_postgresql_prepared_transactions",
                    "database",
                    called="prepared transactions",
                ),
            },
            "Transactions since the oldest one that vacuum must respect, by what holds it. While "
            "it grows, no dead row is removed.",
            runbook="TradingPostgresqlTransactionStuck",
        ),
    ),
    (
        lines(
            "Multixact ids in use",
            "percentunit",
            most("trading_postgresql_multixact_used_ratio", "database"),
            "Of all that there can be: near 100 % the server takes no more writes.",
            limits=above(0.2, 0.5),
        ),
        lines(
            "Temporary files",
            "Bps",
            rate("trading_postgresql_temp_bytes_total", "database"),
            "Bytes written each second by sorts and joins that do not fit into memory.",
        ),
        events(
            "Checkpoints",
            "short",
            gain("trading_postgresql_checkpoints_total", "database", "kind", window="1h"),
            "In the last hour. Many that were requested: max_wal_size is too small.",
        ),
        lines(
            "Time in checkpoints",
            "percentunit",
            rate("trading_postgresql_checkpoint_seconds_total", "database", "phase"),
            "Share of the time, by phase. Much in sync: the disk cannot keep up.",
        ),
    ),
    (
        lines(
            "WAL that replicas need",
            "bytes",
            {
                **most(
                    "trading_postgresql_replication_slot_retained_bytes",
                    "database",
                    called="kept for a slot",
                ),
                **most(
                    "trading_postgresql_replication_lag_bytes", "database", called="not replayed"
                ),
            },
            "What is kept for the slot furthest behind fills the disk; what is not replayed is "
            "lost in a failover.",
            limits=above(2**30, 10 * 2**30),
            runbook="TradingHostDiskFilling",
        ),
        lines(
            "Replication lag",
            "s",
            {
                **most("trading_postgresql_replication_lag_seconds", "database", called="replicas"),
                **most("trading_postgresql_standby_lag_seconds", "database", called="standby"),
            },
            "Of the slowest replica as the primary sees it, and as the standby itself does.",
            limits=above(10, 60),
        ),
        timeline(
            "Standby receives WAL",
            "min by (database) (trading_postgresql_standby_receiving)",
            "{{database}}",
            "A standby that receives nothing falls behind without noticing.",
            limits=below(1),
        ),
        steps(
            "Slots and conflicts",
            "short",
            {
                **most("trading_postgresql_replication_slots", "database", called="slots"),
                **gain(
                    "trading_postgresql_conflicts_total",
                    "database",
                    called="cancelled queries",
                    window="1h",
                ),
            },
            "Replication slots, and the queries that a standby cancelled in the last hour because "
            "they were in the way of recovery.",
        ),
    ),
    (
        lines(
            "Size of the tables",
            "bytes",
            most("trading_postgresql_table_size_bytes", "database", "table"),
            "Without their indexes, at the last vacuum or analyze.",
        ),
        lines(
            "Rows of the tables",
            "short",
            {
                **most("trading_postgresql_table_live_rows", "database", "table", called="live"),
                **most("trading_postgresql_table_dead_rows", "database", "table", called="dead"),
            },
            "As the server estimates them.",
        ),
        lines(
            "Dead rows",
            "percentunit",
            most("trading_postgresql_table_dead_ratio", "database", "table"),
            "Share of all rows of a table. Much of it: vacuum does not keep up.",
            limits=above(0.2, 0.5),
        ),
        lines(
            "Since the last vacuum",
            "s",
            {
                **age(
                    "trading_postgresql_table_last_vacuum_timestamp_seconds",
                    "database",
                    "table",
                    called="vacuum",
                ),
                **age(
                    "trading_postgresql_table_last_analyze_timestamp_seconds",
                    "database",
                    "table",
                    called="analyze",
                ),
            },
            "A table that changes and is never vacuumed bloats; without analyze plans get bad.",
        ),
    ),
    (
        lines(
            "Size of the indexes",
            "bytes",
            {
                **most("trading_postgresql_index_size_bytes", "database", "index"),
                **most("trading_postgresql_unused_index_bytes", "database", called="unused"),
            },
            "Of each index, and of all those that no query has used.",
        ),
        lines(
            "Index scans",
            "ops",
            rate("trading_postgresql_index_scans_total", "database", "index"),
            "Per second. None for long: the index only costs.",
        ),
        lines(
            "Index bloat",
            "short",
            {
                **most(
                    "trading_postgresql_index_growth_ratio", "database", "index", called="growth"
                ),
                **most("trading_postgresql_index_bloat_ratio", "database", "index", called="bloat"),
            },
            "From 2 on half of the index is waste: rebuild it.",
            limits=above(1.5, 2),
        ),
        steps(
            "Invalid and unused indexes",
            "short",
            {
                **most("trading_postgresql_invalid_indexes", "database", called="invalid"),
                **most("trading_postgresql_index_invalid == 1", "database", "index"),
                **most("trading_postgresql_unused_indexes", "database", called="unused"),
            },
            "What a failed build left behind, by name too, and what no query has used.",
        ),
    ),
    collapsed=True,
)
