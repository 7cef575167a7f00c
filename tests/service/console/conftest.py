"""A running reconciler with its console, and browsers of several users."""

import asyncio
import contextlib
import html
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from msgspec.structs import replace

from tests.builders import make_registry, make_target
from tests.fakes import FakeWorld
from tests.service.api.conftest import TOKENS, with_tokens
from tests.service.reconciler.conftest import Running, settings
from trading_ops import clock
from trading_ops.api.auth import Role
from trading_ops.app.build import build
from trading_ops.config.settings import Settings
from trading_ops.domain.target import Registry

__all__ = ["settings", "with_tokens"]


class MoneyWorld(FakeWorld):
    """A fake world whose Prometheus knows money too."""

    def __init__(self) -> None:
        super().__init__()
        self.money: dict[str, list[tuple[dict[str, str], float]]] = {}
        """Samples by a part of the query."""

        self.ranges: list[str] = []
        """The range queries that were asked."""

    async def query(self, request: web.Request) -> web.Response:
        """GET /api/v1/query of Prometheus."""
        asked = request.query["query"]
        for part, samples in self.money.items():
            if part in asked and not self.prometheus_down:
                now = clock.timestamp()
                found = [
                    {"metric": sample, "value": [now, str(value)]} for sample, value in samples
                ]
                return web.json_response({"data": {"resultType": "vector", "result": found}})
        return await super().query(request)

    async def query_range(self, request: web.Request) -> web.Response:
        """GET /api/v1/query_range of Prometheus: a line that rises for alpha."""
        self.ranges.append(request.query["query"])
        now = clock.timestamp()
        values = [[now - 60 * (60 - at), str(10000 + at)] for at in range(61)]
        found = [{"metric": {"bot": "alpha", "currency": "USD"}, "values": values}]
        return web.json_response({"data": {"resultType": "matrix", "result": found}})

    def server(self) -> TestServer:
        """Return the server, not yet started."""
        server = super().server()
        server.app.router.add_get("/api/v1/query_range", self.query_range)
        return server


@pytest.fixture
async def world() -> AsyncIterator[MoneyWorld]:
    """The fake world, with its server running."""
    fake = MoneyWorld()
    server = fake.server()
    await server.start_server()
    fake.address = f"127.0.0.1:{server.port}"
    yield fake
    await server.close()


@dataclass
class Browser:
    """One person's browser: it keeps cookies and follows redirects if configured."""

    client: TestClient[Any, Any]
    headers: dict[str, str] = field(default_factory=dict)

    async def get(self, path: str, **headers: str) -> tuple[int, str]:
        """Return status and body of a page."""
        async with self.client.get(
            path, headers={**self.headers, **headers}, allow_redirects=False
        ) as response:
            return response.status, await response.text()

    async def post(self, path: str, **fields: str) -> tuple[int, str]:
        """Send a form; return the status, and the body or where to go next."""
        async with self.client.post(
            path, data=fields, headers=self.headers, allow_redirects=False
        ) as response:
            return response.status, response.headers.get("Location") or await response.text()

    async def log_in(self, token: str, **fields: str) -> tuple[int, str]:
        """Log in by the form."""
        csrf = csrf_in((await self.get("/console/login"))[1])
        return await self.post("/console/login", csrf=csrf, token=token, **fields)

    async def order(self, name: str, **fields: str) -> tuple[int, str]:
        """Open a form, and send it with its hidden fields."""
        query = "&".join(f"{key}={value}" for key, value in fields.items() if key == "subject")
        _, page = await self.get(f"/console/do/{name}?{query}")
        return await self.post(f"/console/do/{name}", **hidden_in(page), **fields)


def hidden_in(page: str) -> dict[str, str]:
    """Return the hidden fields of the form of an order."""
    form = page[page.index('class="card order-form"') :] if "order-form" in page else page
    found = re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form)
    return {name: html.unescape(value) for name, value in found if name != "subject"}


def csrf_in(page: str) -> str:
    """Return the CSRF token of a page's first form."""
    found = re.search(r'name="csrf" value="([^"]+)"', page)
    assert found is not None
    return found.group(1)


@dataclass
class Console:
    """A running reconciler, and the ways to look at its console."""

    running: Running
    server: TestServer
    stack: contextlib.AsyncExitStack

    async def stranger(self) -> Browser:
        """Return a browser without a login."""
        return Browser(await self.stack.enter_async_context(TestClient(self.server)))

    async def browser(self, role: Role = Role.ADMIN, **fields: str) -> Browser:
        """Return a browser in which an operator of this role is logged in."""
        browser = await self.stranger()
        status, _ = await browser.log_in(TOKENS[role], **fields)
        assert status == 303
        return browser


Serving = Callable[..., AbstractAsyncContextManager[Console]]


@pytest.fixture
def serving(with_tokens: Settings, world: MoneyWorld) -> Serving:
    """Return a way to run a reconciler with so many more bots."""

    @contextlib.asynccontextmanager
    async def run(bots: int = 0, *, watched: bool = False, **over: Any) -> AsyncIterator[Console]:
        names = ("alpha", "supervisor", "prometheus", "alertmanager")
        ours = make_registry(**dict.fromkeys(names, world.address))
        more = [
            make_target(name=f"bot-{number:04}", address=world.address, service=None)
            for number in range(bots)
        ]
        async with contextlib.AsyncExitStack() as stack:
            built = build(replace(with_tokens, **over), Registry((*ours, *more)))
            reconciler = await stack.enter_async_context(built)
            server = TestServer(reconciler.application, host="127.0.0.1")
            jobs = [reconciler.loop.run()] + ([reconciler.agent_monitor.run()] if watched else [])
            tasks = [asyncio.create_task(job) for job in jobs]
            client = await stack.enter_async_context(TestClient(server))
            running = Running(client, reconciler.loop, world, reconciler.api_reader)
            await running.has_polled()
            yield Console(running, server, stack)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    return run
