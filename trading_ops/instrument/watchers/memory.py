"""Memory use of the process, and leak detection."""

import logging
import re
from pathlib import Path

from trading_ops.instrument import catalogue
from trading_ops.instrument.bot import BotMetrics
from trading_ops.instrument.recorder import gauges
from trading_ops.instrument.watchers.memory_trend import HOUR, MemoryTrend
from trading_ops.instrument.watchers.part import Part

SMAPS = Path("/proc/self/smaps_rollup")
PRIVATE = re.compile(r"^Private_\w+:\s+(\d+) kB$", re.MULTILINE)


def read_uss(path: Path = SMAPS) -> int | None:
    """Return the bytes that only this process uses, or None if the kernel does not report them.

    Takes milliseconds while holding the process's memory map, so it is not for every scrape.
    """
    try:
        text = path.read_text(encoding="ascii")
    except OSError:
        return None
    return 1024 * sum(int(size) for size in PRIVATE.findall(text))


_logger = logging.getLogger(__name__)


class Memory(Part):
    """Reads the USS of the process and watches its trend.

    USS excludes shared pages, which depend on other processes. The resident set size is
    `process_resident_memory_bytes`.
    """

    can_wait = True

    def __init__(
        self,
        metrics: BotMetrics,
        *,
        interval_seconds: float = 60.0,
        trend: MemoryTrend | None = None,
        smaps: Path = SMAPS,
    ) -> None:
        self.interval_seconds = interval_seconds
        self._metrics = metrics
        self._trend = trend or MemoryTrend()
        self._smaps = smaps
        self._began: float | None = None
        self._readable = True
        slope = gauges(catalogue.get("trading_memory_trend_bytes_per_second"), at_once=False)
        suspected = gauges(catalogue.get("trading_memory_leak_suspected"))
        observed = gauges(catalogue.get("trading_memory_observed_seconds"))
        for family in (slope, suspected, observed):
            metrics.registry.register(family)
        self._slope = slope
        self._suspected, self._observed = suspected.labels(), observed.labels()

    def check(self, now: float) -> None:
        """Read the memory once."""
        size = read_uss(self._smaps)
        if size is None:
            if self._readable:
                _logger.warning("memory_unreadable path=%s", self._smaps)
            self._readable = False
            return
        self._readable = True
        self._metrics.memory_uss(size)
        if self._began is None:
            self._began = now
        before = self._trend.suspected
        self._trend.add(now - self._began, size)
        self._record()
        if self._trend.suspected is not before:
            self._log()

    def _record(self) -> None:
        trend = self._trend.trend
        if trend.slope is not None:
            self._slope.labels().set(trend.slope)
        self._observed.set(trend.observed_seconds)
        self._suspected.set(1 if self._trend.suspected else 0)

    def _log(self) -> None:
        trend = self._trend.trend
        _logger.warning(
            "memory_leak_%s bytes_per_hour=%.0f growth=%.0f base=%.0f verdict=%s",
            "suspected" if self._trend.suspected else "no_longer_suspected",
            (trend.slope or 0.0) * HOUR,
            trend.growth,
            trend.base,
            trend.verdict,
        )
