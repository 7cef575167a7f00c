"""Exports the metrics of one Freqtrade like those of our own bots."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from trading_ops import clock
from trading_ops.exporter.freqtrade import message_metrics
from trading_ops.exporter.freqtrade.bot import FreqtradeBot
from trading_ops.exporter.freqtrade.facts import NAMES, facts
from trading_ops.instrument.exposition import Exposition
from trading_ops.instrument.families import family


class FreqtradeCollector(Collector):
    """The prometheus_client collector of one Freqtrade: reads memory only and never waits."""

    def __init__(self, bot: FreqtradeBot) -> None:
        self._bot = bot

    def collect(self) -> Iterator[Metric]:
        """Yield the current metrics."""
        return facts(self._bot, clock.timestamp())

    def describe(self) -> Iterator[Metric]:
        """Yield every possible family: a scrape of the vital ones selects them by name."""
        return (family(name, {}) for name in (*NAMES, *message_metrics.NAMES))


def exposition(bot: FreqtradeBot) -> Exposition:
    """Return the exposition of the bot's metrics, vital or all, as for an agent."""
    registry = CollectorRegistry()
    registry.register(FreqtradeCollector(bot))
    return Exposition(registry)
