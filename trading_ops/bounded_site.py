"""A TCP site that limits connections of unauthenticated clients.

aiohttp waits for a request head without a limit. A client that opens connections and sends nothing
would use up the process's file descriptors, which a bot also needs for its venue. The limit must
not affect clients with a token: a connection whose last request had a valid token does not count,
and a request that is being answered is never cut off. A connection in its TLS handshake is
untrusted.
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
"""Maximum simultaneous untrusted connections; Prometheus and the reconcilers are untrusted until
their first request."""

ACCEPTED_AT_ONCE = 4
"""Connections that are accepted before the loop does anything else. It is a small part of the
limit, so that a client that sends its request immediately is read before a flood evicts it."""

QUEUE = 1024
"""Backlog of connections that are not accepted yet."""

HANDSHAKE_SECONDS = 5.0
"""Timeout of a client's TLS handshake."""

Answering = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

_TRUSTED = web.RequestKey("trusted", bool)


def trust(request: web.Request) -> None:
    """Mark the connection of a request with a valid token as trusted."""
    request[_TRUSTED] = True


TURNS = 3
"""Turns of the event loop in which an accepted connection reaches its handler."""


class _Untrusted(Protocol):
    """An untrusted connection, which can be closed at the limit."""

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
        """Set up the site.

        Args:
            runner: of the application, already set up.
            host: to listen on.
            port: to listen on.
            connections: maximum of simultaneous untrusted connections.
            tls: contexts for TLS; None: no encryption.
            on_refused: called for each client whose TLS handshake failed.
        """
        super().__init__(runner, host, port)
        self._most = connections
        self._tls = tls
        self._on_refused = on_refused
        self._idle: dict[_Untrusted, None] = {}  # oldest first
        self._handshakes: set[asyncio.Task[None]] = set()
        self._answering = 0

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the address is in use or not local.
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
        for listener in listening.sockets:
            # asyncio has one parameter for both.
            with socket.socket(fileno=socket.dup(listener.fileno())) as same:
                same.listen(QUEUE)
        self._server = listening

    async def stop(self) -> None:
        """Stop listening."""
        if isinstance(self._server, asyncio.Server):
            # Before 3.12, a connection that is accepted while the server closes is never closed.
            for listener in self._server.sockets:
                asyncio.get_running_loop().remove_reader(listener.fileno())
            for _ in range(TURNS):
                await asyncio.sleep(0)
        for task in self._handshakes:
            task.cancel()
        await super().stop()

    def _admit(self, newcomer: "_Newcomer", transport: asyncio.Transport) -> None:
        if len(self._idle) + self._answering >= self._most:
            self._idle = {handler: None for handler in self._idle if handler.transport is not None}
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
        """Do the TLS handshake, and pass the connection to the HTTP protocol."""
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
            if newcomer.transport is not None:  # it was not closed by the limit
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
    """A new connection until it is admitted, secured and passed to the HTTP protocol."""

    def __init__(self, admit: "Callable[[_Newcomer, asyncio.Transport], None]") -> None:
        self._admit = admit
        self.transport: asyncio.Transport | None = None
        self.early = b""
        """Data received before the connection is passed on."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Admit or close the connection."""
        self.transport = cast(asyncio.Transport, transport)
        self._admit(self, self.transport)

    def data_received(self, data: bytes) -> None:
        """Buffer the data: the end of a handshake and the first request may arrive together."""
        self.early += data

    def connection_lost(self, _error: Exception | None) -> None:
        """Record that the connection was lost."""
        self.transport = None

    def force_close(self) -> None:
        """Close the connection immediately."""
        if self.transport is not None:
            self.transport.abort()
            self.transport = None
