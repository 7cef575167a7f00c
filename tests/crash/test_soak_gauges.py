"""What a soak calls flat: pure, on series that are made up."""

import math
import random

import pytest

from tests.crash.soak_gauges import Series, judge_count, judge_memory

MINUTES = 30.0
MEGA = 1e6


def memory(a_minute: float, *, noise: float = 0.05, warm: float = 0.0) -> Series:
    """Return half an hour of a process of 100 MB that grows by so many MB a minute."""
    chance, series = random.Random(1), Series()
    for number in range(181):
        at = 10.0 * number
        start = warm * (1 - math.exp(-at / 60))
        grown = 100 + start + a_minute * at / 60 + chance.uniform(0, noise)
        series.add(at, MEGA * grown)
    return series


@pytest.mark.parametrize("a_minute", [0.15, 0.5, 5.0])
def test_a_leak_is_not_flat(a_minute: float) -> None:
    """From some 9 MB an hour on it is found, whatever the noise of a heap."""
    found = judge_memory("memory", memory(a_minute), MINUTES)
    assert not found.flat
    assert "NOT FLAT" in found.line


def test_a_late_leak_is_not_flat() -> None:
    """One that begins in the middle is no warm-up."""
    series = memory(0.0)
    late = Series(
        [
            reading._replace(size=reading.size + max(0, reading.at - 900) * 10_000)
            for reading in series.readings
        ]
    )
    assert not judge_memory("memory", late, MINUTES).flat


@pytest.mark.parametrize(
    "series",
    [memory(0.0), memory(0.0, noise=5.0), memory(-0.2), memory(0.0, warm=40.0), memory(0.01)],
    ids=["level", "noisy", "falling", "warm-up", "too slow to tell"],
)
def test_what_does_not_grow_is_flat(series: Series) -> None:
    """A warm-up is over before that; below the printed line no trend can be detected."""
    assert judge_memory("memory", series, MINUTES).flat


def test_what_grows_in_the_warm_up_alone_is_flat() -> None:
    """A heap finds its size while everything fails for the first time; a leak goes on."""
    grows = memory(0.0, warm=4.0).readings
    leaks = memory(0.15).readings
    slow = [gauge._replace(at=4 * gauge.at) for gauge in grows]
    assert judge_memory("memory", Series(slow, warm_up=0.5), MINUTES).flat
    assert not judge_memory("memory", Series(leaks, warm_up=0.5), MINUTES).flat


def test_a_few_readings_say_nothing() -> None:
    """And that is no success."""
    assert not judge_memory("memory", Series(memory(0.0).readings[:5]), MINUTES).flat


@pytest.mark.parametrize(("last", "flat"), [(20, True), (21, True), (22, False), (15, True)])
def test_the_least_of_a_count_must_not_rise(last: int, flat: bool) -> None:
    """Whatever peaks there are in between."""
    series = Series()
    for number in range(181):
        least = 20 if number < 120 else last
        series.add(10.0 * number, least + (7 if number % 3 else 0))
    assert judge_count("files", series).flat is flat
