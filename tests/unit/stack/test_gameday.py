"""A game day passes with what is possible on its machine, and only with that."""

from typing import Any

import pytest

from trading_ops_lab.drills.drill_run import DrillResult
from trading_ops_lab.drills.gameday import GameDay


def result(seconds: float | None = 10.0, **given: Any) -> DrillResult:
    return DrillResult(
        alert="TradingBotDown",
        target="alpha",
        fault="bot_kill",
        limit_seconds=45.0,
        total_seconds=seconds,
        **({"paused": False, "passed": True} | given),
    )


ABSENT = result(None, passed=False, not_possible=True)


@pytest.mark.parametrize(
    ("results", "passed"),
    [
        ([result()], True),
        ([result(), ABSENT], True),
        ([ABSENT], False),
        ([], False),
        ([result(), result(passed=False)], False),
        ([result(), ABSENT, result(passed=False, paused=True)], False),
    ],
)
def test_what_is_not_possible_is_no_failure_and_no_day(
    results: list[DrillResult], passed: bool
) -> None:
    """One that could not be started proves nothing, and spoils nothing."""
    assert GameDay(results=results).passed == passed


def test_what_was_not_run_is_in_no_figure() -> None:
    """Nor what was held back."""
    day = GameDay(results=[result(10.0), result(None, paused=True), ABSENT, result(20.0)])
    assert [result.total_seconds for result in day.expected] == [10.0, 20.0]
    assert day.median_seconds == 15.0
