"""Strangers' connections are bounded, and no client that has a token feels the bound."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import aiohttp
import pytest
from aiohttp import web

from tests.free_ports import free_port
from tests.waiting import eventually
from trading_ops.bounded_site import CONNECTIONS, BoundedSite, trust

HALF_A_HEAD = b"GET / HTTP/1.1\r\nHost: "
REQUEST = b"GET /open HTTP/1.1\r\nHost: here\r\n\r\n"
TOKEN = {"Authorization": "Bearer right"}


@dataclass
class Served:
    """A server, and requests that it holds back."""

    runner: web.AppRunner = field(init=False)
    port: int = field(default_factory=free_port)
    entered: int = 0
    release: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def open(self) -> int:
        assert self.runner.server is not None
        return len(
            [
                connection
                for connection in self.runner.server.connections
                if connection.transport is not None
            ]
        )

    async def connect(self, stack: AsyncExitStack, send: bytes) -> asyncio.StreamReader:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        stack.callback(writer.close)
        with contextlib.suppress(ConnectionError):
            writer.write(send)
            await writer.drain()
        return reader


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async def hello(request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != TOKEN["Authorization"]:
            return web.Response(status=401)
        trust(request)
        return web.Response(text="hello")

    here = Served()

    async def slow(_: web.Request) -> web.Response:
        here.entered += 1
        await here.release.wait()
        return web.Response(text="late")

    async def unlocked(_: web.Request) -> web.Response:
        return web.Response(text="open")

    application = web.Application()
    application.add_routes(
        [web.get("/", hello), web.get("/slow", slow), web.get("/open", unlocked)]
    )
    here.runner = web.AppRunner(application)
    await here.runner.setup()
    await BoundedSite(here.runner, "127.0.0.1", here.port).start()
    yield here
    here.release.set()
    await here.runner.cleanup()


async def ended(readers: list[asyncio.StreamReader]) -> list[bool]:
    """Tell which connections the server has ended; bytes that it sent before are read."""

    async def is_closed(reader: asyncio.StreamReader) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.01):
                while await reader.read(1024):
                    pass
                return True
        return False

    return [await is_closed(reader) for reader in readers]


@pytest.mark.parametrize("send", [b"", HALF_A_HEAD, REQUEST])
async def test_the_oldest_idle_strangers_make_room(served: Served, send: bytes) -> None:
    """Without a whole head, or idle after an answer that needed no token."""
    async with AsyncExitStack() as stack:
        readers = [await served.connect(stack, send) for _ in range(3 * CONNECTIONS)]
        async with (
            aiohttp.ClientSession() as session,
            session.get(served.url, headers=TOKEN) as answer,
        ):
            assert await answer.text() == "hello"
        await eventually(lambda: served.open <= CONNECTIONS + 1)

        async def oldest_ended() -> bool:
            return all(await ended(readers[:CONNECTIONS]))

        await eventually(oldest_ended)
        assert not any(await ended(readers[-CONNECTIONS // 2 :]))


async def test_a_connection_with_a_token_outlives_any_flood(served: Served) -> None:
    """Kept open between its requests, it is not ended: no request of it fails."""
    connector = aiohttp.TCPConnector(limit=1)
    async with AsyncExitStack() as stack, aiohttp.ClientSession(connector=connector) as session:
        async with session.get(served.url, headers=TOKEN) as answer:
            assert answer.status == 200
            assert answer.connection is None or answer.connection.transport is not None
        (known,) = [
            connection for connection in _connections(served) if connection.transport is not None
        ]
        for _ in range(4):
            for _ in range(CONNECTIONS):
                await served.connect(stack, HALF_A_HEAD)
            async with session.get(served.url, headers=TOKEN) as answer:
                assert await answer.text() == "hello"
        assert known.transport is not None
        async with session.get(served.url) as answer:  # without its token it is a stranger again
            assert answer.status == 401
        for _ in range(2 * CONNECTIONS):
            await served.connect(stack, HALF_A_HEAD)
        await eventually(lambda: known.transport is None)


async def test_a_request_that_is_answered_is_not_cut_off(served: Served) -> None:
    """A stranger's neither; when all are being answered, the newest connection is refused."""
    async with AsyncExitStack() as stack, aiohttp.ClientSession() as session:
        slow = [asyncio.create_task(_text(session, f"{served.url}/slow")) for _ in range(5)]
        await eventually(lambda: served.entered == len(slow))
        for _ in range(2 * CONNECTIONS):
            await served.connect(stack, HALF_A_HEAD)
        more = CONNECTIONS - len(slow)
        slow += [asyncio.create_task(_text(session, f"{served.url}/slow")) for _ in range(more)]
        await eventually(lambda: served.entered == CONNECTIONS)
        refused = await served.connect(stack, REQUEST)
        with contextlib.suppress(ConnectionResetError):
            assert await refused.read() == b""
        served.release.set()
        assert set(await asyncio.gather(*slow)) == {"late"}


async def _text(session: aiohttp.ClientSession, url: str) -> str:
    async with session.get(url) as answer:
        return await answer.text()


def _connections(served: Served) -> list[web.RequestHandler]:
    assert served.runner.server is not None
    return list(served.runner.server.connections)


async def test_a_client_that_asks_at_once_is_answered_in_a_flood(served: Served) -> None:
    """Its request is read before as many connections as the bound have come after it."""
    stop = asyncio.Event()

    async def flood() -> None:
        while not stop.is_set():
            async with AsyncExitStack() as stack:
                for _ in range(CONNECTIONS):
                    with contextlib.suppress(OSError):
                        await served.connect(stack, HALF_A_HEAD)

    floods = [asyncio.create_task(flood()) for _ in range(8)]
    async with aiohttp.ClientSession() as session:
        for _ in range(20):
            async with session.get(served.url, headers=TOKEN | {"Connection": "close"}) as answer:
                assert answer.status == 200
    stop.set()
    await asyncio.gather(*floods)


async def test_an_address_that_is_taken_is_an_error() -> None:
    """As with the site that it stands for."""
    runner = web.AppRunner(web.Application())
    await runner.setup()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            await BoundedSite(runner, "127.0.0.1", port).start()
    await runner.cleanup()


async def test_the_end_of_the_runner_frees_the_port(served: Served) -> None:
    """Nothing listens then."""
    await served.runner.cleanup()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", served.port)
