"""A leak is found, and what only looks like one is not: seeded simulations, and each gate alone."""

import random
from itertools import pairwise

import pytest

from tests.bench.leaks import MB, SCENARIOS, STEP, Scenario, suspected_at
from trading_ops.instrument.watchers.memory_trend import (
    HOUR,
    Blocks,
    MemorySample,
    MemoryTrend,
    MemoryVerdict,
    TrendRule,
    judge,
)

SEEDS = range(3)
RULE = TrendRule()
LEAKS = [scenario for scenario in SCENARIOS if scenario.leaks]
HARMLESS = [scenario for scenario in SCENARIOS if not scenario.leaks and scenario.asked]


def line(hours: float, rate: float = 0.0, base: float = 150 * MB) -> list[MemorySample]:
    """Return samples that grow by so many MB an hour."""
    count = int(hours * HOUR / STEP)
    return [MemorySample(i * STEP, base + rate * MB * i * STEP / HOUR) for i in range(count)]


@pytest.mark.parametrize("scenario", LEAKS, ids=lambda scenario: scenario.name)
def test_leak_is_found(scenario: Scenario) -> None:
    """Within five days for every seed, whatever else memory does meanwhile."""
    for seed in SEEDS:
        at = suspected_at(scenario, seed, days=5)
        assert at is not None
        assert at > scenario.begins


@pytest.mark.parametrize("scenario", HARMLESS, ids=lambda scenario: scenario.name)
def test_what_is_no_leak_is_not_suspected(scenario: Scenario) -> None:
    """Never within a week."""
    assert [suspected_at(scenario, seed) for seed in SEEDS] == [None] * len(SEEDS)


def test_trend_reports_slope_growth_and_base() -> None:
    """Of a straight line without noise the figures are exact."""
    trend = judge(line(72, rate=5), RULE)
    assert trend.verdict is MemoryVerdict.GROWING
    assert trend.slope == pytest.approx(5 * MB / HOUR, rel=0.01)
    assert trend.observed_seconds == pytest.approx(60 * HOUR, abs=STEP)
    # The first of the 24 blocks' minima is at the block's start, half a block before its middle.
    assert trend.growth == pytest.approx(5 * MB * 60 * 23 / 24, rel=0.01)
    assert trend.base == pytest.approx(150 * MB + 60 * MB, rel=0.01)
    assert trend.noise < MB


def test_least_window_is_eight_hours_after_the_warm_up() -> None:
    """Before it nothing is reported, not even a steep rise."""
    early = judge(line(9.9, rate=50), RULE)
    assert (early.verdict, early.slope) == (MemoryVerdict.TOO_EARLY, None)
    assert judge(line(10.2, rate=50), RULE).verdict is MemoryVerdict.GROWING
    assert judge([], RULE).verdict is MemoryVerdict.TOO_EARLY


def test_hole_in_the_samples_is_too_early() -> None:
    """A process that was stopped for most of the window is not judged by what is left."""
    samples = line(72, rate=5)
    assert judge(samples[:100] + samples[-20:], RULE).verdict is MemoryVerdict.TOO_EARLY


def test_less_than_two_days_need_a_growth_by_half() -> None:
    """The coarse gate holds until the window shows what the daily cycle is."""
    assert judge(line(30, rate=2), RULE).verdict is MemoryVerdict.SMALL
    assert judge(line(30, rate=5), RULE).verdict is MemoryVerdict.GROWING
    assert judge(line(61, rate=2), RULE).verdict is MemoryVerdict.GROWING
    assert judge(line(61, rate=0.1), RULE).verdict is MemoryVerdict.SMALL


def test_shrinking_is_small() -> None:
    """A fall is not a leak."""
    assert judge(line(72, rate=-1), RULE).verdict is MemoryVerdict.SMALL


def test_single_large_rises_are_steps() -> None:
    """Three rises within three days, flat in between."""
    samples = [
        MemorySample(at, size + 40 * MB * sum(at >= hour * HOUR for hour in (25, 40, 55)))
        for at, size in line(72, rate=0.01)
    ]
    assert judge(samples, RULE).verdict is MemoryVerdict.STEPS


def test_growth_that_comes_to_an_end_is_slowing() -> None:
    """What rose for the first two thirds and no more is a warm-up."""
    rising, flat = line(50, rate=5), line(72, rate=0)
    samples = rising + [MemorySample(at, rising[-1].size) for at, _ in flat[len(rising) :]]
    assert judge(samples, RULE).verdict is MemoryVerdict.SLOWING


def test_as_many_falls_as_rises_are_unsteady() -> None:
    """With the other gates open, direction alone decides."""
    rule = TrendRule(noise_factor=0.0, full_growth=0.0)
    verdicts = set()
    for seed in range(10):
        rng = random.Random(seed)
        samples = [MemorySample(at, size + rng.uniform(0, 60 * MB)) for at, size in line(72)]
        verdicts.add(judge(samples, rule).verdict)
    assert verdicts == {MemoryVerdict.SMALL, MemoryVerdict.UNSTEADY}


def test_growth_within_the_noise_is_small() -> None:
    """Of two windows with the same growth, only the one without large swings is a leak."""
    rng = random.Random(1)
    swings = [rng.uniform(0, 40 * MB) for _ in range(40)]
    calm = line(72, rate=0.4)
    restless = [MemorySample(at, size + swings[int(at / (2.5 * HOUR))]) for at, size in calm]
    assert judge(calm, RULE).verdict is MemoryVerdict.GROWING
    trend = judge(restless, RULE)
    assert trend.growth > RULE.full_growth * trend.base
    assert trend.verdict is MemoryVerdict.SMALL


def test_blocks_without_their_rises_keep_the_falls() -> None:
    """Only rises are taken out, and every later block is lowered with them."""
    minima = [MemorySample(at, size) for at, size in enumerate([1.0, 5.0, 4.0, 14.0, 15.0])]
    kept = [block.size for block in Blocks(minima).without_rises(2).minima]
    assert kept == [1.0, 1.0, 0.0, 0.0, 1.0]
    falling = [MemorySample(at, -float(at)) for at in range(5)]
    assert Blocks(falling).without_rises(3).minima == falling


def test_suspicion_needs_hours_and_ends_only_after_hours() -> None:
    """One verdict does not raise it, and one does not withdraw it."""
    memory = MemoryTrend()
    states = []
    for at, size in line(72, rate=20):
        memory.add(at, size)
        states.append((at, memory.trend.verdict is MemoryVerdict.GROWING, memory.suspected))
    first = next(at for at, growing, _ in states if growing)
    begun = next(at for at, _, suspected in states if suspected)
    assert begun - first == RULE.hold_seconds
    assert all(b or not a for (*_, a), (*_, b) in pairwise(states))
    at, level, changed = states[-1][0], memory.trend.base, None
    while memory.suspected:
        at += STEP
        memory.add(at, level)
        if changed is None and memory.trend.verdict is not MemoryVerdict.GROWING:
            changed = at
    assert changed is not None
    assert at - changed == RULE.hold_seconds


def test_only_minima_of_bins_are_kept_and_only_of_the_window() -> None:
    """A reading a minute does not cost more memory than one every ten minutes, for ever."""
    memory = MemoryTrend()
    for minute in range(5 * 24 * 60):
        memory.add(minute * 60.0, (200 if minute % 10 else 100) * MB)
    assert {block.size for block in memory._bins} == {100 * MB}
    assert len(memory._bins) == 72 * 6 + 1
