"""Advice on a PostgreSQL database and on connection pools, from their figures.

Pure: today's figures and those of earlier reports come from the caller. Nothing is changed; each
finding is advice with its reason.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median

from trading_ops.domain.report import Finding

UNUSED_FOR = timedelta(days=30)
UNUSED_BYTES = 1_000_000
"""Smaller indexes are ignored."""

SLOWER = 2.0
"""Factor of its usual mean from which a statement is reported."""

SLOWER_BY_MS = 1.0
LEAST_CALLS = 100
"""Minimum calls in a day; a mean over fewer calls is not significant."""

TOP = 5
"""Number of listed statements."""

DEAD_ROWS = 100_000
"""Maximum dead rows before autovacuum should start."""

LATE = 2.0
"""Factor of autovacuum's threshold above which it does not keep up."""

WAIT_SECONDS = 0.01
HELD_SECONDS = 1.0
SPARE = 1.5
"""Pool size relative to the connections in use in the busiest five minutes."""

SMALLEST_POOL = 5


@dataclass(frozen=True, kw_only=True)
class IndexUse:
    """One index that only speeds up queries: no constraint depends on it."""

    name: str
    table: str
    scans: int
    bytes: int


@dataclass(frozen=True, kw_only=True)
class StatementUse:
    """One normalized statement, since the server's counters began."""

    id: str
    text: str
    calls: int
    milliseconds: float


@dataclass(frozen=True, kw_only=True)
class TableRows:
    """One table, and when autovacuum starts on it."""

    name: str
    rows: int
    dead: int
    threshold: float
    """Dead rows from which autovacuum starts."""

    enabled: bool


@dataclass(frozen=True, kw_only=True)
class DatabaseFigures:
    """One reading of the server."""

    at: datetime
    indexes: Sequence[IndexUse]
    statements: Sequence[StatementUse] | None
    """None: pg_stat_statements is not installed."""

    tables: Sequence[TableRows] = ()


@dataclass(frozen=True, kw_only=True)
class ReportSnapshot:
    """An earlier report."""

    at: datetime
    scans: Mapping[str, int]
    statements: Mapping[str, tuple[int, float]]
    """Calls and milliseconds."""


@dataclass(frozen=True, kw_only=True)
class PoolUse:
    """One pool of a bot during the last day."""

    bot: str
    pool: str
    size: int
    peak: int
    """Maximum connections in use."""

    wait_p99: float
    hold_p95: float
    needed: float
    """Mean connections in use during the busiest five minutes."""


@dataclass(frozen=True, kw_only=True)
class DayOfStatement:
    """One statement since the previous report."""

    text: str
    calls: int
    mean_ms: float
    share: float
    """Share of the time of all statements."""

    usual_ms: float | None
    """The median of its daily means; None: unknown yet."""

    @property
    def is_slower(self) -> bool:
        """Whether it takes much longer than usual."""
        usual = self.usual_ms
        return (
            usual is not None
            and self.calls >= LEAST_CALLS
            and self.mean_ms >= SLOWER * usual
            and self.mean_ms - usual >= SLOWER_BY_MS
        )


def unused_indexes(now: DatabaseFigures, earlier: Sequence[ReportSnapshot]) -> Iterator[Finding]:
    """Yield the indexes that no query has used since a report of `UNUSED_FOR` ago.

    Args:
        now: today's figures.
        earlier: newest first.
    """
    old = next((snapshot for snapshot in earlier if now.at - snapshot.at >= UNUSED_FOR), None)
    for index in now.indexes:
        if old is None or index.bytes < UNUSED_BYTES or old.scans.get(index.name) != index.scans:
            continue
        yield Finding(
            topic="unused index",
            subject=index.name,
            text=f"no query has used index {index.name} of {index.table} since "
            f"{old.at:%Y-%m-%d}; it takes {index.bytes / 1e6:.1f} MB and each write updates it. If "
            f"no standby uses it: DROP INDEX CONCURRENTLY {index.name}",
        )


