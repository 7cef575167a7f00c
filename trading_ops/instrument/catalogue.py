"""Every metric of the system, in one tuple.

Rules, runbooks and dashboards are checked against it, the processes build their families from it,
and the documentation lists it. A metric that is not here does not exist.
"""

from trading_ops.instrument.bot_catalogue import BOT_METRICS
from trading_ops.instrument.exporter_catalogue import EXPORTER_METRICS
from trading_ops.instrument.metric import Metric
from trading_ops.instrument.process_catalogue import PROCESS_METRICS
from trading_ops.instrument.reconciler_catalogue import RECONCILER_METRICS
from trading_ops.instrument.watcher_catalogue import WATCHER_METRICS

CATALOGUE: tuple[Metric, ...] = (
    *BOT_METRICS,
    *EXPORTER_METRICS,
    *RECONCILER_METRICS,
    *PROCESS_METRICS,
    *WATCHER_METRICS,
)

_BY_NAME = {metric.name: metric for metric in CATALOGUE}
_BY_SAMPLE = {sample: metric for metric in CATALOGUE for sample in metric.sample_names}


def find(name: str) -> Metric | None:
    """Return the metric with this name or with a sample of this name, or None."""
    return _BY_NAME.get(name) or _BY_SAMPLE.get(name)


def get(name: str) -> Metric:
    """Return the metric with exactly this name.

    Raises:
        KeyError: there is none; a mistake in our own code.
    """
    return _BY_NAME[name]


def sample_names() -> frozenset[str]:
    """Return every name that a PromQL query may select."""
    return frozenset(_BY_SAMPLE)
