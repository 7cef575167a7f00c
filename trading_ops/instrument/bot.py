"""`BotMetrics`, the object through which a bot records its metrics."""

import time
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, ProcessCollector

from trading_ops.instrument.readings import Readings
from trading_ops.instrument.recorder import Recorder
from trading_ops.instrument.topics.components import COMPONENTS, ComponentMetrics
from trading_ops.instrument.topics.database import DatabaseMetrics
from trading_ops.instrument.topics.drift import DriftMetrics
from trading_ops.instrument.topics.leadership import LeadershipMetrics
from trading_ops.instrument.topics.logs import LogMetrics
from trading_ops.instrument.topics.market_data import MarketDataMetrics
from trading_ops.instrument.topics.money import MoneyMetrics
from trading_ops.instrument.topics.orders import OrderMetrics
from trading_ops.instrument.topics.process import ProcessMetrics
from trading_ops.instrument.topics.queues import QueueMetrics
from trading_ops.instrument.topics.risk import LIMITS, RiskMetrics
from trading_ops.instrument.topics.signals import SignalMetrics
from trading_ops.instrument.topics.venue import VenueMetrics


class BotMetrics(
    ProcessMetrics,
    ComponentMetrics,
    MarketDataMetrics,
    OrderMetrics,
    VenueMetrics,
    MoneyMetrics,
    RiskMetrics,
    DriftMetrics,
    SignalMetrics,
    QueueMetrics,
    DatabaseMetrics,
    LeadershipMetrics,
    LogMetrics,
):
    """Records what a trading bot does; safe to call from coroutines and from threads.

    Every method is cheap, never blocks and never raises for an undeclared label value: it is
    recorded under `other` and counted. Names that come only from the bot's own code (of queues,
    pools, statements, signal sources and rate limits) need not be declared, up to a limit for each.

    Counters of known label sets are exported as zero from the start. Values that must be measured
    are absent until they are set: money, exposure, losses, use of limits, drift and other results
    of a comparison with the venue, depths of queues and pools, the venue's clock, and whether a
    recovery is complete or a fallback is active.
    """

    def __init__(
        self,
        registry: CollectorRegistry | None = None,
        *,
        version: str,
        mode: str,
        symbols: Iterable[str] = (),
        currencies: Iterable[str] = (),
        endpoints: Iterable[str] = (),
        components: Iterable[str] = COMPONENTS,
        limits: Iterable[str] = LIMITS,
        rate_limits: Iterable[str] = (),
        sources: Iterable[str] = (),
        queues: Iterable[str] = (),
        pools: Iterable[str] = (),
        statements: Iterable[str] = (),
        started_at: float | None = None,
        undeclared: int = 0,
        standby: bool = False,
    ) -> None:
        """Register all metrics of a bot.

        Args:
            registry: where to register; by default a new one with the process's own metrics.
            version: version of the bot, for `trading_bot_info`.
            mode: `paper` or `live`, for `trading_bot_info`.
            symbols: traded symbols, as they appear in labels.
            currencies: currencies that the bot holds.
            endpoints: endpoints of the venue that it calls.
            components: supervised components of the bot.
            limits: risk limits of the bot.
            rate_limits: groups of endpoints that share a limit at the venue.
            sources: models or strategies that provide signals; an alert fires for one that is
                named here and never sends a signal.
            queues: work queues of the bot.
            pools: database connection pools of the bot.
            statements: names of its database statements.
            started_at: start of the process, seconds since the epoch; by default now.
            undeclared: how many undeclared values each label may have before further ones are
                recorded under `other`.
            standby: whether the bot may run as a standby. Then a component that was not started is
                not exported as down.

        Raises:
            RuntimeError: the interpreter has no GIL, so counts could be lost.
        """
        if registry is None:
            registry = CollectorRegistry()
            ProcessCollector(registry=registry)
        self.registry = registry
        self.started_at = time.time() if started_at is None else started_at
        # Before the families: a registry collects in this order.
        self._readings = Readings()
        registry.register(self._readings)
        recorder = Recorder(registry, limit=undeclared)
        symbols, currencies = tuple(symbols), tuple(currencies)
        self._register_process(recorder, version, mode)
        self._register_components(recorder, tuple(components), at_once=not standby)
        self._register_market_data(recorder, symbols)
        self._register_orders(recorder)
        self._register_venue(recorder, tuple(endpoints), tuple(rate_limits))
        self._register_money(recorder, symbols, currencies)
        self._register_risk(recorder, currencies, tuple(limits))
        self._register_drift(recorder, symbols, currencies)
        self._register_signals(recorder, tuple(sources))
        self._register_queues(recorder, tuple(queues))
        self._register_database(recorder, tuple(pools), tuple(statements))
        self._register_leadership(recorder)
        self._register_logs(recorder)
