"""Memory leak detection over samples of a process's memory; no clock and no I/O.

A rise alone is not a leak: a warm-up, a daily cycle, a cache that fills and is emptied, and a
module that was loaded late all rise. They are excluded step by step:

1. The time after the start is dropped, and the rest is split into blocks of which only the minimum
   counts: memory that is freed within a block is ignored.
2. The slope is the median of the slopes of all pairs of blocks (Theil-Sen), robust to outliers.
3. The growth must be significant: large enough, well above the residuals, and in the same direction
   for most pairs (Mann-Kendall).
4. It must remain without its few largest single rises (otherwise they were steps), and continue in
   the second half of the window (otherwise it was a warm-up).
5. All conditions must hold for hours.

A daily cycle looks like a leak until two days were observed. Before that, only growth by half of
the initial memory counts.
"""

import math
import statistics
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations, pairwise
from typing import NamedTuple

HOUR = 3600.0


class MemorySample(NamedTuple):
    """The memory at one moment, or the minimum within a bin."""

    at: float
    """Seconds since the process started."""

    size: float
    """Bytes."""


class MemoryVerdict(StrEnum):
    """Verdict on the samples."""

    TOO_EARLY = "too_early"
    """There are not enough samples."""

    SMALL = "small"
    """The growth is too small to matter, or no larger than the noise."""

    UNSTEADY = "unsteady"
    """Too many blocks go in the other direction."""

    STEPS = "steps"
    """Most of the growth is a few single rises."""

    SLOWING = "slowing"
    """It does not continue: a warm-up."""

    GROWING = "growing"
    """None of the above: a suspected leak."""


@dataclass(frozen=True, kw_only=True)
class TrendRule:
    """Thresholds; `tests.bench.leaks` measures the defaults."""

    warm_up_share: float = 0.2
    """Share of the process's age that is dropped after its start..."""

    warm_up_seconds: float = 12 * HOUR
    """...at most this long."""

    window_seconds: float = 72 * HOUR
    """Older samples are ignored, so that a leak that starts later is found too."""

    blocks: int = 24
    early_seconds: float = 8 * HOUR
    """Minimum length of a window, for the coarse threshold."""

    early_growth: float = 0.5
    """The coarse threshold: growth over the window, as a share of the memory at its start."""

    full_seconds: float = 48 * HOUR
    """From this length on the fine threshold applies: two days show the daily cycle."""

    full_growth: float = 0.05
    noise_factor: float = 4.0
    """Minimum growth, in median absolute deviations of the residuals."""

    certainty: float = 2.33
    """Minimum Mann-Kendall z score: by chance reached once in a hundred independent windows."""

    steps: int = 3
    """Number of largest single rises to exclude..."""

    rest: float = 0.5
    """...and the share of the growth that must remain."""

    late: float = 0.7
    """Minimum slope of the second half, as a share of the whole window's."""

    hold_seconds: float = 3 * HOUR
    """How long a verdict must last before the suspicion changes."""


@dataclass(frozen=True, kw_only=True)
class Trend:
    """Result for a window of samples."""

    verdict: MemoryVerdict
    observed_seconds: float
    """Length of the window, without the warm-up."""

    slope: float | None = None
    """Bytes per second; None when it is too early."""

    growth: float = 0.0
    """Growth over the window according to the slope, in bytes."""

    base: float = 0.0
    """Memory at the window's start according to the slope, in bytes."""

    noise: float = 0.0
    """Median absolute deviation from the slope, in bytes."""


