from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import BaseTestServer, TestServer

from tests.free_ports import free_port
from trading_ops_lab.supervisor.process import AskBanner, AskHttp
from trading_ops_lab.supervisor.readiness import is_ready


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as made:
        yield made


@pytest.fixture
async def agent() -> AsyncIterator[BaseTestServer]:
    """An agent that wants a token and says whatever the path says."""

    async def health(request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != "Bearer t":
            return web.Response(status=401)
        return web.json_response({"status": request.match_info["status"]})

    application = web.Application()
    application.add_routes([web.get("/health/{status}", health)])
    async with TestServer(application) as server:
        yield server


@pytest.mark.parametrize(
    ("status", "expected"), [("ok", True), ("degraded", True), ("failing", False)]
)
async def test_an_agents_answer_counts(
    session: aiohttp.ClientSession,
    agent: BaseTestServer,
    tmp_path: Path,
    status: str,
    expected: bool,
) -> None:
    """A 200 with the value that means “not yet” is not ready."""
    token = tmp_path / "token"
    token.write_text("t\n")
    url = str(agent.make_url(f"/health/{status}"))
    question = AskHttp(url=url, token_file=token, not_yet={"status": "failing"})
    assert await is_ready(question, session) is expected


async def test_an_answer_of_another_kind_is_not_ready(session: aiohttp.ClientSession) -> None:
    """JSON that is no object cannot say that it is ready, and is not an error."""

    async def health(_request: web.Request) -> web.Response:
        return web.json_response(["ok"])

    application = web.Application()
    application.add_routes([web.get("/health", health)])
    async with TestServer(application) as server:
        url = str(server.make_url("/health"))
        assert not await is_ready(AskHttp(url=url, not_yet={"status": "failing"}), session)


async def test_a_refusal_is_not_ready(
    session: aiohttp.ClientSession, agent: BaseTestServer
) -> None:
    """Another answer than 200 is not ready, and is not an error."""
    assert not await is_ready(AskHttp(url=str(agent.make_url("/health/ok"))), session)


async def test_no_answer_is_not_ready(session: aiohttp.ClientSession) -> None:
    """A port on which no one listens is not ready, and is not an error."""
    address = f"127.0.0.1:{free_port()}"
    assert not await is_ready(AskHttp(url=f"http://{address}/"), session)
    assert not await is_ready(AskBanner(address=address, begins="220"), session)
