"""A venue's public ticker, one of whose requests can be left without an answer."""

import asyncio
from typing import Self

from aiohttp import web
from aiohttp.test_utils import TestServer


class PriceSource:
    """Answers `/0/public/Ticker` as Kraken does."""

    def __init__(self) -> None:
        app = web.Application()
        app.router.add_get("/0/public/Ticker", self._ticker)
        self._server = TestServer(app)
        self._hangs = False
        self._hanging = asyncio.Event()
        self._released = asyncio.Event()

    async def __aenter__(self) -> Self:
        await self._server.start_server()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._released.set()
        await self._server.close()

    @property
    def url(self) -> str:
        return str(self._server.make_url("")).rstrip("/")

    def hang(self) -> None:
        """Leave the next request without an answer, and answer the ones after it."""
        self._hangs = True

    def has_hanging_request(self) -> bool:
        return self._hanging.is_set()

    async def _ticker(self, _: web.Request) -> web.Response:
        if self._hangs:
            self._hangs = False
            self._hanging.set()
            await self._released.wait()
        ticker = {"a": ["50001.0"], "b": ["49999.0"], "c": ["50000.0", "0.1"]}
        return web.json_response({"error": [], "result": {"XXBTZUSD": ticker}})
