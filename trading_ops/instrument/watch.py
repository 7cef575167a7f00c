"""Watches the bot's event loop and memory from a thread of its own.

From a thread, because a loop cannot say that it is stuck: the lag grows while the loop still lets
the watch wait.
"""

import asyncio
import contextlib
import logging
import re
import threading
import time
from pathlib import Path

from trading_ops.instrument.bot import BotMetrics

SMAPS = Path("/proc/self/smaps_rollup")
PRIVATE = re.compile(r"^Private_\w+:\s+(\d+) kB$", re.MULTILINE)

_logger = logging.getLogger(__name__)


def read_uss(path: Path = SMAPS) -> int | None:
    """Return the bytes that belong to this process alone, or None where the kernel hides them.

    Takes milliseconds while holding the process's memory map, so it is not for every scrape.
    """
    try:
        text = path.read_text(encoding="ascii")
    except OSError:
        return None
    return 1024 * sum(int(size) for size in PRIVATE.findall(text))


class Watch:
    """Measures event-loop lag at an interval and memory at a longer one, until stopped."""

    def __init__(
        self,
        metrics: BotMetrics,
        loop: asyncio.AbstractEventLoop,
        *,
        interval_seconds: float = 0.5,
        memory_interval_seconds: float = 60.0,
        smaps: Path = SMAPS,
    ) -> None:
        """Take what to measure and how often."""
        self._metrics = metrics
        self._loop = loop
        self._interval = interval_seconds
        self._memory_interval = memory_interval_seconds
        self._smaps = smaps
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="instrument-watch", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """End the watch; returns when its thread is gone."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        memory_due = time.monotonic()
        while not self._stopping.is_set():
            if time.monotonic() >= memory_due:
                memory_due = time.monotonic() + self._memory_interval
                self._measure_memory()
            self._measure_lag()
            self._stopping.wait(self._interval)

    def _measure_memory(self) -> None:
        size = read_uss(self._smaps)
        if size is None:
            _logger.warning("memory_unreadable path=%s", self._smaps)
        else:
            self._metrics.memory_uss(size)

    def _measure_lag(self) -> None:
        answered = threading.Event()
        began = time.monotonic()
        with contextlib.suppress(RuntimeError):  # the loop is closed: nothing lags any more
            self._loop.call_soon_threadsafe(answered.set)
            while not answered.wait(self._interval) and not self._stopping.is_set():
                self._metrics.event_loop_lag(time.monotonic() - began)
        self._metrics.event_loop_lag(time.monotonic() - began)
