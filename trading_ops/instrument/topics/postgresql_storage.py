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
