"""Builds the families of one process from the catalogue and registers them."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from prometheus_client import CollectorRegistry

from trading_ops.instrument import catalogue
from trading_ops.instrument.children import Counter, Gauge, Histogram, require_gil
from trading_ops.instrument.family import Family
from trading_ops.instrument.lines import Buckets, Single
from trading_ops.instrument.metric import Metric, MetricType

UNDECLARED = "trading_undeclared_label_values_total"

Declared = Mapping[str, Iterable[str]]


class Recorder:
    """The families of one registry, and the count of label values that became `other`."""

    def __init__(self, registry: CollectorRegistry, *, limit: int = 0) -> None:
        """Set up an empty recorder.

        Args:
            registry: of prometheus_client; everything that reads it also sees our families.
            limit: how many undeclared values each label may have.

        Raises:
            RuntimeError: the interpreter has no GIL, so counts could be lost.
        """
        require_gil()
        self._registry = registry
        self._limit = limit
        labelled = [metric.name for metric in catalogue.CATALOGUE if metric.labels]
        self._undeclared = counters(
            catalogue.get(UNDECLARED), declared={"metric": labelled}, at_once=False
        )
        registry.register(self._undeclared)

    def counter(
        self,
        name: str,
        declared: Declared | None = None,
        *,
        limit: int = 0,
        at_once: bool = True,
    ) -> Family[Counter]:
        """Build and register the counter of this catalogue entry, with its known label values.

        `limit` raises the recorder's limit of undeclared values per label. Without `at_once`, a
        child is created with its first value.
        """
        metric = catalogue.get(name, MetricType.COUNTER)
        family = counters(
            metric,
            declared=declared,
            limit=max(limit, self._limit),
            at_once=at_once,
            refused=self._refused(metric),
        )
        self._registry.register(family)
        return family

    def gauge(
        self,
        name: str,
        declared: Declared | None = None,
        *,
        limit: int = 0,
        at_once: bool = True,
    ) -> Family[Gauge]:
        """Build and register a gauge; without `at_once`, children are created on demand."""
        metric = catalogue.get(name, MetricType.GAUGE)
        family = gauges(
            metric,
            declared=declared,
            limit=max(limit, self._limit),
            at_once=at_once,
            refused=self._refused(metric),
        )
        self._registry.register(family)
        return family

    def histogram(
        self, name: str, declared: Declared | None = None, *, limit: int = 0
    ) -> Family[Histogram]:
        """Build and register the histogram of this catalogue entry, with its buckets."""
        metric = catalogue.get(name, MetricType.HISTOGRAM)
        family = histograms(
            metric,
            declared=declared,
            limit=max(limit, self._limit),
            refused=self._refused(metric),
        )
        self._registry.register(family)
        return family

    def _refused(self, metric: Metric) -> Callable[[], None]:
        if not metric.labels:
            return lambda: None
        return self._undeclared.labels(metric.name).inc


def counters(
    metric: Metric,
    *,
    declared: Declared | None = None,
    limit: int = 0,
    at_once: bool = True,
    refused: Callable[[], None] = lambda: None,
) -> Family[Counter]:
    """Return an unregistered family of counters."""
    return Family(
        metric,
        Counter,
        Single(metric),
        declared=_known(metric, declared),
        limit=limit,
        at_once=at_once,
        refused=refused,
    )


def gauges(
    metric: Metric,
    *,
    declared: Declared | None = None,
    limit: int = 0,
    at_once: bool = True,
    refused: Callable[[], None] = lambda: None,
) -> Family[Gauge]:
    """Return an unregistered family of gauges."""
    return Family(
        metric,
        Gauge,
        Single(metric),
        declared=_known(metric, declared),
        limit=limit,
        at_once=at_once,
        refused=refused,
    )


def histograms(
    metric: Metric,
    *,
    declared: Declared | None = None,
    limit: int = 0,
    refused: Callable[[], None] = lambda: None,
) -> Family[Histogram]:
    """Return an unregistered family of histograms."""
    return Family(
        metric,
        partial(Histogram, metric.buckets),
        Buckets(metric),
        declared=_known(metric, declared),
        limit=limit,
        refused=refused,
    )


def _known(metric: Metric, declared: Declared | None) -> Declared:
    return {**metric.values, **(declared or {})}
