"""How long the event loop lets others wait, and where it is while it does."""

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

TOLD_FRAMES = 6

_logger = logging.getLogger(__name__)


class Worst:
    """The largest value of the last one to two windows."""

    def __init__(self, window_seconds: float) -> None:
        """Take the length of a window."""
        self._window = window_seconds
        self._turn = 0.0
        self._now = self._before = 0.0

    def see(self, value: float, at: float) -> float:
        """Take a value at a time of the monotonic clock; return the largest recent one."""
        if at >= self._turn:
            lapsed = at >= self._turn + self._window  # nothing was seen for a whole window
            self._before, self._now = 0.0 if lapsed else self._now, 0.0
            self._turn = at + self._window
        self._now = max(self._now, value)
        return max(self._now, self._before)


class LoopLag(Part):
    """Asks the loop for an answer at each look, from a thread: a stuck loop cannot say so itself.

    The loop's own part is one callback a look.
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
        """Take what to measure.

        Args:
            metrics: of the bot.
            loop: whose answer is awaited.
            interval_seconds: between two questions.
            blocked_seconds: from which the log tells, once, what the loop's thread is at.
            window_seconds: for the worst delay.
        """
        self.interval_seconds = interval_seconds
        self._metrics = metrics
        self._loop = loop
        self._blocked = blocked_seconds
        self._worst = Worst(window_seconds)
        self._asked: float | None = None
        self._thread: int | None = None
        self._told = False
        self._register(metrics.registry)

    def _register(self, registry: CollectorRegistry) -> None:
        delays = histograms(catalogue.get("trading_event_loop_delay_seconds"))
        worst = gauges(catalogue.get("trading_event_loop_worst_delay_seconds"))
        registry.register(delays)
        registry.register(worst)
        self._delays, self._worst_gauge = delays.labels(), worst.labels()

    def look(self, now: float) -> None:
        """Schedule a callback, or report how long the last one has been waiting."""
        asked = self._asked
        if asked is not None:
            self._tell(now - asked, now)
            return
        self._asked = now
        try:
            self._loop.call_soon_threadsafe(self._answer, now)
        except RuntimeError:  # the loop is closed: nothing lags any more
            self._asked = None
            self._metrics.event_loop_lag(0.0)

    def _answer(self, asked: float) -> None:
        """Run in the loop."""
        now = time.monotonic()
        self._thread = threading.get_ident()
        self._delays.observe(now - asked)
        self._metrics.event_loop_lag(now - asked)
        self._worst_gauge.set(self._worst.see(now - asked, now))
        self._asked = None
        self._told = False

    def _tell(self, waited: float, now: float) -> None:
        self._metrics.event_loop_lag(waited)
        self._worst_gauge.set(self._worst.see(waited, now))
        if waited < self._blocked or self._told:
            return
        self._told = True
        _logger.warning("event_loop_blocked seconds=%.1f at=%s", waited, self._place())

    def _place(self) -> str:
        """Return what the loop's thread is at, innermost first."""
        frame = sys._current_frames().get(self._thread or 0)  # noqa: SLF001 - documented, for this
        if frame is None:
            return "unknown"
        frames = traceback.StackSummary.extract(
            traceback.walk_stack(frame), limit=TOLD_FRAMES, lookup_lines=False
        )
        return " < ".join(f"{one.filename}:{one.lineno}({one.name})" for one in frames)
