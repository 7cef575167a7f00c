"""What a scrape of one Freqtrade sees, as if it were one of our bots."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from trading_ops import clock
from trading_ops.exporter.families import family
from trading_ops.exporter.freqtrade import heard
from trading_ops.exporter.freqtrade.bot import FreqtradeBot
from trading_ops.exporter.freqtrade.facts import NAMES, facts
from trading_ops.instrument.exposition import Exposition


class FreqtradeBoard(Collector):
    """From memory only, like every scrape: it never waits."""

    def __init__(self, bot: FreqtradeBot) -> None:
        self._bot = bot

    def collect(self) -> Iterator[Metric]:
        """Yield the facts as they are now."""
        return facts(self._bot, clock.timestamp())

    def describe(self) -> Iterator[Metric]:
        """Yield every family that there can be: a scrape of the vital ones picks by name."""
        return (family(name, {}) for name in (*NAMES, *heard.NAMES))


def exposition(bot: FreqtradeBot) -> Exposition:
    """Return what renders the bot's metrics, vital or all, as an agent does."""
    registry = CollectorRegistry()
    registry.register(FreqtradeBoard(bot))
    return Exposition(registry)
