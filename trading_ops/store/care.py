"""Maintenance of a PostgreSQL database, ours or a bot's: what is due, why, and the statements.

Tables count if they are in the schema of the connection. VACUUM and REINDEX need the role that
owns them, and cannot run inside a transaction.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from trading_ops.domain.report import FINDING_KINDS
from trading_ops.errors import StoreError
from trading_ops.store import engine, search

DEAD_PART = 0.2
"""Share of a table's rows; autovacuum starts at the same share, so more means that it lags."""

DEAD_ROWS = 1000
"""Below this a table is small, and a scan of it is cheap."""

LONG_TRANSACTION = timedelta(minutes=10)
"""VACUUM cannot remove rows that an older transaction may see; REINDEX waits for its end."""

BLOATED = 2.0
"""Bytes for each row, as a multiple of the smallest since the index was built."""

BLOATED_BYTES = 2**20
"""Below this an index is small, and so is its bloat."""

BASELINES_READ = 60
"""Nightly reports that are searched for the minimum: two months."""

SPACE_FACTOR = 2
"""Free space that a rebuild needs, as a multiple of the index: its copy, the sort and the WAL."""

UNSAFE = range(140000, 140004)
"""Server versions whose REINDEX CONCURRENTLY may leave out rows."""

LEFTOVER = "_cc(new|old)[0-9]*$"
"""The end of an index's name that an interrupted REINDEX CONCURRENTLY leaves behind."""


@dataclass(frozen=True, kw_only=True)
class DatabaseNeed:
    """One statement that should run."""

    what: str
    reason: str
    size: int
    """Bytes of the table or index."""

    statement: str
    owned: bool
    """Whether our role may run it."""

    space: int = 0
    """Bytes that must be free; 0: it needs none worth a check."""


@dataclass(frozen=True, kw_only=True)
class IndexSize:
    """A valid index of at least `BLOATED_BYTES`."""

    id: int
    """Another one after each rebuild."""

    name: str
    table: str
    size: int
    rows: int
    owned: bool

    @property
    def bytes_per_row(self) -> float:
        """Return the figure whose growth is bloat."""
        return self.size / max(self.rows, 1)


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

# An exclusion constraint's index cannot be rebuilt concurrently.
_SIZES = text("""
SELECT c.oid::bigint AS id, quote_ident(c.relname) AS name, quote_ident(t.relname) AS "table",
       pg_relation_size(c.oid) AS size, pg_has_role(c.relowner, 'USAGE') AS owned,
       CASE WHEN i.indpred IS NULL
            THEN greatest(t.reltuples, pg_stat_get_live_tuples(t.oid)) ELSE c.reltuples
       END::bigint AS rows
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = current_schema() AND i.indisvalid AND NOT i.indisexclusion AND c.relkind = 'i'
  AND pg_relation_size(c.oid) >= :bytes
ORDER BY c.relname
""")

_FOLDER = text("""
SELECT setting FROM pg_settings WHERE name = 'data_directory'
  AND (inet_server_addr() IS NULL OR inet_server_addr() <<= '127.0.0.0/8'
       OR inet_server_addr() = '::1')
""")

_OLDEST = text("""
SELECT min(xact_start) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_xmin IS NOT NULL
  AND backend_type = 'client backend'
""")


Baselines = Mapping[int, float]
"""Smallest recorded bytes for each row of an index, by the id of the index."""


def tables_to_vacuum(connection: Connection, _baselines: Baselines) -> list[DatabaseNeed]:
    """Return the tables with many dead rows, as the server counts them; most dead rows first."""
    rows = connection.execute(_DEAD, {"rows": DEAD_ROWS, "part": DEAD_PART}).mappings()
    return [
        DatabaseNeed(
            what=f"vacuum {row['name']}",
            reason=f"{row['dead']} of {row['live'] + row['dead']} rows are dead",
            size=row["size"],
            # TRUNCATE would lock the table against all use for a moment.
            statement=f"VACUUM (ANALYZE, TRUNCATE false) {row['name']}",
            owned=row["owned"],
        )
        for row in rows
    ]


