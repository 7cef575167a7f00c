"""Event loop lag, and the line of code that blocks the loop."""

import asyncio
import logging
import sys
import threading
import time
import traceback

from prometheus_client import CollectorRegistry

from trading_ops.instrument import catalogue
from trading_ops.instrument.bot import BotMetrics
from trading_ops.instrument.recorder import gauges, histograms
from trading_ops.instrument.watchers.part import Part

LOGGED_FRAMES = 6

_logger = logging.getLogger(__name__)


class Worst:
    """The largest value of the last one to two windows."""

    def __init__(self, window_seconds: float) -> None:
        self._window = window_seconds
        self._turn = 0.0
        self._now = self._before = 0.0

    def add(self, value: float, at: float) -> float:
        """Add a value at a monotonic time; return the largest recent one."""
        if at >= self._turn:
            lapsed = at >= self._turn + self._window  # nothing was seen for a whole window
            self._before, self._now = 0.0 if lapsed else self._now, 0.0
            self._turn = at + self._window
        self._now = max(self._now, value)
        return max(self._now, self._before)


class LoopLag(Part):
    """Measures the lag from a separate thread: a blocked loop cannot report itself.

    The loop runs one callback per check.
    """

    def __init__(
        self,
        metrics: BotMetrics,
        loop: asyncio.AbstractEventLoop,
        *,
        interval_seconds: float = 0.5,
        blocked_seconds: float = 2.0,
        window_seconds: float = 60.0,
    ) -> None:
        """Set up the watcher.

        Args:
            metrics: of the bot.
            loop: to measure.
            interval_seconds: between two callbacks.
            blocked_seconds: lag above which the blocking line of code is logged once.
            window_seconds: length of the window for the worst delay.
        """
        self.interval_seconds = interval_seconds
        self._metrics = metrics
        self._loop = loop
        self._blocked = blocked_seconds
        self._worst = Worst(window_seconds)
        self._sent_at: float | None = None
        self._thread: int | None = None
        self._logged = False
        self._register(metrics.registry)

    def _register(self, registry: CollectorRegistry) -> None:
        delays = histograms(catalogue.get("trading_event_loop_delay_seconds"))
        worst = gauges(catalogue.get("trading_event_loop_worst_delay_seconds"))
        registry.register(delays)
        registry.register(worst)
        self._delays, self._worst_gauge = delays.labels(), worst.labels()

    def check(self, now: float) -> None:
        """Schedule a callback, or report how long the last one has been waiting."""
        sent_at = self._sent_at
        if sent_at is not None:
            self._report(now - sent_at, now)
            return
        self._sent_at = now
        try:
            self._loop.call_soon_threadsafe(self._answer, now)
        except RuntimeError:  # the loop is closed
            self._sent_at = None
            self._metrics.event_loop_lag(0.0)

    def _answer(self, sent_at: float) -> None:
        """Record the delay; runs in the loop."""
        now = time.monotonic()
        self._thread = threading.get_ident()
        self._delays.observe(now - sent_at)
        self._metrics.event_loop_lag(now - sent_at)
        self._worst_gauge.set(self._worst.add(now - sent_at, now))
        self._sent_at = None
        self._logged = False

    def _report(self, waited: float, now: float) -> None:
        self._metrics.event_loop_lag(waited)
        self._worst_gauge.set(self._worst.add(waited, now))
        if waited < self._blocked or self._logged:
            return
        self._logged = True
        _logger.warning("event_loop_blocked seconds=%.1f at=%s", waited, self._place())

    def _place(self) -> str:
        """Return the stack of the loop's thread, innermost frame first."""
        frame = sys._current_frames().get(self._thread or 0)  # noqa: SLF001 - documented, for this
        if frame is None:
            return "unknown"
        frames = traceback.StackSummary.extract(
            traceback.walk_stack(frame), limit=LOGGED_FRAMES, lookup_lines=False
        )
        return " < ".join(f"{frame.filename}:{frame.lineno}({frame.name})" for frame in frames)
