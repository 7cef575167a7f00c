"""The requests to agents over connections that stay open, against real servers."""

import asyncio
import contextlib
import os
import ssl
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.waiting import eventually
from trading_ops.clients.kept_connections import MOST, KeptConnections, NotPlain
from trading_ops.errors import ClientError, Cut, NotListening, Refused, Unreachable
from trading_ops.listener import KnownListeners
from trading_ops.tls.authority import Authority, Wanted
from trading_ops.tls.contexts import TlsFiles, calling, serving

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
HOUR = timedelta(hours=1)
OURS = frozenset({os.geteuid()})


class Server:
    """Counts connections, keeps what it is sent, and answers each request with the given bytes."""

    def __init__(self, *answers: bytes, wait: asyncio.Event | None = None) -> None:
        """Give these answers in turn, the last one again and again, once `wait` is set."""
        self.answers = list(answers)
        self._wait = wait
        self.connections = 0
        self.requests: list[bytes] = []
        self.port = 0
        self.writers: list[asyncio.StreamWriter] = []
        self._served: list[asyncio.Task[None]] = []

    def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._served.append(asyncio.create_task(self._answer(reader, writer)))

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                self.requests.append(await reader.readuntil(b"\r\n\r\n"))
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                if not answer:
                    break
                if self._wait is not None:
                    await self._wait.wait()
                for part in answer.split(b"|"):  # each in a packet of its own
                    writer.write(part)
                    await writer.drain()
                    await asyncio.sleep(0)
        writer.close()

    @contextlib.asynccontextmanager
    async def running(self, context: ssl.SSLContext | None = None) -> AsyncIterator["Server"]:
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0, ssl=context)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for writer in self.writers:
                writer.transport.abort()
            for task in self._served:
                task.cancel()
            await asyncio.gather(*self._served, return_exceptions=True)


@contextlib.asynccontextmanager
async def kept(
    port: int, connector: KnownListeners | None = None, scheme: str = "http"
) -> AsyncIterator[KeptConnections]:
    connector = connector or KnownListeners(OURS)
    made = KeptConnections(f"{scheme}://127.0.0.1:{port}", "/health", connector)
    try:
        yield made
    finally:
        made.close()
        await connector.close()


async def test_one_connection_serves_every_request() -> None:
    async with Server(PLAIN).running() as server, kept(server.port) as client:
        assert [await client.get("secret") for _ in range(3)] == [b"ok"] * 3
    assert server.connections == 1
    line, *headers = server.requests[0].decode().split("\r\n")
    assert line == "GET /health HTTP/1.1"
    assert {f"Host: 127.0.0.1:{server.port}", "Authorization: Bearer secret"} <= set(headers)


async def test_an_answer_in_pieces() -> None:
    pieces = PLAIN.replace(b"Length", b"Len|gth").replace(b"\r\n\r\n", b"\r\n|\r\n|")
    async with Server(pieces).running() as server, kept(server.port) as client:
        assert [await client.get("x") for _ in range(2)] == [b"ok"] * 2


async def test_a_slow_answer_does_not_delay_the_next_request() -> None:
    """Each waits on a connection of its own; one that was given up is not used again."""
    async with Server(b"HTTP/1.1 200", PLAIN).running() as server, kept(server.port) as client:
        slow = asyncio.create_task(client.get("x"))
        await eventually(lambda: server.requests)
        assert await client.get("x") == b"ok"
        slow.cancel()
        await asyncio.gather(slow, return_exceptions=True)
        assert await client.get("x") == b"ok"
    assert server.connections == 2


async def test_a_late_answer_is_dropped_and_its_connection_used_again() -> None:
    late = asyncio.Event()
    first = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate"
    async with Server(first, PLAIN, wait=late).running() as server, kept(server.port) as client:
        slow = asyncio.create_task(client.get("x"))
        await eventually(lambda: server.requests)
        slow.cancel()
        await asyncio.gather(slow, return_exceptions=True)
        late.set()
        await eventually(lambda: not client._open[0].busy)
        assert await client.get("x") == b"ok"
    assert server.connections == 1


async def test_a_silent_server_gets_few_connections() -> None:
    async with Server(PLAIN, wait=asyncio.Event()).running() as server, kept(server.port) as client:
        for _ in range(6):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await client.get("x")
        assert len(client._open) <= MOST


async def test_a_connection_that_takes_longer_than_the_request_is_used_by_the_next(
    tmp_path: Path,
) -> None:
    """A TLS handshake of a process that is late is not thrown away."""
    Authority(tmp_path).issue(Wanted("alpha", ("127.0.0.1",), calls=True), HOUR)
    connector = KnownListeners(OURS, tls=calling(TlsFiles(tmp_path, "alpha")))
    context = serving(TlsFiles(tmp_path, "alpha"), every_client=True)()
    async with (
        Server(PLAIN).running(context) as server,
        kept(server.port, connector, "https") as client,
    ):
        for _ in range(2):
            hurried = asyncio.create_task(client.get("x"))
            await asyncio.sleep(0)
            hurried.cancel()
            await asyncio.gather(hurried, return_exceptions=True)
        assert await client.get("x") == b"ok"
        assert server.connections == 1


