"""PostgreSQL: tables and indexes of a database."""

from functools import partial

from trading_ops.instrument.metric import Metric, exporter_counter, exporter_gauge

_gauge = partial(exporter_gauge, labels=("database",))
_of_table = partial(exporter_gauge, labels=("database", "table"))
_of_index = partial(exporter_gauge, labels=("database", "index"))

POSTGRESQL_STORAGE: tuple[Metric, ...] = (
    _gauge(
        name="trading_postgresql_size_bytes",
        unit="bytes",
        help="Size of the database on disk.",
        why="Unbounded growth fills the disk.",
    ),
    _of_table(
        name="trading_postgresql_table_size_bytes",
        unit="bytes",
        help="Size of a table without its indexes, at the last vacuum or analyze.",
        why="Shows which one grows.",
    ),
    _of_table(
        name="trading_postgresql_table_live_rows",
        help="Live rows of a table, estimated by the server.",
        why="The base for the ratio of dead rows.",
    ),
    _of_table(
        name="trading_postgresql_table_dead_rows",
        help="Dead rows of a table, estimated by the server.",
        why="Every scan of the table reads them.",
    ),
    _of_table(
        name="trading_postgresql_table_dead_ratio",
        unit="ratio",
        help="Dead rows as a ratio of all rows of a table.",
        why="Vacuum cannot keep up or is blocked.",
    ),
    _of_table(
        name="trading_postgresql_table_last_vacuum_timestamp_seconds",
        unit="seconds",
        help="Time at which a table was last vacuumed, Unix time; 0: never.",
        why="A table that is updated but never vacuumed bloats.",
    ),
    _of_table(
        name="trading_postgresql_table_last_analyze_timestamp_seconds",
        unit="seconds",
        help="Time at which a table was last analyzed, Unix time; 0: never.",
        why="Stale statistics lead to bad query plans.",
    ),
    _gauge(
        name="trading_postgresql_invalid_indexes",
        help="Invalid indexes, left behind by a failed build.",
        why="They slow down writes, serve no query and do not enforce uniqueness.",
    ),
    _of_index(
        name="trading_postgresql_index_invalid",
        help="1 for each invalid index, left behind by a failed build.",
        why="Identifies the index to rebuild or drop.",
    ),
    _gauge(
        name="trading_postgresql_unused_indexes",
        help="Non-unique indexes of at least 1 MiB, unused since the statistics were reset.",
        why="They slow down every write.",
    ),
    _gauge(
        name="trading_postgresql_unused_index_bytes",
        unit="bytes",
        help="Size of unused indexes.",
        why="The space that dropping them would free.",
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
        help="Index scans started by queries.",
        why="None for long: the index is unused.",
    ),
    _of_index(
        name="trading_postgresql_index_growth_ratio",
        unit="ratio",
        help="Bytes per row relative to the minimum since the exporter started or a rebuild.",
        why="At 2, 50 % of the index is bloat: rebuild it.",
    ),
    _of_index(
        name="trading_postgresql_index_bloat_ratio",
        unit="ratio",
        help="Size of a B-tree relative to the size estimated from its rows and key width.",
        why="At 2, 50 % of the index is bloat: rebuild it.",
    ),
)
