"""What a process holds over the time of a soak, and whether it grew: memory, files, tasks, threads.

Memory is judged as `trading_ops.instrument.watchers.memory_trend` judges that of days, with lines
for half an hour: what comes before is warm-up, and of the rest a growth counts that is above a
share of what the process had and above the noise. Counts have no noise to speak of but come and go
with each request: of each quarter the least is taken.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from trading_ops.instrument.watchers.memory_trend import (
    HOUR,
    MemorySample,
    MemoryVerdict,
    Trend,
    TrendRule,
    judge,
)

WARM_UP = 0.25
"""Of a run that has no minutes for it."""

FINE_GROWTH = 0.02
"""Share of the memory at the window's start; in half an hour, with 100 MB, some 5 MB an hour."""

COARSE_GROWTH = 0.25
"""The same for runs that are too short to tell a leak from a warm-up."""

FINE_MINUTES = 20.0
BLOCKS, FEW_BLOCKS = 24, 8
NOISE_FACTOR = 4.0
SHORT_SECONDS = 300.0
SHORT_SLACK = 4
"""A quarter of a short run is over before what comes and goes has come and gone."""

COUNT_SLACK = 1
"""One more connection than in the first quarter may be open at the moment of the least."""

FLAT = frozenset({MemoryVerdict.SMALL, MemoryVerdict.UNSTEADY})
KIBI = 1024


def memory_of(pid: int) -> tuple[int, int]:
    """Return resident bytes of a process, and of these the anonymous ones.

    A page of a file that two processes have becomes the other's own when one of them ends: by
    unique bytes a process would grow that did nothing.
    """
    sizes: dict[str, int] = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines()[1:]:
        name, _, rest = line.partition(":")
        sizes[name] = int(rest.split()[0]) * KIBI
    return sizes["Rss"], sizes["Anonymous"]


def files_of(pid: int) -> int:
    """Return how many files and sockets a process has open."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def threads_of(pid: int) -> int:
    """Return how many threads a process has."""
    return sum(1 for _ in Path(f"/proc/{pid}/task").iterdir())


@dataclass
class Series:
    """Readings of one thing, in the order of time."""

    readings: list[MemorySample] = field(default_factory=list)
    warm_up: float = WARM_UP
    """Share of the run that is not judged."""

    def add(self, at: float, size: float) -> None:
        """Take a reading, at seconds since the start."""
        self.readings.append(MemorySample(at, size))

    def quarters(self) -> tuple[float, float]:
        """Return the least of the first quarter after the warm-up, and of the last quarter."""
        kept = after_warm_up(self.readings, self.warm_up)
        part = max(1, len(kept) // 4)
        return min(reading.size for reading in kept[:part]), min(
            reading.size for reading in kept[-part:]
        )

    @property
    def most(self) -> float:
        """Return the greatest reading."""
        return max(reading.size for reading in self.readings)


def after_warm_up(readings: Sequence[MemorySample], warm_up: float) -> Sequence[MemorySample]:
    """Return the readings that count."""
    return [reading for reading in readings if reading.at >= warm_up * readings[-1].at]


def rule_for(minutes: float, warm_up: float) -> TrendRule:
    """Return where the lines are for a run of so many minutes."""
    fine = minutes >= FINE_MINUTES
    return TrendRule(
        warm_up_share=warm_up,
        blocks=BLOCKS if fine else FEW_BLOCKS,
        early_seconds=0.0,
        full_seconds=0.0,
        full_growth=FINE_GROWTH if fine else COARSE_GROWTH,
        noise_factor=NOISE_FACTOR,
    )


@dataclass(frozen=True)
class Judged:
    """A line of the table, and whether it is as it should be."""

    line: str
    flat: bool


def judge_memory(name: str, series: Series, minutes: float) -> Judged:
    """Judge the slope of one process's memory."""
    rule = rule_for(minutes, series.warm_up)
    trend = judge(series.readings, rule)
    if trend.slope is None:
        return Judged(f"{name}: too few readings", flat=False)
    least = max(rule.full_growth * trend.base, rule.noise_factor * trend.noise)
    an_hour = HOUR / trend.observed_seconds
    line = (
        f"{name}: {series.readings[0].size / 1e6:.1f} MB at first, {trend.base / 1e6:.1f} after "
        f"the warm-up, {series.readings[-1].size / 1e6:.1f} at the end, most "
        f"{series.most / 1e6:.1f}; slope {trend.slope * HOUR:+,.0f} bytes/h "
        f"(counts from {least * an_hour:,.0f} on): {_verdict(trend)}"
    )
    return Judged(line, trend.verdict in FLAT)


def judge_count(name: str, series: Series) -> Judged:
    """Judge whether a count has grown."""
    first, last = series.quarters()
    short = series.readings[-1].at < SHORT_SECONDS
    flat = last <= first + (SHORT_SLACK if short else COUNT_SLACK)
    line = (
        f"{name}: least {first:.0f} in the first quarter, {last:.0f} in the last, "
        f"most {series.most:.0f}: {'flat' if flat else 'GROWS'}"
    )
    return Judged(line, flat)


def _verdict(trend: Trend) -> str:
    if trend.verdict in FLAT:
        return "flat"
    return f"NOT FLAT ({trend.verdict.value})"
