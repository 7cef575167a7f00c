"""A token goes to no listener of another user, and everything else works as before."""

import asyncio
import os
import pwd
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import IPv4Address
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.builders import make_target
from trading_ops.backoff import MOST, Seldom
from trading_ops.cli.reconciler_connection import connected
from trading_ops.clients.http import Http
from trading_ops.config.settings import Settings
from trading_ops.domain.target import Kind, Registry
from trading_ops.errors import Unreachable
from trading_ops.listener import GONE, KnownListeners, owners, refusal, trusted_users

OURS = frozenset({os.geteuid()})
ANOTHERS = frozenset({os.geteuid() + 1})
"""Trusts a user that this test is not: to it, we are the impostor."""


class RecordingServer:
    """A server that keeps what it is sent."""

    def __init__(self) -> None:
        self.tokens: list[str | None] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.tokens.append(request.headers.get("Authorization"))
        return web.Response(text="ok")

    @asynccontextmanager
    async def serving(self, host: str = "127.0.0.1") -> AsyncIterator[int]:
        """Yield the port."""
        application = web.Application()
        application.router.add_get("/{tail:.*}", self.answer)
        server = TestServer(application, host=host)
        async with server:
            assert server.port is not None
            yield server.port


@asynccontextmanager
async def session(
    trusted: frozenset[int] | None, refused: list[str] | None = None
) -> AsyncIterator[aiohttp.ClientSession]:
    connector = KnownListeners(
        trusted, on_impostor=(list[str]() if refused is None else refused).append
    )
    async with aiohttp.ClientSession(connector=connector) as made:
        yield made


@pytest.mark.parametrize("token", [True, False])
async def test_another_users_listener_gets_no_token(*, token: bool) -> None:
    """Not one byte of a request, whichever way it would prove itself; and it is counted."""
    server, refused, secret = RecordingServer(), list[str](), "user:secret"
    async with server.serving() as port, session(ANOTHERS, refused) as made:
        address = f"http://127.0.0.1:{port}"
        http = Http(made, address, token=secret) if token else Http(made, address, basic=secret)
        for _ in range(2):
            with pytest.raises(Unreachable, match=f"belongs to user {os.geteuid()}"):
                await http.get("/")
        assert await Http(made, f"http://127.0.0.1:{port}").get("/") == b"ok"
        with pytest.raises(Unreachable, match="no token was sent"):
            await http.get("/")  # nor over the connection that is open by now
        with pytest.raises(Unreachable, match="no token was sent"):
            await anext(http.messages("/", params={}))
        with pytest.raises(Unreachable, match="no token was sent"):
            await anext(Http(made, address).messages("/", params={"token": secret}))
    assert (server.tokens, len(refused)) == ([None], 5)


@pytest.mark.parametrize("trusted", [OURS, None, OURS | ANOTHERS])
@pytest.mark.parametrize("host", ["127.0.0.1", str(IPv4Address(0)), "::1", "::"])
async def test_a_trusted_listener_gets_it(host: str, trusted: frozenset[int] | None) -> None:
    """However it listens; the connection is kept."""
    if ":" in host and not has_ipv6():
        pytest.skip("this machine has no IPv6")
    server = RecordingServer()
    name = "[::1]" if host == "::1" else "127.0.0.1"
    async with server.serving(host) as port, session(trusted) as made:
        http = Http(made, f"http://{name}:{port}", token="secret")
        assert [await http.get("/") for _ in range(2)] == [b"ok"] * 2
    assert server.tokens == ["Bearer secret"] * 2


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


async def test_a_listener_that_closes_after_it_accepted_gets_nothing() -> None:
    """Who hides is no one that we know."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    with socket.create_connection(("127.0.0.1", port)):
        listener.close()
        assert owners("127.0.0.1", port) == frozenset()
        assert refusal("127.0.0.1", port, OURS).endswith(GONE)


def test_other_machines_and_switched_off() -> None:
    """What is not on loopback cannot be looked up here; `any` looks up nothing."""
    assert refusal("192.0.2.1", 1, OURS) == ""
    assert refusal("127.0.0.1", 1, trusted_users("any")) == ""
    assert trusted_users("") == OURS | {0}
    name = pwd.getpwuid(0).pw_name
    assert trusted_users(f" {name}, 4711, no-such-user ") == OURS | {0, 4711}


async def test_a_listener_beside_many_connections_is_found() -> None:
    """Connections come behind the listeners in the kernel's table."""
    server = RecordingServer()
    async with server.serving() as port:
        opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(50)]
        assert owners("127.0.0.1", port) == OURS
        for _, writer in opened:
            writer.close()


async def test_the_command_line_asks_who_is_alive_without_its_token(tmp_path: Path) -> None:
    """What answers there may be anyone's; only the order itself takes the token."""
    server = RecordingServer()
    settings = Settings(root=tmp_path, var=tmp_path)
    settings.secrets.mkdir()
    (settings.secrets / "operator_token").write_text("secret")
    (settings.secrets / "operator_token").chmod(0o600)
    async with server.serving() as port:
        target = make_target(name="reconciler", kind=Kind.RECONCILER, address=f"127.0.0.1:{port}")
        async with connected(settings, Registry((target,))):
            pass
    assert server.tokens == [None]


def test_what_repeats_is_reported_once_and_what_is_too_much_is_not_reported() -> None:
    """Neither one key nor many of them fill a log."""
    seldom = Seldom(seconds=3600)
    assert [seldom.is_due("a") for _ in range(3)] == [True, False, False]
    assert sum(seldom.is_due(str(number)) for number in range(1000)) == MOST - 1
    again = Seldom(seconds=0)
    assert [again.is_due("a") for _ in range(3)] == [True] * 3
