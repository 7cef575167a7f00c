"""Care of our PostgreSQL database: what needs it, why, and how it is done. SQLite needs none of it.

Tables are ours if they are in the schema of the connection. VACUUM and REINDEX need the role that
owns them, and cannot run inside a transaction.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from trading_ops.errors import StoreError
from trading_ops.store import engine

DEAD_PART = 0.2
"""Of a table's rows; autovacuum starts at the same part, so more means that it does not keep up."""

DEAD_ROWS = 1000
"""Below this a table is small, and a scan of it is cheap."""

LONG_TRANSACTION = timedelta(minutes=10)
"""VACUUM cannot remove rows that an older transaction may see; REINDEX waits for its end."""

LEFTOVER = "_cc(new|old)[0-9]*$"
"""The end of an index's name that an interrupted REINDEX CONCURRENTLY leaves behind."""


@dataclass(frozen=True, kw_only=True)
class Need:
    """One statement that should run."""

    what: str
    reason: str
    size: int
    """Bytes of the table or index."""

    statement: str
    owned: bool
    """Whether our role may run it."""


_DEAD = text("""
SELECT quote_ident(c.relname) AS name, s.n_live_tup AS live, s.n_dead_tup AS dead,
       pg_table_size(c.oid) AS size, pg_has_role(c.relowner, 'USAGE') AS owned
FROM pg_stat_user_tables s JOIN pg_class c ON c.oid = s.relid
WHERE s.schemaname = current_schema() AND s.n_dead_tup >= :rows
  AND s.n_dead_tup > :part * (s.n_live_tup + s.n_dead_tup)
ORDER BY s.n_dead_tup DESC, name
""")

_INVALID = text("""
SELECT quote_ident(c.relname) AS name, quote_ident(t.relname) AS table_name,
       c.relname ~ :leftover AS leftover,
       pg_relation_size(c.oid) AS size, pg_has_role(c.relowner, 'USAGE') AS owned
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = current_schema() AND NOT i.indisvalid AND c.relkind = 'i'
  AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.relid = i.indrelid)
ORDER BY c.relname
""")

_OLDEST = text("""
SELECT min(xact_start) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_xmin IS NOT NULL
  AND backend_type = 'client backend'
""")


def tables_to_vacuum(connection: Connection) -> list[Need]:
    """Return the tables with many dead rows, as the server counts them; most dead rows first."""
    rows = connection.execute(_DEAD, {"rows": DEAD_ROWS, "part": DEAD_PART}).mappings()
    return [
        Need(
            what=f"vacuum {row['name']}",
            reason=f"{row['dead']} of {row['live'] + row['dead']} rows are dead",
            size=row["size"],
            # TRUNCATE would lock the table against all use for a moment.
            statement=f"VACUUM (ANALYZE, TRUNCATE false) {row['name']}",
            owned=row["owned"],
        )
        for row in rows
    ]


def indexes_to_rebuild(connection: Connection) -> list[Need]:
    """Return the indexes that are invalid and that no one is building now."""
    rows = connection.execute(_INVALID, {"leftover": LEFTOVER}).mappings()
    return [
        Need(
            what=f"{'drop' if row['leftover'] else 'rebuild'} index {row['name']}",
            reason=f"it is invalid: queries of {row['table_name']} do not use it, writes update it",
            size=row["size"],
            statement=f"DROP INDEX CONCURRENTLY {row['name']}"
            if row["leftover"]
            else f"REINDEX INDEX CONCURRENTLY {row['name']}",
            owned=row["owned"],
        )
        for row in rows
    ]


def obstacle(connection: Connection, needs: list[Need], now: datetime) -> str:
    """Return why the work cannot be done now; empty: it can."""
    foreign = [need for need in needs if not need.owned]
    if foreign:
        todo = "; ".join(need.statement for need in foreign)
        return f"the reconciler's role does not own the tables: run as their owner: {todo}"
    oldest = connection.execute(_OLDEST).scalar_one()
    if oldest is not None and now - oldest > LONG_TRANSACTION:
        since = oldest.astimezone(UTC)
        return f"a transaction is open since {since:%Y-%m-%d %H:%M} UTC: end it first"
    return ""


@dataclass
class Work:
    """Statements that run in a thread, one transaction each; another thread can cancel them."""

    url: str
    needs: list[Need]
    timeout: timedelta
    """Of one statement."""

    _stopped: bool = field(init=False, default=False)
    _session: Any = field(init=False, default=None)
    """The driver's connection."""

    def carry_out(self) -> None:
        """Run one statement after the other.

        Raises:
            StoreError: one could not be run; those after it were not tried.
        """
        from trading_ops.store import postgresql  # noqa: PLC0415 - only who has it needs the driver

        limits = {"statement_timeout": f"{self.timeout.total_seconds():.0f}s"}
        bounds = postgresql.ConnectionLimits(
            name="care", settings={**postgresql.WRITING, **limits}, answer_seconds=None
        )
        made = postgresql.engine(engine.parse(self.url), bounds)
        what = "connect"
        try:
            with made.connect() as connection:
                connection.execution_options(isolation_level="AUTOCOMMIT")
                self._session = connection.connection.driver_connection
                for need in self.needs:
                    what = need.what
                    if self._stopped:
                        return
                    connection.exec_driver_sql(need.statement)
        except SQLAlchemyError as error:
            why = str(getattr(error, "orig", None) or error).partition("\n")[0]
            raise StoreError(f"{what}: {why}") from error
        finally:
            made.dispose()

    def stop(self) -> None:
        """End the statement under way, and start no other one."""
        self._stopped = True
        if self._session is not None:
            self._session.cancel()