async def test_a_connection_closed_while_idle_is_replaced() -> None:
    async with Server(PLAIN).running() as server, kept(server.port) as client:
        await client.get("x")
        server.writers[0].close()
        assert await client.get("x") == b"ok"
        server.writers[1].transport.abort()
        assert await client.get("x") == b"ok"
    assert server.connections == 3


@pytest.mark.parametrize(
    ("answer", "expected", "text"),
    [
        (b"", Cut, "closed the connection"),
        (b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", Unreachable, "HTTP 500"),
        (b"HTTP/1.1 401 No\r\nContent-Length: 4\r\n\r\nwhy?", Refused, "HTTP 401: why?"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", Unreachable, "invalid HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n", Unreachable, "invalid HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", Unreachable, "invalid HTTP"),
        (b"x" * 70_000, Unreachable, "invalid HTTP"),
    ],
)
async def test_what_is_no_answer(answer: bytes, expected: type[ClientError], text: str) -> None:
    async with Server(answer).running() as server, kept(server.port) as client:
        with pytest.raises(expected, match=text) as raised:
            await client.get("x")
    assert type(raised.value) is expected
    assert f"GET http://127.0.0.1:{server.port}/health" in str(raised.value)


async def test_a_closed_port_is_distinguished_from_a_lost_answer() -> None:
    async with Server(PLAIN).running() as server:
        pass
    async with kept(server.port) as client:
        with pytest.raises(NotListening, match="connection refused"):
            await client.get("x")


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\nok",
    ],
)
async def test_an_answer_of_unknown_length_is_for_a_full_client(answer: bytes) -> None:
    async with Server(answer).running() as server, kept(server.port) as client:
        with pytest.raises(NotPlain):
            await client.get("x")


@pytest.mark.parametrize(
    "answer", [PLAIN + PLAIN, PLAIN.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n")]
)
async def test_a_connection_that_cannot_be_trusted_is_not_used_again(answer: bytes) -> None:
    async with Server(answer).running() as server, kept(server.port) as client:
        assert [await client.get("x") for _ in range(2)] == [b"ok"] * 2
    assert server.connections == 2


async def test_another_users_listener_gets_no_token() -> None:
    refused: list[str] = []
    connector = KnownListeners(frozenset({os.geteuid() + 1}), on_impostor=refused.append)
    async with Server(PLAIN).running() as server, kept(server.port, connector) as client:
        for _ in range(2):
            with pytest.raises(Unreachable, match="no token was sent"):
                await client.get("secret")
    assert (server.requests, len(refused)) == ([], 2)


async def test_mutual_tls(tmp_path: Path) -> None:
    """The certificate is noted; an old connection is replaced; without our certificate: refused."""
    authority = Authority(tmp_path)
    for name in ("alpha", "reconciler"):
        authority.issue(Wanted(name, ("127.0.0.1",), calls=True), HOUR)
    noted: dict[str, float] = {}
    connector = KnownListeners(
        OURS, tls=calling(TlsFiles(tmp_path, "reconciler")), on_certificate=noted.__setitem__
    )
    context = serving(TlsFiles(tmp_path, "alpha"), every_client=True)()
    async with (
        Server(PLAIN).running(context) as server,
        kept(server.port, connector, "https") as client,
    ):
        assert [await client.get("x") for _ in range(2)] == [b"ok"] * 2
        assert server.connections == 1
        connector.secured_seconds = -1.0
        assert await client.get("x") == b"ok"
        assert server.connections == 2
        assert set(noted) == {f"127.0.0.1:{server.port}"}
        stranger = KnownListeners(OURS, tls=calling(TlsFiles(tmp_path, "without-files")))
        async with kept(server.port, stranger, "https") as refused:
            with pytest.raises(Unreachable):
                await refused.get("x")
        assert len(server.requests) == 3


async def test_a_certificate_of_another_authority_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path / "ours", tmp_path / "theirs"):
        folder.mkdir()
        Authority(folder).issue(Wanted("alpha", ("127.0.0.1",), calls=True), HOUR)
    connector = KnownListeners(OURS, tls=calling(TlsFiles(tmp_path / "ours", "alpha")))
    context = serving(TlsFiles(tmp_path / "theirs", "alpha"), every_client=False)()
    async with (
        Server(PLAIN).running(context) as server,
        kept(server.port, connector, "https") as client,
    ):
        with pytest.raises(Unreachable, match="its certificate was refused"):
            await client.get("x")
        assert server.requests == []
