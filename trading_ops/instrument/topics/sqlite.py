"""SQLite files, read by the exporter."""

from functools import partial

from trading_ops.instrument.metric import Metric, exporter_gauge

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

SQLITE: tuple[Metric, ...] = (
    _gauge(
        name="trading_sqlite_up",
        help="1 if the file could be opened and its schema read, else 0.",
        why="While 0, the bot cannot persist data.",
    ),
    exporter_gauge(
        name="trading_sqlite_failure",
        labels=("database", "reason"),
        values={"reason": SQLITE_FAILURES},
        help="1 for the reason why the file cannot be read; absent if it can.",
        why="Determines whether to restore, wait or fix a permission.",
    ),
    exporter_gauge(
        name="trading_sqlite_info",
        labels=("database", "journal_mode"),
        help="Always 1; the journal mode as a label.",
        why="Without WAL, readers block the writer.",
    ),
    _gauge(
        name="trading_sqlite_read_duration_seconds",
        unit="seconds",
        help="Duration of the last read.",
        why="A slow disk also slows down the bot.",
    ),
    _gauge(
        name="trading_sqlite_size_bytes",
        unit="bytes",
        help="Size of the file.",
        why="Unbounded growth fills the disk.",
    ),
    _gauge(
        name="trading_sqlite_wal_bytes",
        unit="bytes",
        help="Size of the write-ahead log; 0: none.",
        why="Far above its usual size: a long-running reader blocks the checkpoint.",
    ),
    _gauge(
        name="trading_sqlite_modified_timestamp_seconds",
        unit="seconds",
        help="Last modification time of the file or its write-ahead log, Unix time.",
        why="A trading bot writes regularly.",
    ),
    _gauge(
        name="trading_sqlite_pages",
        help="Pages of the database.",
        why="The base for the ratio of free pages.",
    ),
    _gauge(
        name="trading_sqlite_free_ratio",
        unit="ratio",
        help="Ratio of free pages.",
        why="A mostly free file can be shrunk with VACUUM.",
    ),
    _gauge(
        name="trading_sqlite_tables",
        help="Tables in the schema.",
        why="0: the database was replaced by an empty file.",
    ),
    _gauge(
        name="trading_sqlite_locked",
        help="1 if the write lock was held throughout the last probe, else 0.",
        why="No one else can write; a client left a transaction open.",
    ),
    _gauge(
        name="trading_sqlite_check_ok",
        help="1 if the last quick_check passed, 0 if it found corruption.",
        why="Restore a corrupt database from a backup.",
    ),
    _gauge(
        name="trading_sqlite_check_timestamp_seconds",
        unit="seconds",
        help="End of the last complete quick_check, Unix time; 0: never.",
        why="Later corruption is not detected yet.",
    ),
    _gauge(
        name="trading_sqlite_check_duration_seconds",
        unit="seconds",
        help="Duration of the last quick_check.",
        why="Near its time limit, checks will be aborted.",
    ),
)
