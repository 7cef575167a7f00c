"""Which leaks the memory trend finds, after how long, and what it takes for one and is none.

Each scenario is a week of a process that has 150 MB, under noise of three kinds (slow drift, small
jitter, short peaks), judged every ten minutes as the watcher does. `found` counts the seeds in
which a leak was suspected at any time of the week. Run with `python -m tests.bench.leaks`.
"""

import argparse
import math
import random
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.bench.say import say
from trading_ops.instrument.watchers.memory_trend import HOUR, MemoryTrend

MB = 1e6
DAY = 24 * HOUR
STEP = 600.0
BASE = 150 * MB
DAYS = 7

Shape = Callable[[float], float]
"""Bytes above the base at a time in seconds."""


@dataclass(frozen=True)
class Scenario:
    """One way in which memory moves."""

    name: str
    leaks: bool
    make: Callable[[random.Random], Shape]
    begins: float = 0.0
    """Of the leak, in seconds after the start."""

    asked: bool = True
    """False: shown for honesty, as what the rule cannot tell apart for certain."""


def leak(rate: float, begins: float = 0.0) -> Callable[[random.Random], Shape]:
    """So many MB an hour."""
    return lambda _: lambda at: rate * MB * max(0.0, at - begins) / HOUR


def leak_and(rate: float, other: Callable[[random.Random], Shape]) -> Callable[..., Shape]:
    """So many MB an hour beside something else."""

    def make(rng: random.Random) -> Shape:
        shape = other(rng)
        return lambda at: rate * MB * at / HOUR + shape(at)

    return make


def warm_up(low: float, high: float) -> Callable[[random.Random], Shape]:
    """Grow by 30 to 150 %, ever more slowly, with a time constant of so many hours."""

    def make(rng: random.Random) -> Shape:
        height, constant = rng.uniform(0.3, 1.5) * BASE, rng.uniform(low, high) * HOUR
        return lambda at: height * (1 - math.exp(-at / constant))

    return make


def daily(rng: random.Random) -> Shape:
    """Rise and fall by 10 to 40 % with the day."""
    height, phase = rng.uniform(0.1, 0.4) * BASE, rng.uniform(0, math.tau)
    return lambda at: height / 2 * (1 + math.sin(math.tau * at / DAY + phase))


def saw_tooth(low: float, high: float) -> Callable[[random.Random], Shape]:
    """Fill by 20 to 100 MB within so many hours and fall back at once."""

    def make(rng: random.Random) -> Shape:
        period, height = rng.uniform(low, high) * HOUR, rng.uniform(20, 100) * MB
        phase = rng.uniform(0, period)
        return lambda at: height * ((at + phase) % period) / period

    return make


def steps(rng: random.Random) -> Shape:
    """One to three steps of 10 to 60 MB, at any time of the week."""
    rises = [
        (rng.uniform(0, DAYS * DAY), rng.uniform(10, 60) * MB) for _ in range(rng.randint(1, 3))
    ]
    return lambda at: sum(height for when, height in rises if at >= when)


SCENARIOS = (
    Scenario("leak of 1 MB/h", leaks=True, make=leak(1)),
    Scenario("leak of 5 MB/h", leaks=True, make=leak(5)),
    Scenario("leak of 20 MB/h", leaks=True, make=leak(20)),
    Scenario("5 MB/h and a daily cycle", leaks=True, make=leak_and(5, daily)),
    Scenario("5 MB/h after a warm-up", leaks=True, make=leak_and(5, warm_up(1, 8))),
    Scenario("5 MB/h from the third day", leaks=True, make=leak(5, 3 * DAY), begins=3 * DAY),
    Scenario("warm-up, 1-8 h", leaks=False, make=warm_up(1, 8)),
    Scenario("daily cycle", leaks=False, make=daily),
    Scenario("saw-tooth, 0.5-8 h", leaks=False, make=saw_tooth(0.5, 8)),
    Scenario("steps", leaks=False, make=steps),
    Scenario("noise alone", leaks=False, make=lambda _: lambda _at: 0.0),
    Scenario("slow warm-up, 8-24 h", leaks=False, make=warm_up(8, 24), asked=False),
    Scenario("slow saw-tooth, 8-24 h", leaks=False, make=saw_tooth(8, 24), asked=False),
)


def noise(rng: random.Random) -> Iterator[float]:
    """Yield drift (2 MB, over 2 h), jitter (1 MB) and peaks (10 MB, one sample in fifty)."""
    kept, drift = math.exp(-STEP / (2 * HOUR)), 0.0
    while True:
        drift = kept * drift + rng.gauss(0, 2 * MB * math.sqrt(1 - kept * kept))
        peak = rng.expovariate(1 / (10 * MB)) if rng.random() < 0.02 else 0.0
        yield drift + abs(rng.gauss(0, MB)) + peak


def readings(scenario: Scenario, seed: int, days: float = DAYS) -> Iterator[tuple[float, float]]:
    """Yield seconds since the start and bytes; the same for the same seed, everywhere."""
    rng = random.Random(f"{scenario.name} {seed}")
    shape, disturbance = scenario.make(rng), noise(rng)
    for index in range(int(days * DAY / STEP)):
        yield index * STEP, BASE + shape(index * STEP) + next(disturbance)


def suspected_at(scenario: Scenario, seed: int, days: float = DAYS) -> float | None:
    """Return when a leak was first suspected, in seconds since the start, or None."""
    memory = MemoryTrend(bin_seconds=STEP)
    for at, size in readings(scenario, seed, days):
        memory.add(at, size)
        if memory.suspected:
            return at
    return None


def show(scenario: Scenario, seeds: int) -> None:
    """Print one line of the table."""
    moments = [suspected_at(scenario, seed) for seed in range(seeds)]
    found = [(moment - scenario.begins) / HOUR for moment in moments if moment is not None]
    after = f"{statistics.median(found):>6.1f} h {max(found):>8.1f} h" if found else ""
    kind = "leak" if scenario.leaks else "none" if scenario.asked else "none *"
    say(f"{scenario.name:<27}{kind:<8}{len(found):>4} of {seeds:<5}{after}")


def cost() -> tuple[float, float]:
    """Return the mean processor seconds of a reading that ends a bin, and of one that does not."""
    memory = MemoryTrend(bin_seconds=STEP)
    for at, size in readings(SCENARIOS[1], 0, days=3.5):
        memory.add(at, size)
    count, at = 200, 4 * DAY
    began = time.process_time()
    for index in range(count):
        memory.add(at + index * STEP, 3 * BASE + index * MB)
    judged = time.process_time()
    for _ in range(count):
        memory.add(at + count * STEP, 4 * BASE)
    return (judged - began) / count, (time.process_time() - judged) / count


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=100)
    seeds = parser.parse_args().seeds
    say(f"a week of a process that has {BASE / MB:g} MB, {seeds} seeds each")
    say("scenario                   truth   suspected     after: median  longest")
    for scenario in SCENARIOS:
        show(scenario, seeds)
    say("* not reliably distinguished within a week: see docs/watchers.md")
    judged, kept = cost()
    say(f"cost: {judged * 1e6:.0f} us every {STEP / 60:g} min, {kept * 1e6:.1f} us a reading")


if __name__ == "__main__":
    main()
