"""The advice of the database report, without a database."""

from datetime import UTC, datetime, timedelta

import pytest

from trading_ops.domain import database_advice as advice
from trading_ops.domain.database_advice import (
    DatabaseFigures,
    PoolUse,
    ReportSnapshot,
    StatementUse,
    TableRows,
)

NOW = datetime(2026, 3, 10, tzinfo=UTC)
DAY = timedelta(days=1)


def figures(calls: int, milliseconds: float) -> DatabaseFigures:
    use = StatementUse(id="1", text="SELECT 1", calls=calls, milliseconds=milliseconds)
    return DatabaseFigures(at=NOW, indexes=[], statements=[use])


def snapshot(days: int, calls: int, milliseconds: float) -> ReportSnapshot:
    return ReportSnapshot(at=NOW - days * DAY, scans={}, statements={"1": (calls, milliseconds)})


@pytest.mark.parametrize(
    ("today", "earlier", "slower"),
    [
        ((600, 3400.0), [(400, 1000.0), (200, 500.0)], True),
        ((600, 1500.0), [(400, 1000.0), (200, 500.0)], False),  # as usual
        ((450, 1600.0), [(400, 1000.0), (200, 500.0)], False),  # too few calls
        ((600, 3400.0), [(400, 1000.0)], False),  # nothing is usual yet
        ((600, 1.4), [(400, 1.0), (200, 0.9)], False),  # by microseconds
        ((200, 2000.0), [(400, 1000.0), (200, 500.0)], False),  # the counters were reset
        ((600, 3400.0), [(400, 1000.0), (900, 9000.0), (200, 500.0)], False),  # reset before
        # One slow day before does not make it usual.
        ((900, 4900.0), [(600, 1900.0), (400, 900.0), (200, 500.0), (0, 0.0)], True),
    ],
)
def test_a_statement_is_slower_than_usual(
    today: tuple[int, float], earlier: list[tuple[int, float]], slower: bool
) -> None:
    """Twice its usual mean and a millisecond more, over a hundred calls."""
    snapshots = [snapshot(at, *counters) for at, counters in enumerate(earlier, 1)]
    day = advice.day_of_statements(figures(*today), snapshots)
    assert bool(list(advice.slower_statements(day))) is slower


@pytest.mark.parametrize(
    ("rows", "dead", "threshold", "enabled", "text"),
    [
        (1_000, 10, 250.0, False, "is off"),
        (1_000_000, 50_000, 200_050.0, True, "autovacuum_vacuum_scale_factor = 0.1)"),
        (10_000, 5_000, 2_050.0, True, "does not keep up"),
        (10_000, 3_000, 2_050.0, True, ""),
        (100, 900, 70.0, True, ""),  # a small table
    ],
)
def test_advice_on_autovacuum(
    rows: int, dead: int, threshold: float, enabled: bool, text: str
) -> None:
    """Off, too late, or behind."""
    table = TableRows(name="t", rows=rows, dead=dead, threshold=threshold, enabled=enabled)
    found = [finding.text for finding in advice.autovacuum([table])]
    assert text in found[0] if text else not found


@pytest.mark.parametrize(
    ("size", "peak", "wait", "hold", "needed", "text"),
    [
        (5, 5, 0.2, 0.05, 6.0, "raise its size to 9"),
        (5, 5, 0.2, 2.0, 6.0, "release them before calls"),
        (5, 3, 0.2, 0.05, 1.0, ""),  # waits for the server, not for the pool
        (40, 4, 0.0, 0.05, 1.0, "reduce its size to 8"),
        (5, 1, 0.0, 0.05, 0.1, ""),
        (20, 15, 0.001, 0.05, 9.0, ""),
    ],
)
def test_advice_on_pools(
    size: int, peak: int, wait: float, hold: float, needed: float, text: str
) -> None:
    """Too small, held too long, or too large."""
    use = PoolUse(
        bot="alpha",
        pool="orders",
        size=size,
        peak=peak,
        wait_p99=wait,
        hold_p95=hold,
        needed=needed,
    )
    found = [pool.text for pool in advice.pools([use])]
    assert text in found[0] if text else not found
