"""The clients against servers that misbehave in the ways that servers do."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any, Protocol

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.builders import FixedSecrets, make_registry
from tests.fakes import FakeWorld
from tests.free_ports import free_port
from trading_ops.clients.agent import AgentClient
from trading_ops.clients.alertmanager import Alertmanager
from trading_ops.clients.directory import Directory
from trading_ops.clients.http import Http
from trading_ops.clients.node import ServiceUnit
from trading_ops.clients.prometheus import Prometheus
from trading_ops.domain.target import Kind
from trading_ops.errors import ActionError, Refused, Unreachable

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

PATIENCE = timedelta(seconds=60)


class Serve(Protocol):
    def __call__(self, handler: Handler, within: timedelta = PATIENCE) -> Awaitable[Http]: ...


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Return a way to serve one handler on every path, and an Http to it."""
    servers = []
    async with aiohttp.ClientSession() as session:

        async def start(handler: Handler, within: timedelta = PATIENCE) -> Http:
            app = web.Application()
            app.router.add_route("*", "/{tail:.*}", handler)
            server = TestServer(app, host="127.0.0.1")
            await server.start_server()
            servers.append(server)
            base = f"http://127.0.0.1:{server.port}"
            return Http(session, base, token="t", within=within)

        yield start
    for server in servers:
        await server.close()


def says(body: Any, status: int = 200) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        del request
        text = body if isinstance(body, str) else json.dumps(body)
        return web.Response(text=text, status=status, content_type="application/json")

    return handler


async def test_an_answer_in_many_pieces_is_read_whole(serve: Serve) -> None:
    """Chunks that arrive one by one are one answer."""
    alerts = [FakeWorld(labels={"alertname": f"A{n}"}).alert() for n in range(50)]
    answer = json.dumps(
        [
            alert
            | {
                "endsAt": alert["startsAt"],
                "status": {"state": "active", "silencedBy": [], "inhibitedBy": []},
            }
            for alert in alerts
        ]
    ).encode()

    async def in_pieces(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for begin in range(0, len(answer), 1000):
            await response.write(answer[begin : begin + 1000])
            await asyncio.sleep(0)
        return response

    found = await Alertmanager(await serve(in_pieces)).alerts()
    assert len(found) == 50


async def test_no_answer_in_time_is_unreachable(serve: Serve) -> None:
    """A deadline ends the waiting."""
    released = asyncio.Event()

    async def hangs(request: web.Request) -> web.StreamResponse:
        del request
        await released.wait()
        return web.Response()

    http = await serve(hangs, timedelta(seconds=0.2))
    with pytest.raises(Unreachable, match=r"GET http://127.*: no answer in time"):
        await http.get("/x")
    released.set()


async def test_a_refused_connection_is_reported_in_plain_words() -> None:
    """The library's words speak of TLS, which is not there, and of tuples."""
    address = f"http://127.0.0.1:{free_port()}"
    async with aiohttp.ClientSession() as session:
        with pytest.raises(Unreachable) as caught:
            await Http(session, address).get("/x")
    assert str(caught.value) == f"GET {address}/x: connection refused"


async def test_a_redirect_is_refused_not_followed(serve: Serve) -> None:
    """A token never goes to where someone else points."""

    async def elsewhere(request: web.Request) -> web.StreamResponse:
        del request
        raise web.HTTPFound("http://127.0.0.1:9/evil")

    with pytest.raises(Refused, match="HTTP 302"):
        await (await serve(elsewhere)).get("/x")


@pytest.mark.parametrize("body", ["", "{", "[]", '{"data": {"alerts": 3}}', "<html>"])
async def test_prometheus_nonsense_is_unreachable(serve: Serve, body: str) -> None:
    """What is not the API's answer tells nothing."""
    prometheus = Prometheus(await serve(says(body)))
    with pytest.raises(Unreachable):
        await prometheus.view()
    with pytest.raises(Unreachable):
        await prometheus.query("up")


async def test_prometheus_scalar_is_no_vector(serve: Serve) -> None:
    """A verify query must select something."""
    answer = {"data": {"resultType": "scalar", "result": []}}
    with pytest.raises(Unreachable, match="not a vector"):
        await Prometheus(await serve(says(answer))).query("1")


async def test_a_wrong_query_is_refused(serve: Serve) -> None:
    """400 names what is wrong."""
    with pytest.raises(Refused, match="parse error"):
        await Prometheus(await serve(says("parse error", 400))).query("up{")


@pytest.mark.parametrize("body", ["", "{}", '[{"fingerprint": 1}]'])
async def test_alertmanager_nonsense_is_unreachable(serve: Serve, body: str) -> None:
    """An answer that cannot be read is not an empty list."""
    with pytest.raises(Unreachable):
        await Alertmanager(await serve(says(body))).alerts()


@pytest.mark.parametrize(
    ("status", "error"), [(401, Refused), (404, Refused), (409, Refused), (500, Unreachable)]
)
async def test_a_refusal_differs_from_no_answer(
    serve: Serve, status: int, error: type[Exception]
) -> None:
    """4xx: it was not done. 5xx: no one knows."""
    http = await serve(says({"error": "x"}, status))
    with pytest.raises(error):
        await AgentClient(http).command("halt", {}, attempt_id="a", fence=1, within=PATIENCE)
    unit = ServiceUnit(http, "bot")
    with pytest.raises(error):
        await unit.restart(incarnation=None, attempt_id="a", fence=1, within=PATIENCE)
    with pytest.raises(error):
        await AgentClient(http).raise_fence(2)


async def test_executors_that_cannot_be_read_are_unreachable(serve: Serve) -> None:
    """An unreadable answer leaves the outcome unknown."""
    http = await serve(says("nonsense"))
    for ask in (
        AgentClient(http).health(),
        AgentClient(http).attempt("a"),
        ServiceUnit(http, "x").process(),
    ):
        with pytest.raises(Unreachable):
            await ask


async def test_an_attempt_that_never_arrived_is_none(serve: Serve) -> None:
    """404 is knowledge; anything else is not."""
    assert await AgentClient(await serve(says({}, 404))).attempt("a") is None
    with pytest.raises(Unreachable):
        await AgentClient(await serve(says({}, 503))).attempt("a")


async def test_a_unit_that_the_supervisor_has_not_is_refused(serve: Serve) -> None:
    """The registry and the supervisor disagree: nothing is guessed."""
    with pytest.raises(Refused, match="unknown unit"):
        await ServiceUnit(await serve(says({"error": "unknown unit"}, 404)), "bot").process()


async def test_directory_gives_only_what_the_registry_names() -> None:
    """A venue has no agent, and a target without service no unit."""
    registry = make_registry()
    async with aiohttp.ClientSession() as session:
        directory = Directory(session, registry, FixedSecrets())
        with pytest.raises(ActionError, match="not a bot"):
            directory.bot(registry.one(Kind.VENUE))
        with pytest.raises(ActionError, match="no service"):
            directory.unit(registry.one(Kind.VENUE))
