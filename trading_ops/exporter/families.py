"""Builds metric families from the catalogue: fresh ones for each reading."""

from collections.abc import Mapping

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from trading_ops.instrument.catalogue import get
from trading_ops.instrument.metric import Kind


def family(name: str, values: Mapping[tuple[str, ...], float]) -> Metric:
    """Return a family with these values by label values, in the order of the catalogue's labels.

    Raises:
        KeyError: the catalogue does not know the name.
    """
    entry = get(name)
    kind = CounterMetricFamily if entry.kind is Kind.COUNTER else GaugeMetricFamily
    built = kind(entry.family, entry.help, labels=entry.labels)
    for labels, value in values.items():
        built.add_metric(labels, value)
    return built
