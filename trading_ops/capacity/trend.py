"""The growth of a series over days with a confidence interval, if it is significant.

The points are daily maxima, so a daily cycle or a sawtooth of less than a day is not a trend. The
slope is the Theil-Sen estimate, and its interval that of Sen (1968). A trend needs a Mann-Kendall
score beyond `SIGNIFICANT_Z`, at least `MIN_POINTS` points, and a growth over the whole span that
exceeds the noise. A step, such as a large import, splits the series: slopes are taken within
the parts only, so the step itself is not growth.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

MIN_POINTS = 6
"""With five points, no order has a score beyond `SIGNIFICANT_Z`."""

SIGNIFICANT_Z = 2.33
"""One-sided 1 %."""

CONFIDENCE_Z = 1.96
"""Of the 95 % interval."""

NOISE_FACTOR = 2.0
"""Minimum growth over the span, as a multiple of the median absolute deviation from the line."""

SPLIT_COST = 0.5
"""The series is split if the deviation from two lines is less than this share of that from one."""

NEGLIGIBLE_SHARE = 0.005
"""Growth over the span below this share of the level is ignored."""

Point = tuple[float, float]
"""Time in days, and value."""


class GrowthFinding(StrEnum):
    """Finding about the growth."""

    GROWING = "growing"
    SHRINKING = "shrinking"
    NO_TREND = "no_trend"
    TOO_SHORT = "too_short"
    """There are too few days of data."""


@dataclass(frozen=True, kw_only=True)
class GrowthTrend:
    """The growth of a series per day."""

    finding: GrowthFinding
    slope: float
    """Per day; 0 unless it grows or shrinks."""

    low: float
    high: float
    """The 95 % interval of the slope."""

    level: float
    """Value of the line at the last point; without a trend, the median of the last points."""

    noise: float
    """The median absolute deviation of the points from the line."""

    last_day: float
    """Time of the last point."""

    z: float
    """The Mann-Kendall score."""

    days: float
    """The span of the points."""

    stepped_at: float | None
    """Time of the first point after a step."""


def trend(points: Sequence[Point]) -> GrowthTrend:
    """Return the trend of points, oldest first; needs at least one."""
    if len(points) < MIN_POINTS:
        return _none(GrowthFinding.TOO_SHORT, points, 0.0)
    split = _split(points)
    parts = [points] if split is None else [points[:split], points[split:]]
    stepped_at = None if split is None else points[split][0]
    slopes = sorted(slope for part in parts for slope in _slopes(part))
    score, variance = _kendall(parts)
    z = _z(score, variance)
    slope = statistics.median(slopes)
    last = parts[-1]
    level = _intercept(last, slope, last[-1][0])
    growth = abs(slope) * (points[-1][0] - points[0][0])
    noise = statistics.median(
        abs(value - _intercept(part, slope, at)) for part in parts for at, value in part
    )
    small = max(NOISE_FACTOR * noise, NEGLIGIBLE_SHARE * abs(level))
    if abs(z) < SIGNIFICANT_Z or growth <= small:
        return _none(GrowthFinding.NO_TREND, last, z, stepped_at, slopes, variance)
    low, high = _interval(slopes, variance)
    return GrowthTrend(
        finding=GrowthFinding.GROWING if slope > 0 else GrowthFinding.SHRINKING,
        slope=slope,
        low=low,
        high=high,
        level=level,
        noise=noise,
        last_day=last[-1][0],
        z=z,
        days=points[-1][0] - points[0][0],
        stepped_at=stepped_at,
    )


def _none(
    finding: GrowthFinding,
    points: Sequence[Point],
    z: float,
    stepped_at: float | None = None,
    slopes: Sequence[float] = (),
    variance: float = 0.0,
) -> GrowthTrend:
    low, high = _interval(slopes, variance) if slopes else (0.0, 0.0)
    level = statistics.median(value for _, value in points[-MIN_POINTS:])
    return GrowthTrend(
        finding=finding,
        slope=0.0,
        low=low,
        high=high,
        level=level,
        noise=statistics.median(abs(value - level) for _, value in points),
        last_day=points[-1][0],
        z=z,
        days=points[-1][0] - points[0][0],
        stepped_at=stepped_at,
    )


def _slopes(points: Sequence[Point]) -> list[float]:
    return [
        (later - earlier) / (end - begin)
        for number, (begin, earlier) in enumerate(points)
        for end, later in points[number + 1 :]
    ]


def _intercept(points: Sequence[Point], slope: float, at: float) -> float:
    """Return the value at a time of the line with this slope through the points."""
    return statistics.median(value + slope * (at - when) for when, value in points)


def _kendall(parts: Sequence[Sequence[Point]]) -> tuple[float, float]:
    """Return the Mann-Kendall score and its variance, corrected for ties."""
    score = variance = 0.0
    for part in parts:
        values = [value for _, value in part]
        score += sum(
            (later > earlier) - (later < earlier)
            for number, earlier in enumerate(values)
            for later in values[number + 1 :]
        )
        ties = [values.count(value) for value in set(values)]
        variance += (_weight(len(values)) - sum(_weight(count) for count in ties)) / 18
    return score, variance


def _weight(count: int) -> float:
    return count * (count - 1) * (2 * count + 5)


def _z(score: float, variance: float) -> float:
    if variance <= 0 or score == 0:
        return 0.0
    return (score - math.copysign(1, score)) / math.sqrt(variance)


def _interval(slopes: Sequence[float], variance: float) -> tuple[float, float]:
    """Return the 95 % interval of the median of ordered slopes."""
    spread = CONFIDENCE_Z * math.sqrt(max(variance, 0.0))
    low = math.floor((len(slopes) - spread) / 2)
    high = math.ceil((len(slopes) + spread) / 2)
    return slopes[max(low, 0)], slopes[min(high, len(slopes) - 1)]


def _split(points: Sequence[Point]) -> int | None:
    """Return the index of the first point after a step, or None."""
    unsplit = _deviation([points])
    candidates = range(MIN_POINTS // 2, len(points) - MIN_POINTS // 2 + 1)
    cost, split = min((_deviation([points[:at], points[at:]]), at) for at in candidates)
    typical = statistics.median(abs(value) for _, value in points)
    is_straight = unsplit <= NEGLIGIBLE_SHARE * typical * len(points)
    return None if is_straight or cost >= SPLIT_COST * unsplit else split


def _deviation(parts: Sequence[Sequence[Point]]) -> float:
    """Return the sum of the absolute deviations from parallel lines, one for each part.

    The lines are parallel, so that a change of slope does not count as a step.
    """
    slope = statistics.median(slope for part in parts for slope in _slopes(part))
    return sum(abs(value - _intercept(part, slope, at)) for part in parts for at, value in part)
