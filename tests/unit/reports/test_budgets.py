"""From recorded events to the ratio, the budget, and what is left of it."""

import pytest

from trading_ops.reports.budgets import level
from trading_ops.reports.slo import objectives

AVAILABILITY = next(objective for objective in objectives() if objective.name == "availability")


@pytest.mark.parametrize(
    ("bad", "events", "ratio", "spent", "left"),
    [
        (0.0, 86_400.0, 1.0, 0.0, 1.0),
        (43.2, 86_400.0, 0.9995, 0.5, 0.5),
        (86.4, 86_400.0, 0.999, 1.0, 0.0),
        (864.0, 86_400.0, 0.99, 10.0, -9.0),
        (0.0, 0.0, None, None, None),
        (None, None, None, None, None),
        (0.0, None, None, None, None),
    ],
)
def test_a_budget_is_what_may_be_bad(
    bad: float | None,
    events: float | None,
    ratio: float | None,
    spent: float | None,
    left: float | None,
) -> None:
    """No events, or none measured, is neither kept nor spent."""
    found = level("alpha", AVAILABILITY, bad=bad, events=events, measured=0.5)
    assert (found.objective, found.budget, found.measured) == (0.999, 0.001, 0.5)
    assert (found.ratio, found.spent, found.left) == (
        None if ratio is None else pytest.approx(ratio),
        None if spent is None else pytest.approx(spent),
        None if left is None else pytest.approx(left),
    )
