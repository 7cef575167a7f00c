"""Growth with an interval, and when there is none to speak of."""

import math
import random
import statistics

import pytest

from tests.bench.capacity import GROWING, STEADY, forecast
from tests.bench.forecast import SHAPES, cases, is_false_trend, outcome
from trading_ops.capacity.forecast import DAY, daily_peaks, days_to, usage
from trading_ops.capacity.resources import NAMES
from trading_ops.capacity.trend import GrowthFinding, trend

HOUR = 3600.0


def line(count: int, slope: float, noise: float = 0.0) -> list[tuple[float, float]]:
    """Return one point a day."""
    rng = random.Random(1)
    return [(float(day), 10 + slope * day + rng.gauss(0, noise)) for day in range(count)]


def test_the_slope_and_its_interval_contain_the_truth() -> None:
    """A line under noise."""
    found = trend(line(30, 2.0, noise=3.0))
    assert found.finding is GrowthFinding.GROWING
    assert found.low <= 2.0 <= found.high
    assert found.low < found.slope < found.high
    assert found.slope == pytest.approx(2.0, abs=0.2)


def test_it_equals_the_median_of_all_slopes() -> None:
    """The definition of Theil and Sen, on points small enough to do manually."""
    points = [(0.0, 1.0), (1.0, 3.0), (2.0, 4.0), (3.0, 7.0), (4.0, 9.0), (5.0, 10.0)]
    slopes = [(b - a) / (t - s) for i, (s, a) in enumerate(points) for t, b in points[i + 1 :]]
    assert trend(points).slope == pytest.approx(statistics.median(slopes))


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        (line(5, 5.0), GrowthFinding.TOO_SHORT),
        (line(6, 5.0), GrowthFinding.GROWING),
        (line(30, -1.0), GrowthFinding.SHRINKING),
        (line(30, 0.0), GrowthFinding.NO_TREND),
        (line(30, 0.0, noise=2.0), GrowthFinding.NO_TREND),
        # Grows each day, but not enough to matter: half a percent in a month is none.
        (line(30, 0.001), GrowthFinding.NO_TREND),
        ([(0.0, 5.0)], GrowthFinding.TOO_SHORT),
    ],
)
def test_findings(points: list[tuple[float, float]], expected: GrowthFinding) -> None:
    """Too few days, growth, shrinking, and no trend; without one the slope is zero."""
    found = trend(points)
    assert found.finding is expected
    assert (found.slope != 0) == (expected in {GrowthFinding.GROWING, GrowthFinding.SHRINKING})


def test_a_step_is_no_growth() -> None:
    """The level after it counts, and its day is known."""
    points = [(float(day), 30.0 + (40 if day >= 20 else 0) + 0.1 * (day % 3)) for day in range(30)]
    found = trend(points)
    assert found.finding is GrowthFinding.NO_TREND
    assert found.stepped_at == 20.0
    assert found.level == pytest.approx(70, abs=1)


def test_a_missing_day_is_left_out_and_old_data_is_unknown() -> None:
    """A day with few samples has no peak; a series that ended has no figures."""
    end = 10 * DAY
    samples = [(hour * HOUR, 1.0) for hour in range(241)]
    with_gap = [(at, value) for at, value in samples if not 3 * DAY < at <= 3.8 * DAY]
    assert len(daily_peaks(samples, end=end, step=HOUR)) == 10
    assert len(daily_peaks(with_gap, end=end, step=HOUR)) == 9
    assert usage(samples, end=end + 3 * HOUR, step=HOUR) is None
    assert usage([], end=end, step=HOUR) is None
    assert usage([(end, math.nan)], end=end, step=HOUR) is None


def test_a_reached_threshold_is_zero_days_away() -> None:
    """Whatever the trend is."""
    samples = [(hour * HOUR, 50.0) for hour in range(241)]
    used = usage(samples, end=240 * HOUR, step=HOUR)
    assert used is not None
    assert days_to(50, used).expected == 0
    assert days_to(51, used).expected is None


def test_a_resource_that_is_full_each_day_is_full_now() -> None:
    """A pool that is in use at noon only: the last sample is not the daily peak."""
    samples = [(hour * HOUR, 50.0 if hour % 24 == 12 else 5.0) for hour in range(241)]
    used = usage(samples, end=240 * HOUR, step=HOUR)
    assert used is not None
    assert used.now == 5
    assert days_to(50, used).expected == 0
    assert days_to(51, used).expected is None


@pytest.mark.parametrize("shape", GROWING)
def test_forecasts_of_what_grows(shape: str) -> None:
    """The median error over 30 days of history is at most 15 %."""
    found = [forecast(GROWING[shape], seed) for seed in range(5)]
    assert statistics.median(forecast.error for forecast in found) <= 0.15


@pytest.mark.parametrize("shape", STEADY)
def test_forecasts_of_what_does_not_grow(shape: str) -> None:
    """Cycles, rotation and a step are not taken for growth."""
    found = [forecast(STEADY[shape], seed) for seed in range(3)]
    assert [forecast.predicted for forecast in found] == [None, None, None]


@pytest.mark.parametrize("resource", sorted(NAMES))
def test_forecasts_of_each_resource(resource: str) -> None:
    """The median error after two, three and four weeks is at most 15 %."""
    found = [outcome(SHAPES[resource], seed, days) for seed, days in cases(5)]
    assert statistics.median(forecast.error for forecast in found) <= 0.15


def test_shapes_without_growth_rarely_seem_to_grow() -> None:
    """The test for a trend has a significance of 1 %."""
    found = [
        is_false_trend(shape, seed, days) for shape in SHAPES.values() for seed, days in cases(3)
    ]
    assert sum(found) <= 0.05 * len(found)
