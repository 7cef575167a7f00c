"""Whoever opens connections and says nothing keeps nobody from being answered."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import aiohttp
import pytest
from aiohttp import web

from tests.free_ports import free_port
from tests.waiting import eventually
from trading_ops.bounded_site import CONNECTIONS, BoundedSite

HALF_A_HEAD = b"GET / HTTP/1.1\r\nHost: "


async def hello(_: web.Request) -> web.Response:
    return web.Response(text="hello")


@pytest.fixture
async def runner() -> AsyncIterator[web.AppRunner]:
    application = web.Application()
    application.add_routes([web.get("/", hello)])
    runner = web.AppRunner(application)
    await runner.setup()
    yield runner
    await runner.cleanup()


async def test_silent_connections_make_room(runner: web.AppRunner) -> None:
    """The newest are kept, the oldest are ended, and a request among them is answered."""
    port = free_port()
    await BoundedSite(runner, "127.0.0.1", port).start()
    async with AsyncExitStack() as stack:
        readers = []
        for _ in range(3 * CONNECTIONS):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            stack.callback(writer.close)
            writer.write(HALF_A_HEAD)
            readers.append(reader)
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{port}/") as answer,
        ):
            assert await answer.text() == "hello"

        async def oldest_are_ended() -> bool:
            return all(reader.at_eof() for reader in readers[:CONNECTIONS])

        await eventually(oldest_are_ended, what="the end of the oldest connections")
        assert not any(reader.at_eof() for reader in readers[-CONNECTIONS // 2 :])
        assert runner.server is not None
        assert len([one for one in runner.server.connections if one.transport]) <= CONNECTIONS


async def test_an_address_that_is_taken_is_an_error(runner: web.AppRunner) -> None:
    """As with the site that it stands for."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            await BoundedSite(runner, "127.0.0.1", port).start()


async def test_the_end_of_the_runner_frees_the_port(runner: web.AppRunner) -> None:
    """Nothing listens then."""
    port = free_port()
    await BoundedSite(runner, "127.0.0.1", port).start()
    await runner.cleanup()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
