"""How well capacity forecasts hold: 30 days of generated history, and what then really happens.

Each shape is generated with several seeds. The forecast sees the first 30 days, one sample an hour;
the actual day is when the series itself, continued, first reaches the limit. Shapes that never
reach it must get the answer that they do not. Run with `python -m tests.bench.capacity`.
"""

import argparse
import math
import random
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.bench.say import say
from trading_ops.capacity.forecast import DAY, days_to, usage

HISTORY_DAYS = 30
STEP = 3600.0
FARTHEST_DAYS = 1000
LIMIT = 100.0

Curve = Callable[[float], float]
"""A share of the limit in percent, by the time in days since the beginning."""


def flat(rng: random.Random) -> Curve:
    """Nothing but noise."""
    return lambda _: 50 + rng.gauss(0, 2)


def linear(rng: random.Random) -> Curve:
    """The same amount each day."""
    pace = rng.uniform(0.4, 1.5)
    return lambda at: 20 + pace * at + rng.gauss(0, 0.2)


def daily_cycle(rng: random.Random) -> Curve:
    """Growth under a cycle of a day that is larger than the growth of a week."""
    pace, height = rng.uniform(0.4, 1.2), rng.uniform(5, 15)
    return lambda at: 20 + pace * at + height * math.sin(math.tau * at) + rng.gauss(0, 0.5)


def cycle_only(rng: random.Random) -> Curve:
    """A cycle of a day without growth."""
    height = rng.uniform(5, 30)
    return lambda at: 50 + height * math.sin(math.tau * at) + rng.gauss(0, 1)


def sawtooth(rng: random.Random) -> Curve:
    """Growth under logs that are rotated away every 7 hours to 3 days."""
    pace, height, period = rng.uniform(0.5, 1.2), rng.uniform(3, 8), rng.uniform(0.3, 3)
    return lambda at: 20 + pace * at + height * (at % period) / period + rng.gauss(0, 0.2)


def rotation_only(rng: random.Random) -> Curve:
    """Logs that are rotated away, and nothing else."""
    height, period = rng.uniform(10, 40), rng.uniform(0.3, 3)
    return lambda at: 30 + height * (at % period) / period + rng.gauss(0, 0.2)


def step(rng: random.Random) -> Curve:
    """Growth, and one large import."""
    pace, day, height = rng.uniform(0.4, 1), rng.uniform(5, 25), rng.uniform(10, 25)
    return lambda at: 20 + pace * at + (height if at > day else 0) + rng.gauss(0, 0.3)


def step_only(rng: random.Random) -> Curve:
    """One large import, and no growth."""
    day, height = rng.uniform(5, 25), rng.uniform(10, 40)
    return lambda at: 30 + (height if at > day else 0) + rng.gauss(0, 0.5)


def noisy(rng: random.Random) -> Curve:
    """Growth under noise of many days' growth, and rare peaks."""
    pace = rng.uniform(0.5, 1.2)

    def curve(at: float) -> float:
        peak = 15 if rng.random() < 0.002 else 0
        return 20 + pace * at + rng.gauss(0, 3) + peak

    return curve


GROWING = {
    "linear": linear,
    "daily cycle": daily_cycle,
    "sawtooth": sawtooth,
    "step": step,
    "noisy": noisy,
}
STEADY = {
    "flat": flat,
    "cycle, no growth": cycle_only,
    "rotation, no growth": rotation_only,
    "step, no growth": step_only,
}


@dataclass(frozen=True, kw_only=True)
class Result:
    """One forecast and what happened."""

    predicted: float | None
    earliest: float | None
    latest: float | None
    actual: float | None

    @property
    def error(self) -> float:
        """The error as a share of the actual days; a wrong yes or no is one."""
        if self.predicted is None or self.actual is None:
            return 0.0 if self.predicted is self.actual else 1.0
        return abs(self.predicted - self.actual) / self.actual

    @property
    def covered(self) -> bool:
        """Whether the interval has it."""
        if self.actual is None:
            return self.predicted is None
        low, high = self.earliest or 0.0, self.latest
        return low <= self.actual and (high is None or self.actual <= high)


def forecast(make: Callable[[random.Random], Curve], seed: int) -> Result:
    """Forecast one series, and continue it until it is full."""
    curve = make(random.Random(seed))
    count = int(HISTORY_DAYS * DAY / STEP)
    samples = [(number * STEP, curve(number * STEP / DAY)) for number in range(count)]
    end = samples[-1][0]
    used = usage(samples, end=end, step=STEP)
    assert used is not None
    found = days_to(LIMIT, used)
    actual = next(
        (
            (number * STEP - end) / DAY
            for number in range(count, int(FARTHEST_DAYS * DAY / STEP))
            if curve(number * STEP / DAY) >= LIMIT
        ),
        None,
    )
    return Result(
        predicted=found.expected, earliest=found.earliest, latest=found.latest, actual=actual
    )


def results(seeds: int) -> Iterator[tuple[str, list[Result]]]:
    """Yield each shape with its forecasts."""
    for name, make in {**GROWING, **STEADY}.items():
        yield name, [forecast(make, seed) for seed in range(seeds)]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=40, help="series of each shape")
    seeds = parser.parse_args().seeds
    say(f"{'shape':<20} {'actual':>7} {'predicted':>9} {'median':>7} {'p90':>6} {'covered':>8}")
    say(f"{'':<20} {'days':>7} {'days':>9} {'error':>7} {'error':>6} {'':>8}")
    growing: list[float] = []
    everything: list[float] = []
    for name, found in results(seeds):
        actual = [forecast.actual for forecast in found if forecast.actual is not None]
        predicted = [forecast.predicted for forecast in found if forecast.predicted is not None]
        errors = sorted(forecast.error for forecast in found)
        everything += errors
        growing += errors if name in GROWING else []
        covered = sum(forecast.covered for forecast in found)
        say(
            f"{name:<20} {_median(actual):>7} {_median(predicted):>9}"
            f" {statistics.median(errors):>7.1%} {errors[int(0.9 * (seeds - 1))]:>6.1%}"
            f" {covered:>4}/{seeds}"
        )
    say(f"median error of the {len(growing)} that grow: {statistics.median(growing):.1%}")
    say(f"median error of all {len(everything)}: {statistics.median(everything):.1%}")


def _median(days: list[float]) -> str:
    return f"{statistics.median(days):.1f}" if days else "never"


if __name__ == "__main__":
    main()