def day_of_statements(
    now: DatabaseFigures, earlier: Sequence[ReportSnapshot]
) -> list[DayOfStatement]:
    """Return the statements since the newest report, by total time.

    Args:
        now: today's figures.
        earlier: newest first; without any, nothing is known of the last day.
    """
    if not earlier or now.statements is None:
        return []
    found = []
    for statement in now.statements:
        counters = [(statement.calls, statement.milliseconds)]
        for snapshot in earlier:
            if statement.id not in snapshot.statements:
                break
            counters.append(snapshot.statements[statement.id])
        days = [
            (calls - before[0], spent - before[1]) for (calls, spent), before in pairwise(counters)
        ]
        # A counter that decreased was reset: earlier values are useless.
        reset = next((at for at, (calls, _) in enumerate(days) if calls < 0), len(days))
        days = days[:reset]
        if not days or not days[0][0]:
            continue
        usual = [spent / calls for calls, spent in days[1:] if calls >= LEAST_CALLS]
        found.append((statement.text, *days[0], median(usual) if usual else None))
    total = sum(spent for _, _, spent, _ in found)
    lines = [
        DayOfStatement(
            text=text,
            calls=calls,
            mean_ms=spent / calls,
            share=spent / total if total else 0.0,
            usual_ms=usual,
        )
        for text, calls, spent, usual in found
    ]
    return sorted(lines, key=lambda line: -line.share)


def slower_statements(day: Sequence[DayOfStatement]) -> Iterator[Finding]:
    """Yield the statements that take much longer than usual."""
    for statement in day:
        if statement.is_slower:
            yield Finding(
                topic="slower statement",
                subject=statement.text,
                text=f"{statement.text} took {statement.mean_ms:.1f} ms on average, usually "
                f"{statement.usual_ms:.1f} ms ({statement.calls} calls, {statement.share:.0%} of "
                "all time): compare its EXPLAIN ANALYZE; ANALYZE the tables or add an index",
            )


def autovacuum(tables: Sequence[TableRows]) -> Iterator[Finding]:
    """Yield the tables on which autovacuum is off, starts too late, or does not keep up."""
    for table in tables:
        alter = f"ALTER TABLE {table.name} SET"
        if not table.enabled:
            text = f"autovacuum is off for {table.name}: {alter} (autovacuum_enabled = true)"
        elif table.dead > LATE * table.threshold and table.dead >= DEAD_ROWS / 100:
            text = (
                f"autovacuum does not keep up with {table.name}: {table.dead} dead rows, it starts "
                f"at {table.threshold:.0f}: raise autovacuum_vacuum_cost_limit or "
                "autovacuum_max_workers"
            )
        elif table.threshold > DEAD_ROWS:
            factor = f"{DEAD_ROWS / table.rows:.1g}"
            text = (
                f"autovacuum waits for {table.threshold:.0f} dead rows of {table.rows} in "
                f"{table.name}: {alter} (autovacuum_vacuum_scale_factor = {factor})"
            )
        else:
            continue
        yield Finding(topic="autovacuum", subject=table.name, text=text)


def pools(found: Sequence[PoolUse]) -> Iterator[Finding]:
    """Yield the pools that are too small, too large, or whose connections are held too long."""
    for pool in found:
        name = f"pool {pool.pool} of bot {pool.bot}"
        wanted = max(SMALLEST_POOL, math.ceil(SPARE * pool.needed))
        if pool.wait_p99 > WAIT_SECONDS and pool.hold_p95 > HELD_SECONDS:
            text = (
                f"{name}: waits up to {pool.wait_p99 * 1000:.0f} ms (p99), because connections are "
                f"held for {pool.hold_p95:.1f} s (p95): release them before calls to a venue"
            )
        elif pool.wait_p99 > WAIT_SECONDS and pool.peak >= pool.size:
            text = (
                f"{name}: waits up to {pool.wait_p99 * 1000:.0f} ms (p99) with all {pool.size} "
                f"connections in use, {pool.needed:.1f} on average in the busiest five minutes: "
                f"raise its size to {max(wanted, pool.size + 1)}"
            )
        elif pool.size > SMALLEST_POOL and pool.peak * 4 <= pool.size:
            text = (
                f"{name}: at most {pool.peak} of {pool.size} connections were in use: reduce its "
                f"size to {max(wanted, 2 * pool.peak)}"
            )
        else:
            continue
        yield Finding(topic="pool", subject=f"{pool.bot} {pool.pool}", text=text)
