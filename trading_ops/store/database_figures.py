"""Figures of our PostgreSQL database for its report: indexes, statements, tables."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, RowMapping, text

from trading_ops.domain.database_advice import DatabaseFigures, IndexUse, StatementUse, TableRows

STATEMENTS = 50
"""Statements with the most total time; the others matter little."""

LONGEST_TEXT = 120
"""Maximum characters of a statement."""

# An index with a constraint is needed whether or not a query uses it.
_INDEXES = text("""
SELECT quote_ident(s.indexrelname) AS name, quote_ident(s.relname) AS "table",
       s.idx_scan AS scans, pg_relation_size(s.indexrelid) AS bytes
FROM pg_stat_user_indexes s JOIN pg_index i ON i.indexrelid = s.indexrelid
WHERE s.schemaname = current_schema() AND i.indisvalid AND NOT i.indisunique
  AND NOT i.indisprimary AND NOT i.indisexclusion AND NOT i.indisreplident
  AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = s.indexrelid)
  AND NOT EXISTS (SELECT FROM pg_inherits h WHERE h.inhrelid = s.indexrelid)
ORDER BY s.relname, s.indexrelname
""")

_HAS_STATEMENTS = text("""
SELECT quote_ident(n.nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
WHERE e.extname = 'pg_stat_statements' AND current_setting('pg_stat_statements.max', true) <> ''
  AND current_setting('server_version_num')::int >= 130000
""")

# Constants are replaced by $1 in these kinds only; a utility statement may contain a password.
_STATEMENTS = """
SELECT queryid::text AS id, regexp_replace(min(query), '\\s+', ' ', 'g') AS text,
       sum(calls)::bigint AS calls, sum(total_exec_time)::float8 AS milliseconds
FROM {schema}.pg_stat_statements
WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND queryid IS NOT NULL AND query ~* '^\\s*(select|insert|update|delete|with|merge)\\M'
GROUP BY queryid ORDER BY milliseconds DESC LIMIT {limit}
"""

_TABLES = text("""
SELECT quote_ident(c.relname) AS name, greatest(c.reltuples, s.n_live_tup)::bigint AS rows,
       s.n_dead_tup AS dead,
       coalesce((SELECT option_value FROM pg_options_to_table(c.reloptions)
                 WHERE option_name = 'autovacuum_vacuum_threshold'),
                current_setting('autovacuum_vacuum_threshold'))::float8
       + coalesce((SELECT option_value FROM pg_options_to_table(c.reloptions)
                   WHERE option_name = 'autovacuum_vacuum_scale_factor'),
                  current_setting('autovacuum_vacuum_scale_factor'))::float8
         * greatest(c.reltuples, s.n_live_tup, 0) AS threshold,
       current_setting('autovacuum')::bool
       AND coalesce((SELECT option_value FROM pg_options_to_table(c.reloptions)
                     WHERE option_name = 'autovacuum_enabled'), 'true')::bool AS enabled
FROM pg_stat_user_tables s JOIN pg_class c ON c.oid = s.relid
WHERE s.schemaname = current_schema()
ORDER BY c.relname
""")


def read(connection: Connection, now: datetime) -> DatabaseFigures:
    """Return the figures of a PostgreSQL database."""
    return DatabaseFigures(
        at=now,
        indexes=[_index(row) for row in connection.execute(_INDEXES).mappings()],
        statements=_statements(connection),
        tables=[_table(row) for row in connection.execute(_TABLES).mappings()],
    )


def _statements(connection: Connection) -> Sequence[StatementUse] | None:
    schema = connection.execute(_HAS_STATEMENTS).scalar_one_or_none()
    if schema is None:
        return None
    statement = _STATEMENTS.format(schema=schema, limit=STATEMENTS)
    rows = connection.exec_driver_sql(statement)
    return [_statement(row) for row in rows.mappings()]


def _index(row: RowMapping) -> IndexUse:
    """Return the index of a row."""
    return IndexUse(
        name=row["name"],
        table=row["table"],
        scans=row["scans"],
        bytes=row["bytes"],
    )


def _statement(row: RowMapping) -> StatementUse:
    """Return the statement of a row, shortened."""
    return StatementUse(
        id=row["id"],
        text=str(row["text"])[:LONGEST_TEXT],
        calls=row["calls"],
        milliseconds=row["milliseconds"],
    )


def _table(row: RowMapping) -> TableRows:
    """Return the table of a row."""
    return TableRows(
        name=row["name"],
        rows=row["rows"],
        dead=row["dead"],
        threshold=row["threshold"],
        enabled=row["enabled"],
    )
