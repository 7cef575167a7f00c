"""The one object through which a bot says what it does."""

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

    Every method is cheap, never blocks and never raises for a label value that was not declared:
    such a value is recorded under `other`, and counted. Names that only the bot's own code gives
    (of queues, pools, statements, sources of signals and rate limits) need not be declared, up to
    a bound for each.

    Known label sets are exported as zero from the start where zero is true: nothing has happened
    yet. What would have to be known is absent until it is said: money, exposure, losses, use of
    limits, drift and what a comparison with the venue found, depths of queues and pools, the
    venue's clock, and whether a recovery is complete or a fallback decides.
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
            version: of the bot, for `trading_bot_info`.
            mode: `paper` or `live`, for `trading_bot_info`.
            symbols: that it trades, as they appear in labels.
            currencies: that it holds.
            endpoints: of the venue that it calls.
            components: its supervised parts.
            limits: its risk limits.
            rate_limits: groups of endpoints that share a limit at the venue.
            sources: models or strategies that it asks for signals; one that is named here and
                never speaks is noticed.
            queues: in which its work waits.
            pools: of connections to its database.
            statements: names of what it asks of its database.
            started_at: start of the process, seconds since the epoch; by default now.
            undeclared: how many values beyond the declared ones each label may have before they
                are recorded under `other`.
            standby: it may wait for another instance to end. Then nothing is told of a component
                that was not started: what is not meant to run is not down.

        Raises:
            RuntimeError: the interpreter has no GIL, so that counts could be lost.
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
