"""The two ways to run the exporter: serve until stopped, or read once."""

import asyncio
import signal
from collections.abc import Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from trading_ops.errors import ConfigError, SetupError
from trading_ops.exporter.collector import MergedCollector, PolledSource
from trading_ops.exporter.config import ExporterConfig
from trading_ops.exporter.freqtrade.exposition import exposition as freqtrade_exposition
from trading_ops.exporter.server import serving
from trading_ops.exporter.sources import Sources, opened
from trading_ops.instrument.exposition import Exposition


async def serve(config: ExporterConfig) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        ConfigError: the token cannot be read.
        SetupError: the address is in use or does not belong to this machine.
    """
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    try:
        async with serving(config):
            await stopping.wait()
    except OSError as error:
        raise SetupError(
            f"metrics cannot be served on {config.address}: {error.strerror or error}. "
            "Fix: stop the process that uses it, or change `address`"
        ) from error


@dataclass(frozen=True)
class Read:
    """Result of reading some collectors once."""

    text: str
    """The exposition."""

    collectors: tuple[PolledSource, ...]

    @property
    def succeeded(self) -> bool:
        """Return whether all collectors succeeded."""
        return all(collector.up for collector in self.collectors)


async def read_once(config: ExporterConfig, names: Sequence[str] = ()) -> Read:
    """Read some collectors once, or all.

    Args:
        config: the configuration.
        names: of collectors as in `trading_exporter_collector_up`; `venue` means all that start
            with `venue:`.

    Raises:
        ConfigError: unknown collector.
    """
    async with opened(config) as sources:
        chosen = _chosen(sources, names)
        await asyncio.gather(*(collector.once() for collector in chosen))
        return Read(_exposition(sources, chosen), chosen)


def _chosen(sources: Sources, names: Sequence[str]) -> tuple[PolledSource, ...]:
    known = [collector.source.name for collector in sources.watched]
    for name in names:
        if not any(_is_named(other, name) for other in known):
            fix = f"one of {', '.join(known)}"
            raise ConfigError("collectors", name, "unknown collector", fix)
    return tuple(
        collector
        for collector in sources.watched
        if not names or any(_is_named(collector.source.name, name) for name in names)
    )


def _is_named(collector: str, name: str) -> bool:
    return collector == name or collector.startswith(f"{name}:")


def _exposition(sources: Sources, chosen: Sequence[PolledSource]) -> str:
    registry = CollectorRegistry()
    registry.register(MergedCollector(chosen))
    texts = [Exposition(registry).everything()[0].decode()]
    for name, bot in sources.bots.items():
        if any(collector in chosen for collector in bot.watched):
            body = freqtrade_exposition(bot).everything()[0].decode()
            texts.append(f"# Under /metrics?bot={name}:\n{body}")
    return "".join(texts)
