"""Duration of garbage collections, which pause every thread."""

import gc
import time
from typing import Any

from trading_ops.instrument import catalogue
from trading_ops.instrument.bot import BotMetrics
from trading_ops.instrument.recorder import counters, histograms
from trading_ops.instrument.topics.watchers import GENERATIONS
from trading_ops.instrument.watchers.part import Part


class Garbage(Part):
    """Measures collections in a callback of the collector; `check` has nothing to do."""

    interval_seconds = 3600.0

    def __init__(self, metrics: BotMetrics) -> None:
        pauses = histograms(catalogue.get("trading_gc_pause_seconds"))
        uncollectable = counters(catalogue.get("trading_gc_uncollectable_total"))
        metrics.registry.register(pauses)
        metrics.registry.register(uncollectable)
        # Created in advance: the callback should allocate as little as possible.
        self._observe = tuple(pauses.labels(generation).observe for generation in GENERATIONS)
        self._uncollectable = uncollectable.labels()
        self._began = 0.0

    def begin(self) -> None:
        """Register the callback."""
        gc.callbacks.append(self._collected)

    def check(self, now: float) -> None:
        """Do nothing."""

    def end(self) -> None:
        """Remove the callback."""
        gc.callbacks.remove(self._collected)

    def _collected(self, phase: str, info: dict[str, Any]) -> None:
        """Runs in the thread that triggered the collection; collections do not overlap."""
        if phase == "start":
            self._began = time.perf_counter()
            return
        self._observe[info["generation"]](time.perf_counter() - self._began)
        if info["uncollectable"]:
            self._uncollectable.inc(info["uncollectable"])
