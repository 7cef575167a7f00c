"""Maintenance of a SQLite database, ours or a bot's: what is due, why, and the statements.

Everything runs in the thread that writes: a second connection that writes could corrupt the WAL
before SQLite 3.51.3. The WAL itself needs no maintenance: SQLite checkpoints it at a thousand
pages, and `journal_size_limit` truncates it afterwards.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Query = Callable[[str], Sequence[Sequence[Any]]]
"""Runs a statement in a transaction, and returns its rows."""

ROWS = 1000
"""Below this a table is small, and a scan of it is cheap."""

CHANGE = 10
"""Statistics are old when a table has this many times more or fewer rows; as `PRAGMA optimize`."""

SAMPLE = 1000
"""Rows of each index that ANALYZE reads, so that intake does not wait for it."""

FREE_PAGES = 1000
FREE_PART = 0.2
BATCH = 200
"""Pages in one transaction, which other writes wait for."""

INCREMENTAL = 2


@dataclass(frozen=True, kw_only=True)
class Need:
    """One thing that should be done."""

    what: str
    reason: str
    statement: str
    times: int = 1
    """How often the statement runs; at most `BATCH` times in one transaction."""

    bytes: int = 0
    """By which the file gets smaller."""


def find(query: Query) -> list[Need]:
    """Return what needs to be done."""
    return [*_tables_to_analyze(query), *_free_pages(query)]


def batches(need: Need) -> list[int]:
    """Return how often the statement runs in each of its transactions."""
    return [min(BATCH, need.times - done) for done in range(0, need.times, BATCH)]


def carry_out(query: Query, need: Need, times: int) -> None:
    """Run a statement this many times, in one transaction."""
    query(f"PRAGMA analysis_limit={SAMPLE}")
    for _ in range(times):
        query(need.statement)


def _tables_to_analyze(query: Query) -> list[Need]:
    known = _known_rows(query)
    found = []
    for table in _column(
        query,
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
    ):
        quoted = '"' + str(table).replace('"', '""') + '"'
        rows = int(_column(query, f"SELECT count(*) FROM {quoted}")[0])  # noqa: S608
        before = known.get(str(table))
        if before is None:
            reason = f"{rows} rows and no statistics" if rows >= ROWS else ""
        elif max(rows, before) >= ROWS and not before / CHANGE < rows < before * CHANGE:
            reason = f"{rows} rows, and statistics from about {before}"
        else:
            reason = ""
        if reason:
            need = Need(what=f"analyze {table}", reason=reason, statement=f"ANALYZE {quoted}")
            found.append(need)
    return found


def _known_rows(query: Query) -> dict[str, int]:
    """Return how many rows each table had when it was analyzed."""
    if not _column(query, "SELECT 1 FROM sqlite_master WHERE name = 'sqlite_stat1'"):
        return {}
    rows = query("SELECT tbl, stat FROM sqlite_stat1")
    found: dict[str, int] = {}
    for table, stat in rows:
        found[table] = max(found.get(table, 0), int(str(stat).partition(" ")[0]))
    return found


def _free_pages(query: Query) -> list[Need]:
    mode, pages, free, size = (
        int(_column(query, f"PRAGMA {name}")[0])
        for name in ("auto_vacuum", "page_count", "freelist_count", "page_size")
    )
    if mode != INCREMENTAL or free < max(FREE_PAGES, FREE_PART * pages):
        return []
    return [
        Need(
            what="return free pages to the file system",
            reason=f"{free} of {pages} pages are free",
            # Python's driver takes one step of it, which frees one page, regardless of the number.
            statement="PRAGMA incremental_vacuum(1)",
            times=free,
            bytes=free * size,
        )
    ]


def _column(query: Query, statement: str) -> list[Any]:
    return [row[0] for row in query(statement)]