def indexes_to_rebuild(connection: Connection, baselines: Baselines) -> list[DatabaseNeed]:
    """Return the indexes that are invalid and that no one is building now, then the bloated."""
    rows = connection.execute(_INVALID, {"leftover": LEFTOVER}).mappings()
    invalid = [
        DatabaseNeed(
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
    return invalid + _bloated(connection, baselines)


def index_sizes(connection: Connection) -> list[IndexSize]:
    """Return the size of each index that may be rebuilt; the nightly report records them."""
    rows = connection.execute(_SIZES, {"bytes": BLOATED_BYTES}).mappings()
    return [
        IndexSize(
            id=row["id"],
            name=row["name"],
            table=row["table"],
            size=row["size"],
            rows=row["rows"],
            owned=row["owned"],
        )
        for row in rows
    ]


def _bloated(connection: Connection, baselines: Baselines) -> list[DatabaseNeed]:
    found = []
    for size in index_sizes(connection):
        baseline = baselines.get(size.id)
        if baseline is not None and size.bytes_per_row >= BLOATED * baseline:
            found.append(
                DatabaseNeed(
                    what=f"rebuild index {size.name}",
                    reason=f"it is bloated: {size.bytes_per_row:.0f} bytes for each row of "
                    f"{size.table}, {baseline:.0f} after it was built",
                    size=size.size,
                    statement=f"REINDEX INDEX CONCURRENTLY {size.name}",
                    owned=size.owned,
                    space=SPACE_FACTOR * size.size,
                )
            )
    return found


def read_baselines(connection: Connection, *, bot: str | None) -> Baselines:
    """Return the baselines in the nightly reports.

    Args:
        connection: of our own store, whatever its database.
        bot: the bot whose database it is; None: ours.
    """
    kind, _ = FINDING_KINDS
    reports = search.find_events(
        connection, kind=kind, span=search.TimeRange(), limit=BASELINES_READ
    )
    smallest: dict[int, float] = {}
    for report in reports:
        facts = json.loads(report.after or "{}")
        if bot is not None:
            facts = (facts.get("bots") or {}).get(bot) or {}
        for key, value in (facts.get("index_bytes") or {}).items():
            smallest[int(key)] = min(value, smallest.get(int(key), value))
    return smallest


def free_space(connection: Connection) -> int | None:
    """Return the free bytes of the server's disk; None: it is not known.

    It is known for a server on this host whose data folder our role may see.
    """
    folder = connection.execute(_FOLDER).scalar_one_or_none()
    try:
        return shutil.disk_usage(folder).free if folder else None
    except OSError:
        return None


def without_space(
    needs: Sequence[DatabaseNeed], free: int | None
) -> tuple[list[DatabaseNeed], str]:
    """Split off what cannot run for lack of space; return the rest, and the reason.

    One statement runs after the other, so that each needs its own space only.
    """
    blocked = [need for need in needs if need.space and (free is None or free < need.space)]
    if not blocked:
        return list(needs), ""
    names = "; ".join(need.statement for need in blocked)
    if free is None:
        why = (
            "the free space of the database server is not known: run yourself, or, if it is on "
            f"this host, `GRANT pg_read_all_settings` to the reconciler's role: {names}"
        )
    else:
        largest = max(need.space for need in blocked)
        why = f"{free / 1e6:.0f} MB are free, {largest / 1e6:.0f} MB are needed for {names}"
    return [need for need in needs if need not in blocked], why


def obstacle(connection: Connection, needs: list[DatabaseNeed], now: datetime) -> str:
    """Return why the work cannot be done now; empty: it can."""
    foreign = [need for need in needs if not need.owned]
    if foreign:
        todo = "; ".join(need.statement for need in foreign)
        return f"the role does not own the tables: run as their owner: {todo}"
    if any(need.space for need in needs) and _version(connection) in UNSAFE:
        return "PostgreSQL 14.0 to 14.3 rebuild indexes wrongly: upgrade to the newest 14.x"
    oldest = connection.execute(_OLDEST).scalar_one()
    if oldest is not None and now - oldest > LONG_TRANSACTION:
        since = oldest.astimezone(UTC)
        return f"a transaction is open since {since:%Y-%m-%d %H:%M} UTC: end it first"
    return ""


def _version(connection: Connection) -> int:
    return int(connection.execute(text("SHOW server_version_num")).scalar_one())


@dataclass
class Work:
    """Statements that run in a thread, one transaction each; another thread can cancel them."""

    url: str
    needs: list[DatabaseNeed]
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
        step = "connect"
        try:
            with made.connect() as connection:
                connection.execution_options(isolation_level="AUTOCOMMIT")
                self._session = connection.connection.driver_connection
                for need in self.needs:
                    step = need.what
                    if self._stopped:
                        return
                    connection.exec_driver_sql(need.statement)
        except SQLAlchemyError as error:
            why = str(getattr(error, "orig", None) or error).partition("\n")[0]
            raise StoreError(f"{step}: {why}") from error
        finally:
            made.dispose()

    def stop(self) -> None:
        """Cancel the running statement, and start no other one."""
        self._stopped = True
        if self._session is not None:
            self._session.cancel()
