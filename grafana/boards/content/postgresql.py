"""PostgreSQL servers, where there are any: their work, and what is kept of it elsewhere."""

from grafana.boards.panels import GREEN, YELLOW, above, below, events, lines, row, steps, timeline
from grafana.boards.words import forecast, gain, most, rate

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
    collapsed=True,
)
