"""Children as prometheus_client samples, for everything that reads its registry."""

from collections.abc import Iterator
from itertools import accumulate

from prometheus_client.samples import Exemplar as PeerExemplar
from prometheus_client.samples import Sample
from prometheus_client.utils import floatToGoString

from trading_ops.instrument.children import Counter, Exemplar, Gauge, Histogram
from trading_ops.instrument.labels import clean
from trading_ops.instrument.lines import EXEMPLAR_LIMIT
from trading_ops.instrument.metric import Metric
from trading_ops.instrument.numbers import text_of


def samples_of(
    metric: Metric, values: tuple[str, ...], child: Counter | Gauge | Histogram
) -> Iterator[Sample]:
    """Yield the samples of one child."""
    labels = dict(zip(metric.labels, values, strict=True))
    if isinstance(child, Histogram):
        yield from _of_histogram(metric, labels, child)
        return
    exemplar = child.exemplar if isinstance(child, Counter) else None
    yield Sample(metric.name, labels, _number(child.value), None, _exemplar(metric, exemplar))


def _of_histogram(metric: Metric, labels: dict[str, str], child: Histogram) -> Iterator[Sample]:
    total = child.sum
    cumulated = list(accumulate(child.counts))
    bounds = [*map(floatToGoString, child.bounds), "+Inf"]
    exemplars = child.exemplars or [None] * len(bounds)
    for bound, count, exemplar in zip(bounds, cumulated, exemplars, strict=True):
        yield Sample(
            f"{metric.name}_bucket",
            {**labels, "le": bound},
            float(count),
            None,
            _exemplar(metric, exemplar),
        )
    yield Sample(f"{metric.name}_count", labels, float(cumulated[-1]))
    if child.bounds[0] >= 0:
        yield Sample(f"{metric.name}_sum", labels, _number(total))


def _number(value: object) -> float:
    return float(text_of(value))


def _exemplar(metric: Metric, exemplar: Exemplar | None) -> PeerExemplar | None:
    if exemplar is None or not metric.exemplar:
        return None
    identity, value, at = exemplar
    identity = clean(identity)
    if len(metric.exemplar) + len(identity) > EXEMPLAR_LIMIT:
        return None
    return PeerExemplar({metric.exemplar: identity}, value, at)
