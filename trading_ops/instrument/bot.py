"""The one object through which a bot says what it does."""

import time
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, ProcessCollector

from trading_ops.instrument.entries.components import COMPONENTS
from trading_ops.instrument.entries.risk import LIMITS
from trading_ops.instrument.facts.components import ComponentFacts
from trading_ops.instrument.facts.database import DatabaseFacts
from trading_ops.instrument.facts.drift import DriftFacts
from trading_ops.instrument.facts.leadership import LeadershipFacts
from trading_ops.instrument.facts.logs import LogFacts
from trading_ops.instrument.facts.market_data import MarketDataFacts
from trading_ops.instrument.facts.money import MoneyFacts
from trading_ops.instrument.facts.orders import OrderFacts
from trading_ops.instrument.facts.process import ProcessFacts
from trading_ops.instrument.facts.queues import QueueFacts
from trading_ops.instrument.facts.readings import Readings
from trading_ops.instrument.facts.risk import RiskFacts
from trading_ops.instrument.facts.signals import SignalFacts
from trading_ops.instrument.facts.venue import VenueFacts
from trading_ops.instrument.recorder import Recorder


class BotMetrics(
    ProcessFacts,
    ComponentFacts,
    MarketDataFacts,
    OrderFacts,
    VenueFacts,
    MoneyFacts,
    RiskFacts,
    DriftFacts,
    SignalFacts,
    QueueFacts,
    DatabaseFacts,
    LeadershipFacts,
    LogFacts,
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
