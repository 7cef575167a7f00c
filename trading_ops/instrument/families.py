"""prometheus_client families, created from catalogue entries.

For processes that record little, such as the reconciler; `recorder` creates those of a bot.
"""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Samples

from trading_ops.instrument.catalogue import get
from trading_ops.instrument.metric import MetricType


def counter(name: str, registry: CollectorRegistry) -> Counter:
    """Build and register the counter of this catalogue entry."""
    metric = get(name, MetricType.COUNTER)
    return Counter(metric.name, metric.help, metric.labels, registry=registry)


def gauge(name: str, registry: CollectorRegistry) -> Gauge:
    """Build and register the gauge of this catalogue entry."""
    metric = get(name, MetricType.GAUGE)
    return Gauge(metric.name, metric.help, metric.labels, registry=registry)


def histogram(name: str, registry: CollectorRegistry) -> Histogram:
    """Build and register the histogram of this catalogue entry, with its buckets."""
    metric = get(name, MetricType.HISTOGRAM)
    return Histogram(
        metric.name, metric.help, metric.labels, buckets=metric.buckets, registry=registry
    )


def family(name: str, values: Mapping[tuple[str, ...], float]) -> Samples:
    """Return an unregistered family; `values` by label values in the order of the labels.

    Raises:
        KeyError: the catalogue does not know the name.
    """
    entry = get(name)
    kind = CounterMetricFamily if entry.kind is MetricType.COUNTER else GaugeMetricFamily
    built = kind(entry.family, entry.help, labels=entry.labels)
    for labels, value in values.items():
        built.add_metric(labels, value)
    return built
