"""Databases: files and servers as seen by the exporter, statements by the bots."""

from grafana.boards import links
from grafana.boards.board import Board
from grafana.boards.content.backups import BACKUPS
from grafana.boards.content.postgresql import POSTGRESQL
from grafana.boards.panels import (
    GREEN,
    NONE,
    RED,
    above,
    below,
    events,
    lines,
    row,
    stat,
    steps,
    timeline,
)
from grafana.boards.words import age, forecast, gain, most, quantiles, rate

NO_FILES = "sum(trading_postgresql_up) * 0"
"""0 if there are only servers."""

WORST = "min(trading_sqlite_up or trading_postgresql_up)"

HEAD = row(
    "",
    (
        stat(
            "Databases",
            "short",
            WORST,
            "Whether the exporter could read every file and server.",
            limits=below(1),
            states=(("0", "one is down", RED), ("1", "all", GREEN)),
            runbook="TradingDatabaseDown",
        ),
        stat(
            "Locked",
            "short",
            f"sum(trading_sqlite_locked) or {NO_FILES}",
            "Files whose write lock was held throughout the last probe.",
            limits=above(1),
            decimals=0,
            runbook="TradingDatabaseLocked",
        ),
        stat(
            "Corrupt",
            "short",
            f"sum(trading_sqlite_check_ok == bool 0) or {NO_FILES}",
            "Files in which the last check found corruption. Stop the writers, keep a copy, "
            "restore.",
            limits=above(1),
            decimals=0,
            runbook="TradingDatabaseCorrupt",
        ),
        stat(
            "Oldest check",
            "s",
            "time() - min(trading_sqlite_check_timestamp_seconds > 0)",
            "Age of the oldest last check of all files. Backups of a corrupt file are useless.",
            limits=above(86400, 7 * 86400),
            runbook="TradingDatabaseCorrupt",
        ),
        stat(
            "Failed",
            "short",
            "round(sum(increase(trading_database_errors_total[1h])))",
            "Failed statements of all bots in the last hour.",
            limits=above(1, 4),
            decimals=0,
            runbook="TradingDatabaseErrors",
        ),
        stat(
            "Query time",
            "s",
            "histogram_quantile(0.95, sum by (le) "
            "(bot:trading_database_query_duration_seconds_bucket:rate5m))",
            "Duration of the bots' statements, p95 over 5 min.",
            limits=above(0.1, 0.5),
            runbook="TradingDatabaseSlow",
            absent=NONE,
        ),
    ),
)

FILES = row(
    "Files",
    (
        timeline(
            "Readable files",
            "min by (database) (trading_sqlite_up)",
            "{{database}}",
            "Whether each file could be opened and its schema read.",
            limits=below(1),
            runbook="TradingDatabaseDown",
        ),
        timeline(
            "Locked files",
            "max by (database) (trading_sqlite_locked)",
            "{{database}}",
            "A client left a transaction open or writes continuously.",
            states=(("0", "free", GREEN), ("1", "locked", RED)),
            limits=above(1),
            runbook="TradingDatabaseLocked",
        ),
        lines(
            "Read duration",
            "s",
            most("trading_sqlite_read_duration_seconds", "database"),
            "Duration of the exporter's last read. Grows when the disk is slow.",
            limits=above(0.5, 2),
            runbook="TradingDatabaseSlow",
        ),
        lines(
            "Time since the last write",
            "s",
            age("trading_sqlite_modified_timestamp_seconds", "database"),
            "A trading bot that writes nothing needs investigation.",
            limits=above(600, 3600),
        ),
    ),
    (
        lines(
            "Size",
            "bytes",
            {
                **most("trading_sqlite_size_bytes", "database"),
                **forecast("trading_sqlite_size_bytes", "database", called="in a day"),
            },
            "Of each file, with a linear forecast for 24 h from the last 6 h.",
            limits=above(2**30, 10 * 2**30),
            runbook="TradingHostDiskFilling",
        ),
        lines(
            "Write-ahead log",
            "bytes",
            most("trading_sqlite_wal_bytes", "database"),
            "Checkpoints empty it; a long-running reader makes it grow.",
            limits=above(64 * 2**20, 512 * 2**20),
            runbook="TradingDatabaseLocked",
        ),
        lines(
            "Free pages",
            "percentunit",
            most("trading_sqlite_free_ratio", "database"),
            "Ratio of free pages, which VACUUM would release.",
            limits=above(0.5, 0.8),
        ),
        lines(
            "Age of the last check",
            "s",
            age("trading_sqlite_check_timestamp_seconds > 0", "database"),
            "Time since the last complete quick_check.",
            limits=above(86400, 7 * 86400),
            runbook="TradingDatabaseCorrupt",
        ),
    ),
)

STATEMENTS = row(
    "The bots' statements",
    (
        lines(
            "Statement duration",
            "s",
            quantiles("trading_database_query_duration_seconds", "statement"),
            "By statement name, as set by the bot.",
            limits=above(0.1, 0.5),
            runbook="TradingDatabaseSlow",
        ),
        lines(
            "Statements",
            "ops",
            rate("trading_database_query_duration_seconds_count", "bot", "statement"),
            "Per second.",
        ),
        events(
            "Errors",
            "short",
            gain("trading_database_errors_total", "bot", "kind"),
            "By kind of error. A bot submits no order that it could not record.",
            limits=above(1, 4),
            runbook="TradingDatabaseErrors",
        ),
        steps(
            "Connections of the bots",
            "short",
            {
                **most(
                    'trading_database_pool_connections{state="in_use"}',
                    "bot",
                    "pool",
                    called="in use",
                ),
                **most(
                    'trading_database_pool_connections{state="idle"}', "bot", "pool", called="idle"
                ),
            },
            "By pool. Exhausted: none idle for a minute and the maximum in use.",
            runbook="TradingDatabasePoolExhausted",
        ),
    ),
)

DATABASES = Board(
    uid=links.DATABASES,
    title="8 Databases",
    question="Can every database be read and written, is it intact and backed up, how fast is it, "
    "and does it fit on its disk?",
    rows=(HEAD, BACKUPS, FILES, STATEMENTS, POSTGRESQL),
    window="now-3h",
    refresh="15s",
)
