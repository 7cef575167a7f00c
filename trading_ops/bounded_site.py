"""Listening with a bound on connections that no one has vouched for.

aiohttp waits for a request's head as long as it takes. A stranger who opens connections and sends
nothing would use up the process's file descriptors, inside a bot those of its venue too. So there
is a bound, and what happens at it must not harm the clients that have a token: a connection whose
last request carried a valid one is outside of it, and a request that is being answered is never cut
off. A connection in its TLS handshake is a stranger's.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Protocol, cast

from aiohttp import web

from trading_ops.errors import ConfigError
from trading_ops.tls.contexts import Contexts

CONNECTIONS = 64
"""Of strangers, at once; before their first request Prometheus and the reconcilers are strangers
too."""

ACCEPTED_AT_ONCE = 4
"""Connections that are accepted before the loop does anything else. A small part of the bound: so a
client that sends its request at once is read before a flood has pushed it out."""

QUEUE = 1024
"""Connections that the kernel keeps for us until they are accepted."""

HANDSHAKE_SECONDS = 5.0
"""Within which a client must have ended its TLS handshake."""

Answering = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

_TRUSTED = web.RequestKey("trusted", bool)


def trust(request: web.Request) -> None:
    """Note that a request had a valid token: its connection is trusted."""
    request[_TRUSTED] = True


TURNS = 3
"""Turns of the event loop in which an accepted connection reaches its handler."""


class _Stranger(Protocol):
    """A connection that can be ended at the bound."""

    transport: asyncio.Transport | None

    def force_close(self) -> None: ...


class BoundedSite(web.TCPSite):
    """A `TCPSite` with a connection limit; a new one then replaces the oldest idle untrusted one.

    A connection is idle if it has not sent a complete request head, or no further request after the
    last answer. If none is idle, because so many requests are being answered, the new connection is
    refused.
    """

    __slots__ = ("_answering", "_handshakes", "_idle", "_most", "_on_refused", "_tls")

    def __init__(
        self,
        runner: web.AppRunner,
        host: str,
        port: int,
        *,
        connections: int = CONNECTIONS,
        tls: Contexts | None = None,
        on_refused: Callable[[], None] = lambda: None,
    ) -> None:
        """Take the runner, which is set up, and where to listen.

        Args:
            runner: of the application.
            host: to listen on.
            port: to listen on.
            connections: of strangers, at once.
            tls: contexts for TLS; None: connections are not encrypted.
            on_refused: called for each client whose TLS handshake failed.
        """
        super().__init__(runner, host, port)
        self._most = connections
        self._tls = tls
        self._on_refused = on_refused
        self._idle: dict[_Stranger, None] = {}  # oldest first
        self._handshakes: set[asyncio.Task[None]] = set()
        self._answering = 0

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the address is taken or not ours.
            ConfigError: the files for TLS are missing or cannot be used.
        """
        if self._tls:
            self._tls()
        await web.BaseSite.start(self)
        server = cast(web.Server, self._runner.server)  # the runner is set up
        server.request_handler = self._answered_by(server.request_handler)
        listening = await asyncio.get_running_loop().create_server(
            lambda: _Newcomer(self._admit), self._host, self._port, backlog=ACCEPTED_AT_ONCE
        )
        for one in listening.sockets:
            # asyncio has one figure for both, and we need two.
            with socket.socket(fileno=socket.dup(one.fileno())) as same:
                same.listen(QUEUE)
        self._server = listening

    async def stop(self) -> None:
        """Stop listening."""
        if isinstance(self._server, asyncio.Server):
            # Before 3.12, a connection that is accepted while the server closes is never closed.
            for one in self._server.sockets:
                asyncio.get_running_loop().remove_reader(one.fileno())
            for _ in range(TURNS):
                await asyncio.sleep(0)
        for task in self._handshakes:
            task.cancel()
        await super().stop()

    def _admit(self, newcomer: "_Newcomer", transport: asyncio.Transport) -> None:
        if len(self._idle) + self._answering >= self._most:
            self._idle = {one: None for one in self._idle if one.transport is not None}
        if len(self._idle) + self._answering >= self._most:
            if not self._idle:
                transport.abort()
                return
            oldest = next(iter(self._idle))
            del self._idle[oldest]
            oldest.force_close()
        if self._tls is None:
            self._hand_over(transport)
            return
        self._idle[newcomer] = None
        task = asyncio.create_task(self._secure(newcomer, transport, self._tls))
        self._handshakes.add(task)
        task.add_done_callback(self._handshakes.discard)

    async def _secure(
        self, newcomer: "_Newcomer", transport: asyncio.Transport, tls: Contexts
    ) -> None:
        """Do the TLS handshake, and hand the connection over to what speaks HTTP."""
        secured = None
        try:
            secured = await asyncio.get_running_loop().start_tls(
                transport,
                newcomer,
                tls(),
                server_side=True,
                ssl_handshake_timeout=HANDSHAKE_SECONDS,
            )
        except (OSError, ssl.SSLError, ConfigError):
            if newcomer.transport is not None:  # it was not ended by the bound
                self._on_refused()
        finally:
            self._idle.pop(newcomer, None)
            if secured is None or newcomer.transport is None:
                transport.abort()
        if secured is not None and newcomer.transport is not None:
            newcomer.transport = None
            self._hand_over(secured, newcomer.early)

    def _hand_over(self, transport: asyncio.Transport, early: bytes = b"") -> None:
        connection = cast(web.Server, self._runner.server)()
        transport.set_protocol(connection)
        connection.connection_made(transport)
        self._idle[connection] = None
        if early:
            connection.data_received(early)

    def _answered_by(self, answer: Answering) -> Answering:
        async def answered(request: web.BaseRequest) -> web.StreamResponse:
            self._idle.pop(request.protocol, None)
            self._answering += 1
            try:
                return await answer(request)
            finally:
                self._answering -= 1
                if not request.get(_TRUSTED) and request.transport is not None:
                    self._idle[request.protocol] = None

        return answered


class _Newcomer(asyncio.Protocol):
    """A connection until it is admitted and secured, and gets a protocol that speaks HTTP."""

    def __init__(self, admit: "Callable[[_Newcomer, asyncio.Transport], None]") -> None:
        self._admit = admit
        self.transport: asyncio.Transport | None = None
        self.early = b""
        """What the client sent before it was handed over."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Admit it or end it."""
        self.transport = cast(asyncio.Transport, transport)
        self._admit(self, self.transport)

    def data_received(self, data: bytes) -> None:
        """Keep it: the end of a handshake and the first request may arrive together."""
        self.early += data

    def connection_lost(self, _error: Exception | None) -> None:
        """Note that it is over."""
        self.transport = None

    def force_close(self) -> None:
        """End it, whatever it is doing."""
        if self.transport is not None:
            self.transport.abort()
            self.transport = None
