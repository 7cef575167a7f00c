"""Databases: files and servers as the exporter sees them, statements as bots do."""

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
"""A zero where there are only servers."""

WORST = "min(trading_sqlite_up or trading_postgresql_up)"

HEAD = row(
    "",
    (
        stat(
            "Databases",
            "short",
            WORST,
            "Whether every file and every server could be read.",
            limits=below(1),
            states=(("0", "one is down", RED), ("1", "all", GREEN)),
            runbook="TradingDatabaseDown",
        ),
        stat(
            "Locked",
            "short",
            f"sum(trading_sqlite_locked) or {NO_FILES}",
            "Files whose lock was held without a gap during the last probe.",
            limits=above(1),
            decimals=0,
            runbook="TradingDatabaseLocked",
        ),
        stat(
            "Corrupt",
            "short",
            f"sum(trading_sqlite_check_ok == bool 0) or {NO_FILES}",
            "Files in which the last check found corruption. Stop what writes them, keep a copy, "
            "restore.",
            limits=above(1),
            decimals=0,
            runbook="TradingDatabaseCorrupt",
        ),
        stat(
            "Oldest check",
            "s",
            "time() - min(trading_sqlite_check_timestamp_seconds > 0)",
            "Time since the last check of the file that was checked least recently. A backup of a "
            "corrupt file is useless.",
            limits=above(86400, 7 * 86400),
            runbook="TradingDatabaseCorrupt",
        ),
        stat(
            "Failed",
            "short",
            "round(sum(increase(trading_database_errors_total[1h])))",
            "Statements of all bots that failed in the last hour.",
            limits=above(1, 4),
            decimals=0,
            runbook="TradingDatabaseErrors",
        ),
        stat(
            "Query time",
            "s",
            "histogram_quantile(0.95, sum by (le) "
            "(bot:trading_database_query_duration_seconds_bucket:rate5m))",
            "Duration of the bots' statements, p95 over five minutes.",
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
            "Files that can be read",
            "min by (database) (trading_sqlite_up)",
            "{{database}}",
            "Whether each file could be opened and its schema read.",
            limits=below(1),
            runbook="TradingDatabaseDown",
        ),
        timeline(
            "Files that are locked",
            "max by (database) (trading_sqlite_locked)",
            "{{database}}",
            "A client has left a transaction open, or writes without a gap.",
            states=(("0", "free", GREEN), ("1", "locked", RED)),
            limits=above(1),
            runbook="TradingDatabaseLocked",
        ),
        lines(
            "Time of a reading",
            "s",
            most("trading_sqlite_read_duration_seconds", "database"),
            "How long the exporter took. It grows with the disk's troubles.",
            limits=above(0.5, 2),
            runbook="TradingDatabaseSlow",
        ),
        lines(
            "Since the last write",
            "s",
            age("trading_sqlite_modified_timestamp_seconds", "database"),
            "A bot that trades and writes nothing is worth a look.",
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
            "Of each file, and where a straight line through the last six hours ends in a day.",
            limits=above(2**30, 10 * 2**30),
            runbook="TradingHostDiskFilling",
        ),
        lines(
            "Write-ahead log",
            "bytes",
            most("trading_sqlite_wal_bytes", "database"),
            "It is emptied by checkpoints; a reader that never ends keeps it growing.",
            limits=above(64 * 2**20, 512 * 2**20),
            runbook="TradingDatabaseLocked",
        ),
        lines(
            "Free pages",
            "percentunit",
            most("trading_sqlite_free_ratio", "database"),
            "Share of the file that holds nothing: what a vacuum would give back.",
            limits=above(0.5, 0.8),
        ),
        lines(
            "Age of the last check",
            "s",
            age("trading_sqlite_check_timestamp_seconds > 0", "database"),
            "Time since a quick_check came to its end.",
            limits=above(86400, 7 * 86400),
            runbook="TradingDatabaseCorrupt",
        ),
    ),
)

STATEMENTS = row(
    "The bots' statements",
    (
        lines(
            "Time of a statement",
            "s",
            quantiles("trading_database_query_duration_seconds", "statement"),
            "By the name that the bot gives it.",
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
            "By what was wrong. A bot submits nothing that it could not record.",
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
            "Of each pool. None idle for a minute, and as many in use as it may have: exhausted.",
            runbook="TradingDatabasePoolExhausted",
        ),
    ),
)

DATABASES = Board(
    uid=links.DATABASES,
    title="8 Databases",
    question="Can every database be read and written, is it intact and backed up, how fast is "
    "it, and does it fit on its disk?",
    rows=(HEAD, BACKUPS, FILES, STATEMENTS, POSTGRESQL),
    window="now-3h",
    refresh="15s",
)
