"""Serves the exporter's metrics, and those of each Freqtrade, to clients with the token."""

import asyncio
import contextlib
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

from aiohttp import web
from prometheus_client import CollectorRegistry, ProcessCollector

from trading_ops import logs
from trading_ops.backoff import Seldom
from trading_ops.bounded_site import BoundedSite, trust
from trading_ops.exporter.addresses import host_and_port
from trading_ops.exporter.collector import MergedCollector, PolledSource
from trading_ops.exporter.config import ExporterConfig
from trading_ops.exporter.freqtrade.bot import FreqtradeBot
from trading_ops.exporter.freqtrade.exposition import exposition as freqtrade_exposition
from trading_ops.exporter.secret import read_secret
from trading_ops.exporter.sources import opened
from trading_ops.instrument.exposition import Exposition, View
from trading_ops.instrument.families import counter
from trading_ops.tls.contexts import TlsFiles
from trading_ops.tls.contexts import serving as tls_serving

_log = logs.get(__name__)

READY = "/-/ready"

FIRST_READ_SECONDS = 3.0
"""Maximum wait for first results at startup; a hanging source must not delay the others."""


ENDING_SECONDS = 3.0
"""Maximum wait at shutdown for readings that were cancelled; others are abandoned."""


@contextlib.asynccontextmanager
async def serving(config: ExporterConfig) -> AsyncIterator[None]:
    """Collect and serve while the block runs.

    Raises:
        ConfigError: the token cannot be read, or its file is empty.
        OSError: the address is in use.
    """
    token = read_secret(config.metrics_token_file, "metrics_token_file")
    async with opened(config) as sources:
        watched = sources.watched
        tasks = [
            asyncio.create_task(collector.run(), name=collector.source.name)
            for collector in watched
        ]
        runner = web.AppRunner(application(watched, token, sources.bots), access_log=None)
        try:
            await _first_read(watched)
            await runner.setup()
            host, port = host_and_port(config.address)
            files = TlsFiles(config.tls_folder, config.tls_name) if config.tls_folder else None
            tls = tls_serving(files, every_client=True) if files else None
            await BoundedSite(runner, host, port, tls=tls).start()
            _log.info("exporter_started", address=config.address)
            yield
        finally:
            await runner.cleanup()
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=ENDING_SECONDS)


async def _first_read(watched: Sequence[PolledSource]) -> None:
    """Wait for one reading of every source before the first scrape."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(FIRST_READ_SECONDS):
            for collector in watched:
                await collector.read_once.wait()


def application(
    watched: Sequence[PolledSource], token: str, bots: Mapping[str, FreqtradeBot]
) -> web.Application:
    """Return the application: /metrics needs the token, /-/ready does not.

    `/metrics?bot=NAME` and `/metrics/vital?bot=NAME` return the metrics of one Freqtrade, like an
    agent's.
    """
    registry = CollectorRegistry()
    registry.register(MergedCollector(watched))
    ProcessCollector(registry=registry)
    refused = counter("trading_exporter_refused_total", registry)
    logged = Seldom()
    scrapes = _Scrapes(Exposition(registry), bots)
    expected = f"Bearer {token}".encode()

    @web.middleware
    async def guard(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        if request.path != READY:
            if not hmac.compare_digest(given, expected):
                if given:  # browsers and health checks send none
                    refused.inc()
                    if logged.is_due(request.remote or ""):
                        _log.warning("auth_refused", address=request.remote)
                return _refusal(401, "a token is needed")
            trust(request)
        return await handler(request)

    served = web.Application(middlewares=[guard])
    served.add_routes(
        [
            web.get("/metrics", scrapes.all),
            web.get("/metrics/vital", scrapes.vital),
            web.get(READY, _ready),
        ]
    )
    return served


class _Scrapes:
    """Answers scrapes of the exporter, or of one bot if the query names it."""

    def __init__(self, own: Exposition, bots: Mapping[str, FreqtradeBot]) -> None:
        self._own = own
        self._bots = {name: (bot, freqtrade_exposition(bot)) for name, bot in bots.items()}

    async def all(self, request: web.Request) -> web.Response:
        accept = request.headers.get("Accept", "")
        if "bot" not in request.query:
            return _exposed(*await self._own.sliced(View.EVERYTHING, accept))
        found = self._of_bot(request)
        if isinstance(found, web.Response):
            return found
        without = request.query.get("exclude") == "vital"
        view = View.WITHOUT_VITAL if without else View.EVERYTHING
        return _exposed(*await found.sliced(view, accept))

    async def vital(self, request: web.Request) -> web.Response:
        found = self._of_bot(request)
        if isinstance(found, web.Response):
            return found
        return _exposed(*await found.sliced(View.VITAL, request.headers.get("Accept", "")))

    def _of_bot(self, request: web.Request) -> Exposition | web.Response:
        name = request.query.get("bot", "")
        if name not in self._bots:
            return _refusal(404, "there is no Freqtrade of this name in the configuration")
        bot, exposition = self._bots[name]
        if not bot.is_alive:
            # Sets `up` to 0 in Prometheus, as for one of our own bots that is down.
            return _refusal(503, "this Freqtrade does not answer")
        return exposition


async def _ready(_request: web.Request) -> web.Response:
    return web.Response(text="ready\n")


def _exposed(body: bytes, content_type: str) -> web.Response:
    return web.Response(body=body, headers={"Content-Type": content_type})


def _refusal(status: int, reason: str) -> web.Response:
    return web.Response(status=status, text=f"{reason}\n")
