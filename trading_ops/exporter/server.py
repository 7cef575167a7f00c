"""Serves the exporter's metrics, and those of each Freqtrade, to clients with the token."""

import asyncio
import contextlib
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

from aiohttp import web
from prometheus_client import CollectorRegistry, ProcessCollector

from trading_ops import logs
from trading_ops.bounded_site import BoundedSite, trust
from trading_ops.exporter.addresses import host_and_port
from trading_ops.exporter.collector import Board, Watched
from trading_ops.exporter.config import ExporterConfig
from trading_ops.exporter.freqtrade.board import exposition as freqtrade_exposition
from trading_ops.exporter.freqtrade.bot import FreqtradeBot
from trading_ops.exporter.secret import read_secret
from trading_ops.exporter.sources import opened
from trading_ops.instrument.exposition import Exposition, View
from trading_ops.tls.contexts import TlsFiles
from trading_ops.tls.contexts import serving as tls_serving

_log = logs.get(__name__)

READY = "/-/ready"

FIRST_LOOK_SECONDS = 3.0
"""Maximum wait for first results at startup; a hanging source must not delay the others."""


ENDING_SECONDS = 3.0
"""So long the end waits for readings; one that does not heed its cancellation is left behind."""


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
        tasks = [asyncio.create_task(one.run(), name=one.source.name) for one in watched]
        runner = web.AppRunner(application(watched, token, sources.bots), access_log=None)
        try:
            await _first_look(watched)
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


async def _first_look(watched: Sequence[Watched]) -> None:
    """Wait for one look at everything before the first scrape; a failure is a figure as well."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(FIRST_LOOK_SECONDS):
            for one in watched:
                await one.looked.wait()


def application(
    watched: Sequence[Watched], token: str, bots: Mapping[str, FreqtradeBot]
) -> web.Application:
    """Return the application: /metrics for the token, /-/ready for all.

    `/metrics?bot=NAME` and `/metrics/vital?bot=NAME` are those of one Freqtrade, in the forms in
    which an agent serves a bot's.
    """
    registry = CollectorRegistry()
    registry.register(Board(watched))
    ProcessCollector(registry=registry)
    scrapes = _Scrapes(Exposition(registry), bots)
    expected = f"Bearer {token}".encode()

    @web.middleware
    async def guard(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        if request.path != READY:
            if not hmac.compare_digest(given, expected):
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
    """Answers scrapes: of the exporter itself, and of one bot when the query names it."""

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
            # Prometheus' `up` is 0 then, as for one of our own bots that is down.
            return _refusal(503, "this Freqtrade does not answer")
        return exposition


async def _ready(_request: web.Request) -> web.Response:
    return web.Response(text="ready\n")


def _exposed(body: bytes, content_type: str) -> web.Response:
    return web.Response(body=body, headers={"Content-Type": content_type})


def _refusal(status: int, reason: str) -> web.Response:
    return web.Response(status=status, text=f"{reason}\n")
