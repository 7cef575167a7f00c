"""Gauges whose value is read at each scrape."""

import math
from collections.abc import Callable, Iterable

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from trading_ops.instrument.children import Gauge


class Readings(Collector):
    """A collector that exports nothing: it is registered before the families that it updates."""

    def __init__(self) -> None:
        self._read: dict[int, tuple[Gauge, Callable[[], float]]] = {}

    def add(self, gauge: Gauge, read: Callable[[], float]) -> None:
        """Read a gauge's value from this function from now on; replaces an earlier one."""
        self._read[id(gauge)] = gauge, read

    def collect(self) -> Iterable[Metric]:
        """Update all gauges; one that cannot be read becomes NaN."""
        for gauge, read in tuple(self._read.values()):
            try:
                gauge.value = read()
            except Exception:  # noqa: BLE001 - a bot's own function must not cost the scrape
                gauge.value = math.nan
        return ()

    def describe(self) -> Iterable[Metric]:
        """Return no names."""
        return ()
