"""SQLite files, as the exporter sees them."""

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
