"""Tables and indexes: dead rows, invalid indexes, and bloat.

Sizes of tables and indexes are from the last VACUUM or ANALYZE: the functions that measure the
current size lock each one, and would wait behind an ALTER TABLE.
"""

from collections.abc import Sequence

from trading_ops.exporter.config import PostgresqlEntry
from trading_ops.exporter.databases.postgresql.bloat import Growth, with_ratios
from trading_ops.exporter.databases.postgresql.reading import MetricQuery

SMALLEST_BYTES = 1024 * 1024
"""Smaller indexes are not exported: their size does not indicate bloat."""

NAMED_INVALID = 20

SIZE = "SELECT pg_database_size(current_database()) AS size_bytes"

TABLES = """
SELECT s.schemaname || '.' || s.relname AS label_table,
       (c.relpages + coalesce(t.relpages, 0))::bigint * b.bytes AS table_size_bytes,
       s.n_live_tup AS table_live_rows, s.n_dead_tup AS table_dead_rows,
       coalesce(s.n_dead_tup::float / nullif(s.n_live_tup + s.n_dead_tup, 0), 0)
           AS table_dead_ratio,
       coalesce(extract(epoch FROM greatest(s.last_vacuum, s.last_autovacuum)), 0)
           AS table_last_vacuum_timestamp_seconds,
       coalesce(extract(epoch FROM greatest(s.last_analyze, s.last_autoanalyze)), 0)
           AS table_last_analyze_timestamp_seconds
FROM (SELECT current_setting('block_size')::int AS bytes) AS b
JOIN pg_stat_user_tables AS s ON true
JOIN pg_class AS c ON c.oid = s.relid
LEFT JOIN pg_class AS t ON t.oid = c.reltoastrelid
WHERE c.relpersistence <> 't'
ORDER BY c.relpages + coalesce(t.relpages, 0) DESC, s.n_live_tup + s.n_dead_tup DESC, s.relid
LIMIT %(limit)s
"""

# An index that is being built is not valid either; a role that cannot see which one is being built
# excludes all of them.
INVALID = """
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_stat_user_indexes AS s ON s.indexrelid = i.indexrelid
CROSS JOIN LATERAL (
    SELECT NOT i.indisvalid AND NOT EXISTS (
        SELECT FROM pg_stat_progress_create_index AS p
        WHERE p.datname = current_database()
            AND (p.index_relid IS NULL OR p.index_relid IN (0, i.indexrelid))
    ) AS broken
) AS state
"""

TOTALS = (
    """
SELECT count(*) FILTER (WHERE broken) AS invalid_indexes,
       count(*) FILTER (WHERE idle) AS unused_indexes,
       coalesce(sum(c.relpages::bigint) FILTER (WHERE idle), 0)
           * current_setting('block_size')::int AS unused_index_bytes
"""
    + INVALID
    + """
CROSS JOIN LATERAL (
    SELECT s.idx_scan = 0 AND i.indisvalid AND NOT i.indisunique AND NOT i.indisexclusion
        AND NOT i.indisreplident
        AND c.relpages::bigint * current_setting('block_size')::int >= %(smallest)s AS idle
) AS use
"""
)

NAMES = (
    "SELECT n.nspname || '.' || c.relname AS label_index, 1 AS index_invalid"
    + INVALID
    + "WHERE broken ORDER BY c.oid LIMIT %(limit)s"
)

# The width of a fixed-length column is known; other widths are in the statistics, visible to roles
# that may read the table. Statistics of an expression have the index's name.
INDEXES = """
SELECT n.nspname || '.' || c.relname AS label_index,
       c.oid, c.relfilenode, c.reltuples AS rows, b.bytes AS block, a.amname AS method,
       c.relpages::bigint * b.bytes AS index_size_bytes, s.idx_scan AS index_scans_total,
       coalesce((SELECT option_value::int FROM pg_options_to_table(c.reloptions)
                 WHERE option_name = 'fillfactor'), 90) AS fillfactor,
       (SELECT CASE WHEN bool_and(w.width IS NOT NULL) THEN sum(w.width) END
        FROM pg_attribute AS f
        CROSS JOIN LATERAL (
            SELECT CASE WHEN f.attlen > 0 THEN f.attlen ELSE (
                SELECT max(st.avg_width) FROM pg_stats AS st
                WHERE st.schemaname = n.nspname AND (
                    (st.tablename = t.relname AND st.attname = (
                        SELECT attname FROM pg_attribute
                        WHERE attrelid = t.oid AND attnum = i.indkey[f.attnum - 1]))
                    OR (st.tablename = c.relname AND st.attname = f.attname)
                )) END AS width
        ) AS w
        WHERE f.attrelid = c.oid) AS width
FROM (SELECT current_setting('block_size')::int AS bytes) AS b
JOIN pg_stat_user_indexes AS s ON true
JOIN pg_index AS i ON i.indexrelid = s.indexrelid AND i.indisvalid
JOIN pg_class AS c ON c.oid = s.indexrelid AND c.relpersistence <> 't'
JOIN pg_class AS t ON t.oid = i.indrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_am AS a ON a.oid = c.relam
WHERE c.relpages::bigint * b.bytes >= %(smallest)s
ORDER BY c.relpages DESC, c.oid
LIMIT %(limit)s
"""


def storage(entry: PostgresqlEntry) -> Sequence[MetricQuery]:
    """Return the readings of one database; they keep the baselines of its indexes."""
    growth = Growth()
    return (
        MetricQuery(name="size", query=SIZE),
        MetricQuery(name="tables", query=TABLES, parameters={"limit": entry.largest_tables}),
        MetricQuery(name="index_totals", query=TOTALS, parameters={"smallest": SMALLEST_BYTES}),
        MetricQuery(name="invalid_indexes", query=NAMES, parameters={"limit": NAMED_INVALID}),
        MetricQuery(
            name="indexes",
            query=INDEXES,
            parameters={"limit": entry.largest_indexes, "smallest": SMALLEST_BYTES},
            refine=lambda rows: with_ratios(rows, growth),
        ),
    )
