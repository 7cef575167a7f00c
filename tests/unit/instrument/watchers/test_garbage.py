"""Collections are counted by generation with their time, and nothing is left behind."""

import gc
from collections.abc import Callable

import pytest

from trading_ops import clock
from trading_ops.instrument import BotMetrics
from trading_ops.instrument.watchers.garbage import Garbage

Value = Callable[..., float | None]


def test_collections_are_counted_by_generation(metrics: BotMetrics, value: Value) -> None:
    garbage = Garbage(metrics)
    before = list(gc.callbacks)
    began = clock.monotonic()
    garbage.begin()
    try:
        gc.collect(0)
        gc.collect(2)
        gc.collect(2)
    finally:
        garbage.end()
    took = clock.monotonic() - began
    gc.collect(2)
    assert gc.callbacks == before
    name = "trading_gc_pause_seconds"
    assert value(f"{name}_count", generation="2") == 2
    assert (value(f"{name}_count", generation="0") or 0) >= 1
    assert 0 < (value(f"{name}_sum", generation="2") or 0) <= took
    assert value("trading_gc_uncollectable_total") == 0


@pytest.mark.parametrize("count", [0, 3])
def test_what_cannot_be_freed_is_counted(metrics: BotMetrics, value: Value, count: int) -> None:
    garbage = Garbage(metrics)
    for phase in ("start", "stop"):
        garbage._collected(phase, {"generation": 1, "collected": 9, "uncollectable": count})
    assert value("trading_gc_uncollectable_total") == count
    assert value("trading_gc_pause_seconds_count", generation="1") == 1
