"""A venue that answers as a test says."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

ONLINE = {"error": [], "result": {"status": "online", "timestamp": "2026-01-01T00:00:00Z"}}


class FakeVenue:
    """Public status and time, and what it was shown."""

    def __init__(self) -> None:
        self.http_status = 200
        self.body: Any = ONLINE
        self.unixtime: Any = 0
        self.hangs = False
        self.pairs: dict[str, str] = {}
        """The status of each pair that it knows."""

        self.cookies: list[str] = []
        self.connections: set[Any] = set()
        self._released = asyncio.Event()

    async def status(self, request: web.Request) -> web.Response:
        self.cookies.append(request.headers.get("Cookie", ""))
        peer = request.transport.get_extra_info("peername") if request.transport else None
        self.connections.add(peer)
        if self.hangs:
            await self._released.wait()
        answer = web.json_response(self.body, status=self.http_status)
        answer.set_cookie("__cf_bm", "session")
        return answer

    async def asset_pairs(self, request: web.Request) -> web.Response:
        name = request.query.get("pair", "")
        if name not in self.pairs:
            return web.json_response({"error": ["EQuery:Unknown asset pair"]})
        return web.json_response({"error": [], "result": {"X": {"status": self.pairs[name]}}})

    async def time(self, _request: web.Request) -> web.Response:
        return web.json_response({"error": [], "result": {"unixtime": self.unixtime}})

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Serve while the block runs; gives `host:port`."""
        application = web.Application()
        application.add_routes(
            [
                web.get("/0/public/SystemStatus", self.status),
                web.get("/0/public/Time", self.time),
                web.get("/0/public/AssetPairs", self.asset_pairs),
            ]
        )
        async with TestServer(application) as server:
            yield f"{server.host}:{server.port}"
            self._released.set()
