"""PostgreSQL servers: load, maintenance, archiving and replication."""

from grafana.boards.panels import GREEN, YELLOW, above, below, events, lines, row, steps, timeline
from grafana.boards.words import age, forecast, gain, most, rate

HIT = "sum by (database) (rate(trading_postgresql_blocks_hit_total[$__rate_interval]))"
READ = "sum by (database) (rate(trading_postgresql_blocks_read_total[$__rate_interval]))"

POSTGRESQL = row(
    "PostgreSQL",
    (
        timeline(
            "Servers up",
            "min by (database) (trading_postgresql_up)",
            "{{database}}",
            "Whether the exporter could read each server.",
            limits=below(1),
            runbook="TradingDatabaseDown",
        ),
        lines(
            "Connections used",
            "percentunit",
            most("trading_postgresql_connection_slots_used_ratio", "database"),
            "At 100 % new connections are refused, including those of a restarted bot.",
            limits=above(0.7, 0.85),
            runbook="TradingPostgresqlConnectionsHigh",
        ),
        lines(
            "Longest transactions and waits",
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
                    called="idle in transaction",
                ),
                **most(
                    "trading_postgresql_longest_lock_wait_seconds",
                    "database",
                    called="waiting for a lock",
                ),
            },
            "The longest transaction, idle in transaction and lock wait.",
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
            "Per second. Many rollbacks mean failing statements.",
        ),
    ),
    (
        lines(
            "Database size",
            "bytes",
            {
                **most("trading_postgresql_size_bytes", "database"),
                **forecast("trading_postgresql_size_bytes", "database", called="in a day"),
            },
            "With a linear forecast for 24 h from the last 6 h.",
            limits=above(10 * 2**30, 100 * 2**30),
            runbook="TradingHostDiskFilling",
        ),
        lines(
            "Cache hit ratio",
            "percentunit",
            {
                "{{database}}": f"{HIT} / ({HIT} + {READ})",
            },
            "Ratio of blocks found in shared buffers.",
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
            "Ratio of the wraparound limit: at 100 % the server rejects writes.",
            limits=above(0.2, 0.5),
        ),
    ),
    (
        timeline(
            "WAL archiving",
            "max by (database) (trading_postgresql_wal_archive_enabled)",
            "{{database}}",
            "Without an archive, all changes since the last backup are lost with the machine.",
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
            "Unarchived WAL accumulates on the disk.",
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
                    called="inactive slots",
                ),
            },
            "Connected replicas. An inactive slot retains WAL indefinitely.",
        ),
        timeline(
            "Standby",
            "max by (database) (trading_postgresql_in_recovery)",
            "{{database}}",
            "Whether the server is a standby. A change to primary is a promotion.",
            states=(("0", "primary", GREEN), ("1", "standby", YELLOW)),
        ),
    ),
    (
        lines(
            "Server read duration",
            "s",
            most("trading_postgresql_read_duration_seconds", "database"),
            "Duration of the exporter's last read. A server that is slow here is slow everywhere.",
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
            "Time since the server start, and since the last statistics reset.",
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
            "Oldest xmin horizon",
            "short",
            {
                **most("trading_postgresql_oldest_xmin_age", "database", "holder"),
                **most(
                    "trading_postgresql_prepared_transactions",
                    "database",
                    called="prepared transactions",
                ),
            },
            "Age in transactions, by what holds it. While it grows, vacuum cannot remove dead "
            "rows.",
            runbook="TradingPostgresqlTransactionStuck",
        ),
    ),
    (
        lines(
            "Multixact ids in use",
            "percentunit",
            most("trading_postgresql_multixact_used_ratio", "database"),
            "Ratio of the wraparound limit: near 100 % the server rejects writes.",
            limits=above(0.2, 0.5),
        ),
        lines(
            "Temporary files",
            "Bps",
            rate("trading_postgresql_temp_bytes_total", "database"),
            "Bytes per second written by sorts and joins that exceed work_mem.",
        ),
        events(
            "Checkpoints",
            "short",
            gain("trading_postgresql_checkpoints_total", "database", "kind", window="1h"),
            "In the last hour. Many requested ones: max_wal_size is too small.",
        ),
        lines(
            "Checkpoint time",
            "percentunit",
            rate("trading_postgresql_checkpoint_seconds_total", "database", "phase"),
            "Ratio of the time, by phase. Long sync: the disk cannot keep up.",
        ),
    ),
    (
        lines(
            "WAL retained for replicas",
            "bytes",
            {
                **most(
                    "trading_postgresql_replication_slot_retained_bytes",
                    "database",
                    called="retained for a slot",
                ),
                **most(
                    "trading_postgresql_replication_lag_bytes", "database", called="not replayed"
                ),
            },
            "WAL retained for the slot with the largest lag fills the disk; unreplayed WAL is lost "
            "in a failover.",
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
            "Of the slowest replica as measured by the primary, and by the standby itself.",
            limits=above(10, 60),
        ),
        timeline(
            "Standby receives WAL",
            "min by (database) (trading_postgresql_standby_receiving)",
            "{{database}}",
            "A standby that receives no WAL falls behind unnoticed.",
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
            "Replication slots, and queries cancelled on a standby in the last hour due to "
            "recovery conflicts.",
        ),
    ),
    (
        lines(
            "Table size",
            "bytes",
            most("trading_postgresql_table_size_bytes", "database", "table"),
            "Without their indexes, at the last vacuum or analyze.",
        ),
        lines(
            "Table rows",
            "short",
            {
                **most("trading_postgresql_table_live_rows", "database", "table", called="live"),
                **most("trading_postgresql_table_dead_rows", "database", "table", called="dead"),
            },
            "As estimated by the server.",
        ),
        lines(
            "Dead rows",
            "percentunit",
            most("trading_postgresql_table_dead_ratio", "database", "table"),
            "Ratio of all rows of a table. High: vacuum does not keep up.",
            limits=above(0.2, 0.5),
        ),
        lines(
            "Time since the last vacuum",
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
            "A table that is updated but never vacuumed bloats; without analyze, query plans "
            "degrade.",
        ),
    ),
    (
        lines(
            "Index size",
            "bytes",
            {
                **most("trading_postgresql_index_size_bytes", "database", "index"),
                **most("trading_postgresql_unused_index_bytes", "database", called="unused"),
            },
            "Of each index, and of all unused indexes.",
        ),
        lines(
            "Index scans",
            "ops",
            rate("trading_postgresql_index_scans_total", "database", "index"),
            "Per second. None for long: the index is unused.",
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
            "At 2, 50 % of the index is bloat: rebuild it.",
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
            "Invalid indexes of failed builds, also by name, and unused indexes.",
        ),
    ),
    collapsed=True,
)
