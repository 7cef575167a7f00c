"""Windows: whom they cover, when, and which ones are refused."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.builders import NOW, ago
from trading_ops.domain.maintenance import Maintenance, covering, outlasts, problem

HOUR = timedelta(hours=1)


def window(**over: Any) -> Maintenance:
    values: dict[str, Any] = {
        "target": "alpha",
        "owner": "ada",
        "reason": "new disk",
        "begins_at": ago(60),
        "ends_at": NOW + HOUR,
    }
    return Maintenance(**(values | over))


@pytest.mark.parametrize(
    ("over", "target", "covered"),
    [
        ({}, "alpha", True),
        ({}, "beta", False),
        ({}, None, False),
        ({"target": None}, "beta", True),
        ({"target": None}, None, True),
        ({"begins_at": NOW}, "alpha", True),
        ({"begins_at": NOW + timedelta(microseconds=1)}, "alpha", False),
        ({"ends_at": NOW}, "alpha", False),
    ],
)
def test_whom_it_covers(over: dict[str, Any], target: str | None, covered: bool) -> None:
    """From its beginning on, and no longer at its end; without a target it covers everything."""
    assert window(**over).covers(target, NOW) is covered


def test_the_longest_of_several_counts() -> None:
    """The time to look again is when the last of them ends."""
    short, long = window(), window(target=None, ends_at=NOW + 2 * HOUR)
    assert covering([short, long, window(target="beta")], "alpha", NOW) == long
    assert covering([window(target="beta")], "alpha", NOW) is None


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ({}, None),
        ({"begins_at": NOW + HOUR, "ends_at": NOW + 2 * HOUR}, None),
        ({"begins_at": ago(86400), "ends_at": NOW + timedelta(days=7)}, None),
        ({"begins_at": NOW + HOUR, "ends_at": NOW + HOUR}, "must end after it begins"),
        ({"ends_at": NOW}, "already ended"),
        ({"ends_at": NOW + timedelta(days=7, seconds=1)}, "at most 7 days"),
        (
            {"begins_at": NOW + timedelta(days=367), "ends_at": NOW + timedelta(days=368)},
            "within 366 days",
        ),
    ],
)
def test_what_is_refused(over: dict[str, Any], message: str | None) -> None:
    """A forgotten or misspelt window must not switch recovery off for good."""
    found = problem(window(**over), NOW)
    assert (found is None) if message is None else (found is not None and message in found)


@pytest.mark.parametrize(
    ("spans", "now", "left"),
    [
        ([(0, 1)], 0.9, False),
        ([(0, 1)], 1, True),
        ([(0, 1), (24, 25)], 24.5, True),  # the next night
        ([(0, 1), (24, 25)], 26, True),
        ([(0, 1), (0.9, 3)], 2, False),  # extended
        ([(0, 1), (0.9, 3), (3, 4)], 3.5, False),
        ([(0, 1), (0.9, 3), (3, 4)], 4, True),
        ([(-2, -1), (2, 3)], 4, False),  # it was not placed in a window
        ([], 1, False),
    ],
)
def test_a_hold_is_left_over_once(
    spans: list[tuple[float, float]], now: float, *, left: bool
) -> None:
    """From the end of its maintenance on: a later window does not hide it, to report it again."""
    placed = NOW + HOUR / 2
    windows = [window(begins_at=NOW + a * HOUR, ends_at=NOW + b * HOUR) for a, b in spans]
    for target in ("alpha", None):
        found = [replace(planned, target=target) for planned in windows]
        assert outlasts(found, "alpha", placed, NOW + now * HOUR) is left
    assert not outlasts(windows, "beta", placed, NOW + now * HOUR)
