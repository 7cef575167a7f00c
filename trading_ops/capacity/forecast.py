"""Computes usage (current, p95, peak), growth, and days to a limit from the samples of a series."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from trading_ops.capacity.trend import GrowthFinding, GrowthTrend, Point, trend

DAY = 86400.0
WEEK_DAYS = 7
FULL_DAY_SHARE = 0.5
"""A day counts if at least this share of it was measured."""

FARTHEST_DAYS = 3650.0
"""Maximum horizon of a forecast."""


NOISE_FACTOR = 3.0
"""The interval is this multiple of the noise at the threshold."""

PEAK_DAYS = 1.0
"""Added for the time of day of the peak."""


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Usage of one series over the week, and its trend over the whole window."""

    now: float
    p95: float
    """By the nearest-rank method."""

    peak: float
    trend: GrowthTrend


@dataclass(frozen=True, kw_only=True)
class Days:
    """Days until a threshold is reached; None: more than ten years."""

    expected: float | None
    earliest: float | None
    latest: float | None


NEVER = Days(expected=None, earliest=None, latest=None)


def usage(samples: Sequence[Point], *, end: float, step: float) -> Usage | None:
    """Return the usage for samples (seconds since the epoch, value); None without a recent one.

    Args:
        samples: oldest first.
        end: now, in seconds since the epoch.
        step: seconds between two samples.
    """
    known = [(at, value) for at, value in samples if math.isfinite(value)]
    if not known or end - known[-1][0] > 2 * step:
        return None
    week = sorted(value for at, value in known if end - at <= WEEK_DAYS * DAY)
    days = daily_peaks(known, end=end, step=step)
    return Usage(
        now=known[-1][1],
        p95=week[math.ceil(0.95 * len(week)) - 1],
        peak=week[-1],
        trend=trend(days or [((known[-1][0] - end) / DAY, known[-1][1])]),
    )


def daily_peaks(samples: Sequence[Point], *, end: float, step: float) -> list[Point]:
    """Return the peak of each day before `end`: time in days from `end`, and value."""
    days: dict[int, list[Point]] = {}
    for at, value in samples:
        days.setdefault(math.floor((end - at) / DAY), []).append(((at - end) / DAY, value))
    needed = FULL_DAY_SHARE * DAY / step
    # Use the newest of equal values: it is the current level of a growing series.
    return [
        max(points, key=lambda point: (point[1], point[0]))
        for _, points in sorted(days.items(), reverse=True)
        if len(points) >= needed
    ]


def days_to(threshold: float, used: Usage) -> Days:
    """Return when the daily peak reaches a threshold."""
    # The last sample may be from a quiet hour of a day whose peak is at the threshold.
    if max(used.now, used.trend.level) >= threshold:
        return Days(expected=0.0, earliest=0.0, latest=0.0)
    found = used.trend
    if found.finding is not GrowthFinding.GROWING:
        return NEVER
    margin = NOISE_FACTOR * found.noise

    def crossing(slope: float, ahead: float, later: float) -> float | None:
        if slope <= 0:
            return None
        days = max(found.last_day + ahead / slope + later, 0.0)
        return days if days <= FARTHEST_DAYS else None

    ahead = threshold - found.level
    return Days(
        expected=crossing(found.slope, ahead, 0.0),
        earliest=crossing(found.high, ahead - margin, -PEAK_DAYS),
        latest=crossing(found.low, ahead + margin, PEAK_DAYS),
    )
