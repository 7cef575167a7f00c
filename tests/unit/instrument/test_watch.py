"""The watch sees a stuck loop while it is stuck, and the memory of the process."""

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from trading_ops.instrument import BotMetrics, Watch
from trading_ops.instrument.watch import read_uss


class Readings(BotMetrics):
    """Tells a test when a value was recorded."""

    def __init__(self) -> None:
        super().__init__(version="1", mode="paper")
        self.lags: list[float] = []
        self.sizes: list[int] = []
        self.changed = threading.Condition()

    def event_loop_lag(self, seconds: float) -> None:
        super().event_loop_lag(seconds)
        with self.changed:
            self.lags.append(seconds)
            self.changed.notify_all()

    def memory_uss(self, size: int) -> None:
        super().memory_uss(size)
        with self.changed:
            self.sizes.append(size)
            self.changed.notify_all()

    def wait(self, predicate: Callable[[], bool]) -> bool:
        with self.changed:
            return self.changed.wait_for(predicate, timeout=10)


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_lag_grows_while_the_loop_is_stuck(loop: asyncio.AbstractEventLoop) -> None:
    """The lag is reported before the loop is free again, and falls afterwards."""
    readings = Readings()
    release = threading.Event()
    watch = Watch(readings, loop, interval_seconds=0.02)
    loop.call_soon_threadsafe(release.wait, 10)
    watch.start()
    assert readings.wait(lambda: max(readings.lags, default=0) > 0.1)
    release.set()
    assert readings.wait(lambda: readings.lags[-1] < 0.02)
    watch.stop()


def test_memory_is_read_rarely(loop: asyncio.AbstractEventLoop) -> None:
    """Memory is measured once at the start, and not again before its interval is over."""
    readings = Readings()
    watch = Watch(readings, loop, interval_seconds=0.01)
    watch.start()
    assert readings.wait(lambda: len(readings.lags) > 5)
    watch.stop()
    assert len(readings.sizes) == 1
    assert readings.sizes[0] > 1_000_000


def test_closed_loop_does_not_break_the_watch() -> None:
    """A watch that outlives its loop goes on with the memory."""
    loop = asyncio.new_event_loop()
    loop.close()
    readings = Readings()
    watch = Watch(readings, loop, interval_seconds=0.01, memory_interval_seconds=0.02)
    watch.start()
    assert readings.wait(lambda: len(readings.sizes) > 1)
    watch.stop()


def test_unreadable_memory_is_said_and_not_zero(
    loop: asyncio.AbstractEventLoop, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the kernel hides the figure nothing is recorded, and the log says so."""
    readings = Readings()
    with caplog.at_level(logging.WARNING):
        watch = Watch(readings, loop, interval_seconds=0.01, smaps=tmp_path / "absent")
        watch.start()
        assert readings.wait(lambda: len(readings.lags) > 2)
        watch.stop()
    assert readings.sizes == []
    assert "memory_unreadable" in caplog.text


def test_private_pages_are_summed(tmp_path: Path) -> None:
    """Clean, dirty and huge private pages count; shared ones do not."""
    smaps = tmp_path / "smaps_rollup"
    smaps.write_text(
        "Rss:     900 kB\nShared_Clean:  500 kB\nPrivate_Clean:  100 kB\n"
        "Private_Dirty:   20 kB\nPrivate_Hugetlb:  3 kB\n"
    )
    assert read_uss(smaps) == 123 * 1024
