"""All together: each is on or off, one that fails does not end the others, and none is left."""

import asyncio
import gc
import logging
import threading
from collections.abc import Callable

import pytest

from trading_ops.instrument import CATALOGUE, BotMetrics, Owner
from trading_ops.instrument.watchers import ALL, Progress, Watcher, Watchers, watchers_of
from trading_ops.instrument.watchers.part import Part

Value = Callable[..., float | None]

SIGNS = {
    Watcher.LOOP_LAG: "trading_event_loop_delay_seconds",
    Watcher.MEMORY: "trading_memory_leak_suspected",
    Watcher.TASKS: "trading_threads",
    Watcher.STUCK: "trading_component_stuck",
    Watcher.GARBAGE: "trading_gc_pause_seconds",
}
PROGRESS = (Progress(component="feed", limit_seconds=1.0, marker=lambda: 0),)


class Looks(Part):
    """Tells a test when it looked, and fails when asked to."""

    def __init__(self, interval_seconds: float, *, fails: int = 0) -> None:
        self.interval_seconds = interval_seconds
        self.fails = fails
        self.count = 0
        self.changed = threading.Condition()

    def check(self, now: float) -> None:
        with self.changed:
            self.count += 1
            self.changed.notify_all()
        if self.count <= self.fails:
            raise KeyError("oops")

    def wait(self, count: int) -> bool:
        with self.changed:
            return self.changed.wait_for(lambda: self.count >= count, timeout=60)


def exported(metrics: BotMetrics) -> set[str]:
    return {family.name for family in metrics.registry.collect()}


def test_all_on_export_exactly_the_catalogue(
    metrics: BotMetrics, loop: asyncio.AbstractEventLoop
) -> None:
    """Every entry of the watchers, and no other; each of them belongs to one watcher."""
    before = exported(metrics)
    watchers_of(metrics, loop, progress=PROGRESS)
    wanted = {metric.family for metric in CATALOGUE if metric.owner is Owner.WATCHERS}
    assert exported(metrics) - before == wanted


@pytest.mark.parametrize("off", Watcher)
def test_each_can_be_off(
    metrics: BotMetrics, loop: asyncio.AbstractEventLoop, off: Watcher
) -> None:
    watchers_of(metrics, loop, on=ALL - {off}, progress=PROGRESS)
    names = exported(metrics)
    assert SIGNS[off] not in names
    assert {SIGNS[watcher] for watcher in ALL - {off}} <= names


def test_bot_of_threads_has_no_lag(metrics: BotMetrics) -> None:
    watchers_of(metrics, None, progress=PROGRESS)
    names = exported(metrics)
    assert SIGNS[Watcher.LOOP_LAG] not in names
    assert {sign for watcher, sign in SIGNS.items() if watcher is not Watcher.LOOP_LAG} <= names


def test_real_ones_run_and_leave_nothing(
    metrics: BotMetrics, loop: asyncio.AbstractEventLoop, value: Value
) -> None:
    """Beside a real loop, with a part that tells when all had their turn."""
    callbacks = len(gc.callbacks)
    usual = watchers_of(metrics, loop, progress=PROGRESS)
    last = Looks(0.01)
    watchers = Watchers([*usual._parts, last])
    watchers.start()
    assert last.wait(60)
    assert len(gc.callbacks) == callbacks + 1
    watchers.stop()
    watchers.stop()
    assert len(gc.callbacks) == callbacks
    assert "watchers" not in {thread.name for thread in threading.enumerate()}
    assert (value("trading_memory_uss_bytes") or 0) > 1e6
    assert (value("trading_threads") or 0) >= 2


def test_none_is_fine() -> None:
    watchers = Watchers([])
    watchers.start()
    watchers.stop()


def test_each_has_its_own_interval() -> None:
    often, once = Looks(0.005), Looks(60.0)
    watchers = Watchers([once, often])
    watchers.start()
    assert often.wait(60)
    watchers.stop()
    assert once.count == 1


def test_one_that_fails_is_reported_once_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    broken, well = Looks(0.005, fails=3), Looks(0.005)
    with caplog.at_level(logging.ERROR):
        watchers = Watchers([broken, well])
        watchers.start()
        assert broken.wait(60)
        assert well.wait(60)
        watchers.stop()
    assert [record.message for record in caplog.records] == ["watcher_failed watcher=Looks"]
