"""Every metric of the system, in one tuple.

Rules, runbooks and dashboards are checked against it, the processes build their families from it,
and the documentation lists it. A metric that is not here does not exist.
"""

from trading_ops.instrument.entries.bot_database import BOT_DATABASE
from trading_ops.instrument.entries.collectors import COLLECTORS
from trading_ops.instrument.entries.components import COMPONENT_METRICS
from trading_ops.instrument.entries.drift import DRIFT
from trading_ops.instrument.entries.every_process import PROCESS_METRICS
from trading_ops.instrument.entries.freqtrade import FREQTRADE
from trading_ops.instrument.entries.host import HOST
from trading_ops.instrument.entries.leadership import LEADERSHIP
from trading_ops.instrument.entries.log_files import LOG_FILES
from trading_ops.instrument.entries.logs import LOGS
from trading_ops.instrument.entries.market_data import MARKET_DATA
from trading_ops.instrument.entries.money import MONEY
from trading_ops.instrument.entries.node import NODE_METRICS
from trading_ops.instrument.entries.orders import ORDERS
from trading_ops.instrument.entries.postgresql import POSTGRESQL
from trading_ops.instrument.entries.postgresql_statistics import POSTGRESQL_STATISTICS
from trading_ops.instrument.entries.postgresql_storage import POSTGRESQL_STORAGE
from trading_ops.instrument.entries.process_of_a_bot import PROCESS_OF_A_BOT
from trading_ops.instrument.entries.processes import PROCESSES
from trading_ops.instrument.entries.queues import QUEUES
from trading_ops.instrument.entries.reconciler import RECONCILER_METRICS
from trading_ops.instrument.entries.risk import RISK
from trading_ops.instrument.entries.signals import SIGNALS
from trading_ops.instrument.entries.sqlite import SQLITE
from trading_ops.instrument.entries.venue_calls import VENUE_CALLS
from trading_ops.instrument.entries.venue_probes import VENUE_ACCOUNTS, VENUE_PROBES
from trading_ops.instrument.entries.watchers import WATCHER_METRICS
from trading_ops.instrument.metric import Metric

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
"""What `BotMetrics` records."""

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
    *NODE_METRICS,
    *PROCESS_METRICS,
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