class Blocks:
    """The minima of a window's blocks, and statistics over all pairs of them."""

    def __init__(self, minima: Sequence[MemorySample]) -> None:
        """Compute the slopes; needs at least three minima, oldest first."""
        self.minima = minima
        slopes = [(b.size - a.size) / (b.at - a.at) for a, b in combinations(minima, 2)]
        self.slope = statistics.median(slopes)
        self._balance = sum((slope > 0) - (slope < 0) for slope in slopes)

    @property
    def growth(self) -> float:
        """Return the slope over the whole length."""
        return self.slope * (self.minima[-1].at - self.minima[0].at)

    def fit(self) -> tuple[float, float]:
        """Return the level at the start and the median absolute deviation from the slope."""
        start = self.minima[0].at
        levels = [minimum.size - self.slope * (minimum.at - start) for minimum in self.minima]
        base = statistics.median(levels)
        return base, statistics.median(abs(level - base) for level in levels)

    def certainty(self) -> float:
        """Return the Mann-Kendall z score of the number of rising pairs."""
        count = len(self.minima)
        deviation = math.sqrt(count * (count - 1) * (2 * count + 5) / 18)
        sign = (self._balance > 0) - (self._balance < 0)
        return (self._balance - sign) / deviation

    def without_rises(self, count: int) -> "Blocks":
        """Return the blocks without their largest single rises."""
        rises = [max(0.0, b.size - a.size) for a, b in pairwise(self.minima)]
        largest = sorted(range(len(rises)), key=rises.__getitem__)[-count:]
        taken, kept = 0.0, [self.minima[0]]
        for index, block in enumerate(self.minima[1:]):
            taken += rises[index] if index in largest else 0.0
            kept.append(MemorySample(block.at, block.size - taken))
        return Blocks(kept)

    def late(self) -> "Blocks":
        """Return the second half."""
        return Blocks(self.minima[len(self.minima) // 2 :])


def judge(samples: Sequence[MemorySample], rule: TrendRule) -> Trend:
    """Return the trend of one process's samples, oldest first."""
    window = _window(samples, rule)
    length = window[-1].at - window[0].at if window else 0.0
    minima = _minima(window, rule.blocks) if length >= rule.early_seconds else []
    if len(minima) < rule.blocks:  # too short, or with gaps: the process was stopped for a while
        return Trend(verdict=MemoryVerdict.TOO_EARLY, observed_seconds=length)
    blocks = Blocks(minima)
    base, noise = blocks.fit()
    share = rule.full_growth if length >= rule.full_seconds else rule.early_growth
    return Trend(
        verdict=_verdict(blocks, max(share * base, rule.noise_factor * noise), rule),
        observed_seconds=length,
        slope=blocks.slope,
        growth=blocks.growth,
        base=base,
        noise=noise,
    )


def _window(samples: Sequence[MemorySample], rule: TrendRule) -> list[MemorySample]:
    if not samples:
        return []
    age = samples[-1].at
    begin = max(min(rule.warm_up_share * age, rule.warm_up_seconds), age - rule.window_seconds)
    return [sample for sample in samples if sample.at >= begin]


def _minima(window: Sequence[MemorySample], count: int) -> list[MemorySample]:
    """Return the minimum of each block, at the block's middle; empty blocks are skipped."""
    start, length = window[0].at, (window[-1].at - window[0].at) / count
    least: dict[int, float] = {}
    for at, size in window:
        index = min(count - 1, int((at - start) / length))
        least[index] = min(size, least.get(index, size))
    return [MemorySample(start + (index + 0.5) * length, least[index]) for index in sorted(least)]


def _verdict(blocks: Blocks, least_growth: float, rule: TrendRule) -> MemoryVerdict:
    if blocks.growth <= least_growth:
        return MemoryVerdict.SMALL
    if blocks.certainty() <= rule.certainty:
        return MemoryVerdict.UNSTEADY
    if blocks.without_rises(rule.steps).growth < rule.rest * blocks.growth:
        return MemoryVerdict.STEPS
    if blocks.late().slope < rule.late * blocks.slope:
        return MemoryVerdict.SLOWING
    return MemoryVerdict.GROWING


class MemoryTrend:
    """Keeps the samples of one process as minima of bins, and evaluates each complete bin.

    With the defaults it keeps about 430 numbers and needs half a millisecond every ten minutes.
    """

    def __init__(self, rule: TrendRule | None = None, *, bin_seconds: float = 600.0) -> None:
        """Start without samples."""
        self.rule = rule or TrendRule()
        self._bin = bin_seconds
        self._bins: deque[MemorySample] = deque(
            maxlen=int(self.rule.window_seconds / bin_seconds) + 1
        )
        self._open: MemorySample | None = None
        self._contradicted_at: float | None = None
        self.trend = Trend(verdict=MemoryVerdict.TOO_EARLY, observed_seconds=0.0)
        self.suspected = False

    def add(self, at: float, size: float) -> None:
        """Add one reading.

        Args:
            at: seconds since the start of the process, not decreasing.
            size: bytes.
        """
        start = at - at % self._bin
        if self._open is not None and start > self._open.at:
            self._bins.append(self._open)
            self._open = None
            self.trend = judge(tuple(self._bins), self.rule)
            self._suspect(at)
        least = size if self._open is None else min(size, self._open.size)
        self._open = MemorySample(start, least)

    def _suspect(self, at: float) -> None:
        if (self.trend.verdict is MemoryVerdict.GROWING) == self.suspected:
            self._contradicted_at = None
            return
        if self._contradicted_at is None:
            self._contradicted_at = at
        if at - self._contradicted_at >= self.rule.hold_seconds:
            self.suspected, self._contradicted_at = not self.suspected, None
