"""Serves the exporter's metrics, to whoever has the token."""

import asyncio
import contextlib
import hmac
from collections.abc import AsyncIterator, Sequence

import aiohttp
from aiohttp import web
from prometheus_client import CollectorRegistry, ProcessCollector

from trading_ops import logs
from trading_ops.exporter.collector import Board, Watched
from trading_ops.exporter.config import ExporterConfig
from trading_ops.exporter.host import Host
from trading_ops.exporter.venue import Venue
from trading_ops.instrument.exposition import Exposition

_log = logs.get(__name__)


@contextlib.asynccontextmanager
async def serving(config: ExporterConfig) -> AsyncIterator[None]:
    """Collect and serve while the block runs.

    Raises:
        OSError: the address is taken, or the token cannot be read.
    """
    token = config.metrics_token_file.read_text(encoding="ascii").strip()
    # No cookies and no kept connections: each probe is what a new client would meet.
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar()
    ) as session:
        watched = [Watched(Host(config.paths))]
        watched += [Watched(Venue(entry, session)) for entry in config.venues]
        # One look at everything before the first scrape; a failure is a figure, no obstacle.
        await asyncio.gather(*(one.once() for one in watched))
        tasks = [asyncio.create_task(one.run(), name=one.source.name) for one in watched]
        runner = web.AppRunner(application(watched, token), access_log=None)
        await runner.setup()
        try:
            host, _, port = config.address.rpartition(":")
            await web.TCPSite(runner, host, int(port)).start()
            _log.info("exporter_started", address=config.address)
            yield
        finally:
            await runner.cleanup()
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


def application(watched: Sequence[Watched], token: str) -> web.Application:
    """Return the application: /metrics for the token, /-/ready for all."""
    registry = CollectorRegistry()
    registry.register(Board(watched))
    ProcessCollector(registry=registry)
    exposition = Exposition(registry)
    expected = f"Bearer {token}".encode()

    async def metrics(request: web.Request) -> web.Response:
        given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(given, expected):
            return web.Response(status=401, text="a token is needed\n")
        body, content_type = exposition.everything(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def ready(_request: web.Request) -> web.Response:
        return web.Response(text="ready\n")

    served = web.Application()
    served.add_routes([web.get("/metrics", metrics), web.get("/-/ready", ready)])
    return served
