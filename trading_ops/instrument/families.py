"""Catalogue entries turned into prometheus_client's own families.

For processes that count little, as the reconciler; a bot's come from `recorder`.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from trading_ops.instrument.catalogue import get
from trading_ops.instrument.metric import Kind, Metric


def counter(name: str, registry: CollectorRegistry) -> Counter:
    """Build and register the counter of this catalogue entry."""
    metric = _entry(name, Kind.COUNTER)
    return Counter(metric.name, metric.help, metric.labels, registry=registry)


def gauge(name: str, registry: CollectorRegistry) -> Gauge:
    """Build and register the gauge of this catalogue entry."""
    metric = _entry(name, Kind.GAUGE)
    return Gauge(metric.name, metric.help, metric.labels, registry=registry)


def histogram(name: str, registry: CollectorRegistry) -> Histogram:
    """Build and register the histogram of this catalogue entry, with its buckets."""
    metric = _entry(name, Kind.HISTOGRAM)
    return Histogram(
        metric.name, metric.help, metric.labels, buckets=metric.buckets, registry=registry
    )


def _entry(name: str, kind: Kind) -> Metric:
    metric = get(name)
    if metric.kind is not kind:
        raise ValueError(f"{name} is a {metric.kind}, not a {kind}")
    return metric
