"""Garbage collections: how long each stops everything else."""

import gc
import time
from typing import Any

from trading_ops.instrument import catalogue
from trading_ops.instrument.bot import BotMetrics
from trading_ops.instrument.recorder import counters, histograms
from trading_ops.instrument.topics.watchers import GENERATIONS
from trading_ops.instrument.watchers.part import Part


class Garbage(Part):
    """Listens to the collector; its looks have nothing to do."""

    interval_seconds = 3600.0

    def __init__(self, metrics: BotMetrics) -> None:
        """Take where to record."""
        pauses = histograms(catalogue.get("trading_gc_pause_seconds"))
        uncollectable = counters(catalogue.get("trading_gc_uncollectable_total"))
        metrics.registry.register(pauses)
        metrics.registry.register(uncollectable)
        # Bound beforehand: in the middle of a collection nothing must be made that is not needed.
        self._observe = tuple(pauses.labels(one).observe for one in GENERATIONS)
        self._uncollectable = uncollectable.labels()
        self._began = 0.0

    def begin(self) -> None:
        """Listen from now on."""
        gc.callbacks.append(self._collected)

    def look(self, now: float) -> None:
        """Do nothing."""

    def end(self) -> None:
        """Stop listening."""
        gc.callbacks.remove(self._collected)

    def _collected(self, phase: str, info: dict[str, Any]) -> None:
        """Run by whichever thread set the collection off; no second one starts meanwhile."""
        if phase == "start":
            self._began = time.perf_counter()
            return
        self._observe[info["generation"]](time.perf_counter() - self._began)
        if info["uncollectable"]:
            self._uncollectable.inc(info["uncollectable"])
