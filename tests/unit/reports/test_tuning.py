"""Suggestions from the incidents of a period."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from trading_ops.reports.tuning import FEWEST, OFTEN, suggestions
from trading_ops.store.search import IncidentTimes

OPENED = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
CLOSED = OPENED + timedelta(seconds=45)


def incidents(count: int, **over: Any) -> list[IncidentTimes]:
    values: dict[str, Any] = {
        "alert": "TradingBotDown",
        "opened_at": OPENED,
        "attempted_at": None,
        "acknowledged_at": None,
        "escalated_at": None,
        "closed_at": CLOSED,
        "verified": False,
    }
    return [IncidentTimes(**values | over) for _ in range(count)]


@pytest.mark.parametrize(
    ("found", "part"),
    [
        (incidents(FEWEST), "median of 45.0 s. Raise the rule's `for`"),
        (incidents(FEWEST, attempted_at=OPENED), "helped in 0 of 3 incidents"),
        (incidents(OFTEN, attempted_at=OPENED, verified=True), "remediated 10 times"),
    ],
)
def test_what_repeats_is_named_with_the_fix(found: list[IncidentTimes], part: str) -> None:
    (suggestion,) = suggestions(found)
    assert suggestion.startswith("TradingBotDown: ")
    assert part in suggestion


@pytest.mark.parametrize(
    "found",
    [
        [],
        incidents(FEWEST - 1),
        incidents(FEWEST, closed_at=None),
        incidents(FEWEST, acknowledged_at=OPENED),
        incidents(FEWEST, escalated_at=OPENED),
        incidents(OFTEN - 1, attempted_at=OPENED, verified=True),
    ],
)
def test_what_is_rare_or_handled_needs_none(found: list[IncidentTimes]) -> None:
    assert suggestions(found) == ()
