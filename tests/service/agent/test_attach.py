"""The agent in the server of an aiohttp and of a FastAPI application."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvicorn
from aiohttp import web
from fastapi import FastAPI

from tests.service.agent.conftest import AGENT_TOKEN, METRICS_TOKEN, Asker
from tests.waiting import eventually
from trading_ops.agent import Attached, Command, Params, attach
from trading_ops.agent.attach import AgentMiddleware
from trading_ops.errors import SetupError
from trading_ops.instrument import BotMetrics

Serve = Callable[[Any], AbstractAsyncContextManager[str]]


@asynccontextmanager
async def serve_aiohttp(app: web.Application) -> AsyncIterator[str]:
    runner = web.AppRunner(app)
    try:
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def serve_fastapi(app: FastAPI) -> AsyncIterator[str]:
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical"))

    async def serve() -> None:
        try:
            await server.serve()
        except SystemExit as error:
            raise SetupError("the application did not start") from error

    serving = asyncio.create_task(serve())
    await eventually(lambda: server.started or serving.done(), what="uvicorn")
    try:
        if serving.done():
            serving.result()
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving


class Aiohttp:
    """An aiohttp application with a route of its own, and how to serve it."""

    serve = staticmethod(serve_aiohttp)

    @staticmethod
    def app(path: str = "/position") -> web.Application:
        async def own(_: web.Request) -> web.Response:
            return web.json_response({"owner": "application"})

        app = web.Application()
        app.router.add_get(path, own)
        return app


class Fast:
    """The same in FastAPI."""

    serve = staticmethod(serve_fastapi)

    @staticmethod
    def app(path: str = "/position") -> FastAPI:
        async def own() -> dict[str, str]:
            return {"owner": "application"}

        app = FastAPI()
        app.add_api_route(path, own)
        return app


@pytest.fixture(params=[Aiohttp, Fast])
def framework(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    (tmp_path / "metrics_token").write_text(METRICS_TOKEN)
    (tmp_path / "agent_token_alpha").write_text(AGENT_TOKEN)
    return tmp_path


def attached_to(app: Any, secrets: Path, **commands: Command) -> Attached:
    metrics = BotMetrics(version="1", mode="paper")
    return attach(
        app,
        metrics,
        "alpha",
        secrets=secrets,
        state=secrets / "state",
        commands=commands,
        holds_wait_seconds=0,
    )


@asynccontextmanager
async def asking(framework: Any, app: Any) -> AsyncIterator[Asker]:
    async with framework.serve(app) as url, aiohttp.ClientSession() as http:
        yield Asker(http, url)


async def test_both_answer_on_one_port(framework: Any, secrets: Path) -> None:
    """Each its own paths; the agent asks for its tokens, the application decides for itself."""
    app = framework.app()
    bot = attached_to(app, secrets)
    bot.metrics.heartbeat()
    async with asking(framework, app) as ask:
        assert await ask.get("/position") == (200, {"owner": "application"})
        assert (await ask.get("/elsewhere"))[0] == 404
        status, health = await ask.get("/health", METRICS_TOKEN)
        assert (status, health["bot"], health["status"]) == (200, "alpha", "ok")
        _, vital = await ask.get("/metrics/vital", METRICS_TOKEN)
        assert 'trading_state{state="active"} 1' in vital
        _, rest = await ask.get("/metrics?exclude=vital&exclude=nothing")
        assert "trading_state{" not in rest
        assert "process_resident_memory_bytes" in rest
        assert (await ask.get("/health", "wrong"))[0] == 401
        assert (await ask.get("/events", METRICS_TOKEN))[0] == 401
        assert (await ask.post("/health", {}))[0] == 405
        assert (await ask.post("/commands/halt", {"owner": "x" * 70_000}))[0] == 413
        assert (await ask.command("unknown"))[1]["error"] == "unknown_command"
    refused = bot.metrics.registry.get_sample_value("trading_agent_refused_total")
    assert refused == 2


async def test_a_command_runs_in_the_loop_of_the_application(framework: Any, secrets: Path) -> None:
    """Once, however often it is sent; its answer is kept for the next process."""
    ran: list[asyncio.AbstractEventLoop] = []

    async def count(_: Params) -> str:
        ran.append(asyncio.get_running_loop())
        return "counted"

    for repeated in (False, True):
        app = framework.app()
        attached_to(app, secrets, count=Command(run=count))
        async with asking(framework, app) as ask:
            _, answer = await ask.command("count", attempt_id="first")
            assert (answer["outcome"], answer["repeated"]) == ("succeeded", repeated)
            assert (await ask.get("/attempts/first"))[1]["detail"] == "counted"
            assert (await ask.command("count", fence=0))[0] == 409
    assert ran == [asyncio.get_running_loop()]


async def test_it_runs_as_long_as_the_application(framework: Any, secrets: Path) -> None:
    """A hold and an event from before are there after a restart of the application."""
    app = framework.app()
    bot = attached_to(app, secrets)
    bot.agent.event("trade", "before the start", id="t1")
    async with asking(framework, app) as ask:
        _, answer = await ask.command("halt", owner="anna", reason="test", id="h1")
        assert answer["outcome"] == "succeeded"
        assert bot.agent.holds.state == "halted"
    again = framework.app()
    second = attached_to(again, secrets)
    second.agent.event("trade", "after the restart", id="t2")
    async with asking(framework, again) as ask:
        assert second.agent.holds.state == "halted"
        assert await asyncio.to_thread(second.agent.events.flush, 60)
        _, page = await ask.get("/events")
        assert [event["id"] for event in page["events"]] == ["t1", "t2"]


async def test_an_application_can_start_twice(secrets: Path) -> None:
    """In one process, as in the tests of an application."""
    bot = attached_to(FastAPI(), secrets)
    for number in (1, 2):
        bot.agent.event("trade", "bought", id=f"t{number}")
        async with bot.running():
            assert await asyncio.to_thread(bot.agent.events.flush, 60)
    assert [event["id"] for event in bot.agent.events.read(0)] == ["t1", "t2"]


@pytest.mark.parametrize("path", ["/health", "/metrics"])
async def test_a_path_has_one_owner(framework: Any, secrets: Path, path: str) -> None:
    """The application does not start with a route that the agent would hide."""
    app = framework.app(path)
    attached_to(app, secrets)
    with pytest.raises(SetupError):
        async with framework.serve(app):
            pass


async def test_a_stopped_agent_answers_503(framework: Any, secrets: Path) -> None:
    """As with a server that does not tell the application about its start."""
    app = framework.app()
    bot = attached_to(app, secrets)
    async with asking(framework, app) as ask:
        bot.routes = None
        assert (await ask.get("/health"))[0] == 503


def test_an_unknown_framework_is_named(secrets: Path) -> None:
    """With the fix; a missing token, too."""
    with pytest.raises(SetupError, match=r"attached to a dict\. Fix:"):
        attached_to({}, secrets)
    (secrets / "metrics_token").unlink()
    with pytest.raises(SetupError, match="metrics_token"):
        attached_to(web.Application(), secrets)


async def test_a_body_that_breaks_off_is_refused(secrets: Path) -> None:
    """ASGI tells of a client that left; nothing is done with what arrived."""
    bot = attached_to(FastAPI(), secrets)
    sent: list[dict[str, Any]] = []
    messages = iter([{"type": "http.request", "body": b"{", "more_body": True}])

    async def receive() -> Any:
        return next(messages, {"type": "http.disconnect"})

    async def send(message: Any) -> None:
        sent.append(message)

    async def app(*_: object) -> None:
        raise AssertionError("not the application's path")

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/fence",
        "headers": [(b"authorization", f"Bearer {AGENT_TOKEN}".encode())],
    }
    async with bot.running():
        await AgentMiddleware(app, bot)(scope, receive, send)
    assert (sent[0]["status"], json.loads(sent[1]["body"])["error"]) == (422, "bad_request")
