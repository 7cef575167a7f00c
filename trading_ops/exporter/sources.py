"""Builds all configured sources, and closes their sessions at the end."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import aiohttp

from trading_ops.exporter.collector import PolledSource
from trading_ops.exporter.config import ExporterConfig
from trading_ops.exporter.databases.sources import postgresql_sources
from trading_ops.exporter.databases.sqlite.source import Sqlite
from trading_ops.exporter.exchange.source import ExchangeSource
from trading_ops.exporter.freqtrade.bot import FreqtradeBot
from trading_ops.exporter.host.source import host_sources
from trading_ops.exporter.log_files.source import LogFiles
from trading_ops.exporter.markets import Markets
from trading_ops.exporter.processes import processes_source
from trading_ops.exporter.venue import Venue
from trading_ops.listener import KnownListeners, trusted_users


@dataclass
class Sources:
    """All collectors, and the bots whose metrics are served separately by name."""

    watched: list[PolledSource] = field(default_factory=list)
    bots: dict[str, FreqtradeBot] = field(default_factory=dict)


@contextlib.asynccontextmanager
async def opened(config: ExporterConfig) -> AsyncIterator[Sources]:
    """Build the sources; nothing is read yet. Sessions are closed with the block."""
    async with contextlib.AsyncExitStack() as stack:
        sources = Sources()
        sources.watched += map(PolledSource, host_sources(config))
        if config.processes:
            sources.watched.append(PolledSource(processes_source(config.processes)))
        _databases(config, sources, stack)
        sources.watched += [PolledSource(LogFiles(entry)) for entry in config.log_files]
        await _venues(config, sources, stack)
        await _freqtrades(config, sources, stack)
        _exchanges(config, sources, stack)
        yield sources


def _databases(config: ExporterConfig, sources: Sources, stack: contextlib.AsyncExitStack) -> None:
    sources.watched += [PolledSource(Sqlite(entry)) for entry in config.sqlite]
    for source in postgresql_sources(config.postgresql):
        stack.callback(source.close)
        sources.watched.append(PolledSource(source))


async def _venues(
    config: ExporterConfig, sources: Sources, stack: contextlib.AsyncExitStack
) -> None:
    session = await stack.enter_async_context(_session(aiohttp.TCPConnector(force_close=True)))
    sources.watched += [PolledSource(Venue(entry, session)) for entry in config.venues]
    sources.watched += [
        PolledSource(Markets(entry, session)) for entry in config.venues if entry.symbols
    ]


async def _freqtrades(
    config: ExporterConfig, sources: Sources, stack: contextlib.AsyncExitStack
) -> None:
    for entry in config.freqtrades:
        # One session each: a hanging Freqtrade cannot use up the connections of others.
        connector = KnownListeners(trusted_users(config.listener_users), force_close=True)
        session = await stack.enter_async_context(_session(connector))
        bot = FreqtradeBot(entry, session)
        sources.bots[entry.name] = bot
        sources.watched += bot.watched


def _exchanges(config: ExporterConfig, sources: Sources, stack: contextlib.AsyncExitStack) -> None:
    for entry in config.ccxt:
        source = ExchangeSource(entry)
        stack.push_async_callback(source.child.close)
        sources.watched.append(PolledSource(source))


def _session(connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
    # No cookies and no kept connections: each probe acts like a new client.
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
