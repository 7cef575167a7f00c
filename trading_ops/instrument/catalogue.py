"""Every metric of the system, in one tuple.

Rules, runbooks and dashboards are checked against it, the processes build their families from it,
and the documentation lists it. A metric that is not here does not exist.
"""

from trading_ops.instrument.metric import Metric, MetricType
from trading_ops.instrument.topics.backups import BACKUP_METRICS
from trading_ops.instrument.topics.collectors import COLLECTORS
from trading_ops.instrument.topics.components import COMPONENT_METRICS
from trading_ops.instrument.topics.database import BOT_DATABASE
from trading_ops.instrument.topics.drift import DRIFT
from trading_ops.instrument.topics.every_process import NODE_METRICS, PROCESS_METRICS
from trading_ops.instrument.topics.freqtrade import FREQTRADE
from trading_ops.instrument.topics.host import HOST
from trading_ops.instrument.topics.jobs import JOB_METRICS
from trading_ops.instrument.topics.leadership import LEADERSHIP
from trading_ops.instrument.topics.log_files import LOG_FILES
from trading_ops.instrument.topics.logs import LOGS
from trading_ops.instrument.topics.market_data import MARKET_DATA
from trading_ops.instrument.topics.money import MONEY
from trading_ops.instrument.topics.orders import ORDERS
from trading_ops.instrument.topics.postgresql import POSTGRESQL
from trading_ops.instrument.topics.postgresql_statistics import POSTGRESQL_STATISTICS
from trading_ops.instrument.topics.postgresql_storage import POSTGRESQL_STORAGE
from trading_ops.instrument.topics.process import PROCESS_OF_A_BOT
from trading_ops.instrument.topics.processes import PROCESSES
from trading_ops.instrument.topics.queues import QUEUES
from trading_ops.instrument.topics.readiness import READINESS_METRICS
from trading_ops.instrument.topics.reconciler import RECONCILER_METRICS
from trading_ops.instrument.topics.risk import RISK
from trading_ops.instrument.topics.signals import SIGNALS
from trading_ops.instrument.topics.sqlite import SQLITE
from trading_ops.instrument.topics.venue import VENUE_CALLS
from trading_ops.instrument.topics.venue_probes import VENUE_ACCOUNTS, VENUE_PROBES
from trading_ops.instrument.topics.watchers import WATCHER_METRICS

BOT_METRICS: tuple[Metric, ...] = (
    *PROCESS_OF_A_BOT,
    *COMPONENT_METRICS,
    *MARKET_DATA,
    *ORDERS,
    *VENUE_CALLS,
    *MONEY,
    *RISK,
    *DRIFT,
    *SIGNALS,
    *QUEUES,
    *BOT_DATABASE,
    *LEADERSHIP,
    *LOGS,
)
"""The metrics that `BotMetrics` records."""

EXPORTER_METRICS: tuple[Metric, ...] = (
    *HOST,
    *PROCESSES,
    *VENUE_PROBES,
    *VENUE_ACCOUNTS,
    *FREQTRADE,
    *POSTGRESQL,
    *POSTGRESQL_STATISTICS,
    *POSTGRESQL_STORAGE,
    *SQLITE,
    *LOG_FILES,
    *COLLECTORS,
)

CATALOGUE: tuple[Metric, ...] = (
    *BOT_METRICS,
    *WATCHER_METRICS,
    *EXPORTER_METRICS,
    *RECONCILER_METRICS,
    *BACKUP_METRICS,
    *JOB_METRICS,
    *READINESS_METRICS,
    *NODE_METRICS,
    *PROCESS_METRICS,
)

_BY_NAME = {metric.name: metric for metric in CATALOGUE}
_BY_SAMPLE = {sample: metric for metric in CATALOGUE for sample in metric.sample_names}


def find(name: str) -> Metric | None:
    """Return the metric with this name or with a sample of this name, or None."""
    return _BY_NAME.get(name) or _BY_SAMPLE.get(name)


def get(name: str, kind: MetricType | None = None) -> Metric:
    """Return the metric with exactly this name.

    Raises:
        KeyError: there is none, which is a bug.
        ValueError: it is of another kind.
    """
    metric = _BY_NAME[name]
    if kind not in {None, metric.kind}:
        raise ValueError(f"{name} is a {metric.kind}, not a {kind}")
    return metric


def sample_names() -> frozenset[str]:
    """Return every name that a PromQL query may select."""
    return frozenset(_BY_SAMPLE)
