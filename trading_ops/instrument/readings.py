"""Gauges that are read at each scrape, for values that are cheap to read."""

import math
from collections.abc import Callable, Iterable

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from trading_ops.instrument.children import Gauge


class Readings(Collector):
    """Exports nothing itself: a registry asks it before the families whose gauges it fills."""

    def __init__(self) -> None:
        self._read: dict[int, tuple[Gauge, Callable[[], float]]] = {}

    def add(self, gauge: Gauge, read: Callable[[], float]) -> None:
        """Fill a gauge by a function from now on, and no longer by an earlier one."""
        self._read[id(gauge)] = gauge, read

    def collect(self) -> Iterable[Metric]:
        """Fill all gauges; one that cannot be read is NaN, for what it was no longer holds."""
        for gauge, read in tuple(self._read.values()):
            try:
                gauge.value = read()
            except Exception:  # noqa: BLE001 - a bot's own function must not cost the scrape
                gauge.value = math.nan
        return ()

    def describe(self) -> Iterable[Metric]:
        """Name nothing."""
        return ()
