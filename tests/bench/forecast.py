"""How well the growth of each resource is forecast: predicted against actual days to full.

Each resource has the shape that its series usually have: a working week, rotation, steps, noise,
gaps. The forecast sees 14, 21 and 30 days of one sample an hour. The same shape without growth
must have no trend. Run with `python -m tests.bench.forecast`.
"""

import argparse
import math
import random
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.bench.say import say
from trading_ops.capacity.forecast import DAY, Usage, days_to, usage
from trading_ops.capacity.resources import NAMES
from trading_ops.capacity.trend import GrowthFinding

SEEN_DAYS = (14, 21, 30)
STEP = 3600.0
FARTHEST_DAYS = 400
LIMIT = 100.0
PACE = (0.5, 1.2)
"""Growth a day, in percent of the limit."""

WEEK = 7
WORKING_DAYS = 5

Curve = Callable[[float], float]
"""Percent of the limit by the time in days; NaN: no sample."""

Shape = Callable[[random.Random, float], Curve]
"""Makes a curve that grows by so much a day; 0: a steady one."""


def linear(rng: random.Random, pace: float) -> Curve:
    """Data that is written all day."""
    return lambda at: 20 + pace * at + rng.gauss(0, 0.2)


def noisy(rng: random.Random, pace: float) -> Curve:
    """Noise of several days' growth."""
    return lambda at: 20 + pace * at + rng.gauss(0, 2)


def daily(rng: random.Random, pace: float) -> Curve:
    """A cycle of a day."""
    height = rng.uniform(5, 15)
    return lambda at: 20 + pace * at + height * math.sin(math.tau * at) + rng.gauss(0, 0.5)


def weekly(rng: random.Random, pace: float) -> Curve:
    """A cycle of a day that is lower on two days of the week."""
    height, first = rng.uniform(5, 12), rng.randrange(WEEK)

    def curve(at: float) -> float:
        working = (math.floor(at) + first) % WEEK < WORKING_DAYS
        peak = height if working else height / 3
        return 20 + pace * at + peak * math.sin(math.tau * at) + rng.gauss(0, 0.5)

    return curve


def rotated(rng: random.Random, pace: float) -> Curve:
    """Filled and emptied every few hours to three days."""
    height, period = rng.uniform(3, 8), rng.uniform(0.3, 3)
    return lambda at: 20 + pace * at + height * (at % period) / period + rng.gauss(0, 0.2)


def stepped(rng: random.Random, pace: float) -> Curve:
    """A step every three to six days: a deployment, a symbol, a client more."""
    every = rng.uniform(3, 6)
    return lambda at: 20 + pace * every * math.floor(at / every) + rng.gauss(0, 0.2)


def imported(rng: random.Random, pace: float) -> Curve:
    """One large step, and growth before and after it."""
    day, height = rng.uniform(2, 13), rng.uniform(10, 20)
    return lambda at: 20 + pace * at + (height if at > day else 0) + rng.gauss(0, 0.3)


def gaps(rng: random.Random, pace: float) -> Curve:
    """Two outages of the monitoring, of one to four days each."""
    outages = [(day, day + rng.uniform(1, 4)) for day in (rng.uniform(1, 7), rng.uniform(15, 16.5))]

    def curve(at: float) -> float:
        value = 20 + pace * at + rng.gauss(0, 0.3)
        return math.nan if any(begin < at < end for begin, end in outages) else value

    return curve


def spikes(rng: random.Random, pace: float) -> Curve:
    """Rare peaks of a moment."""

    def curve(at: float) -> float:
        peak = rng.uniform(5, 15) if rng.random() < 0.004 else 0
        return 20 + pace * at + rng.gauss(0, 0.5) + peak

    return curve


SHAPES: dict[str, Shape] = {
    "cpu": weekly,
    "memory": noisy,
    "disk": rotated,
    "inodes": linear,
    "host-files": daily,
    "process-files": linear,
    "network": weekly,
    "logs": rotated,
    "postgresql-connections": stepped,
    "postgresql-size": gaps,
    "postgresql-transaction-ids": linear,
    "sqlite-size": imported,
    "bot-memory": noisy,
    "pool": stepped,
    "queue": spikes,
    "event-loop": spikes,
    "rate-limit": daily,
    "reconciler-queue": spikes,
    "prometheus-series": imported,
    "prometheus-disk": rotated,
}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One forecast, and what happened."""

    predicted: float | None
    actual: float

    @property
    def error(self) -> float:
        """As a share of the actual days; 1: no growth was found."""
        return 1.0 if self.predicted is None else abs(self.predicted - self.actual) / self.actual


def seen(curve: Curve, days: int) -> Usage:
    """Return what the forecast finds in the first days of a curve."""
    hours = range(int(days * DAY / STEP) + 1)
    samples = [(hour * STEP, curve(hour * STEP / DAY)) for hour in hours]
    found = usage(samples, end=samples[-1][0], step=STEP)
    assert found is not None
    return found


def outcome(shape: Shape, seed: int, days: int) -> Outcome:
    """Forecast a growing series, and continue it until it is full."""
    rng = random.Random(seed)
    curve = shape(rng, rng.uniform(*PACE))
    found = days_to(LIMIT, seen(curve, days))
    hours = range(1, int(FARTHEST_DAYS * DAY / STEP))
    full = next(hour for hour in hours if curve(days + hour * STEP / DAY) >= LIMIT)
    return Outcome(predicted=found.expected, actual=full * STEP / DAY)


def is_false_trend(shape: Shape, seed: int, days: int) -> bool:
    """Whether growth is found in a steady series."""
    return seen(shape(random.Random(seed), 0.0), days).trend.finding is GrowthFinding.GROWING


def cases(seeds: int) -> Iterator[tuple[int, int]]:
    """Yield each seed with each length of history."""
    yield from ((seed, days) for seed in range(seeds) for days in SEEN_DAYS)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20, help="series of each resource")
    seeds = parser.parse_args().seeds
    assert SHAPES.keys() == NAMES, "every resource has a shape"
    say("| resource | shape | actual | predicted | median error | p90 error | false trends |")
    say("|---|---|---|---|---|---|---|")
    errors: list[float] = []
    false = trendless = 0
    for number, (name, shape) in enumerate(SHAPES.items()):
        some = [(1000 * number + seed, days) for seed, days in cases(seeds)]
        found = [outcome(shape, seed, days) for seed, days in some]
        wrong = sum(is_false_trend(shape, seed, days) for seed, days in some)
        own = sorted(forecast.error for forecast in found)
        predicted = [forecast.predicted for forecast in found if forecast.predicted is not None]
        say(
            f"| `{name}` | {shape.__name__} | {statistics.median(f.actual for f in found):.1f}"
            f" | {statistics.median(predicted or [math.nan]):.1f}"
            f" | {statistics.median(own):.1%} | {own[int(0.9 * (len(own) - 1))]:.1%}"
            f" | {wrong} of {len(some)} |"
        )
        errors += own
        false += wrong
        trendless += len(some)
    say(f"median error of {len(errors)} forecasts: {statistics.median(errors):.1%}")
    say(f"false trends: {false} of {trendless} steady series, {false / trendless:.1%}")


if __name__ == "__main__":
    main()
