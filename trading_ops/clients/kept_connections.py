"""GET requests of one path over connections that stay open, at less than half a session's CPU time.

The reconciler queries every agent each second, so at 1,000 bots this request is most of its work.
The connector's rules apply: its TLS contexts, its check of the listener's user, and the maximum age
of a TLS connection.
"""

import asyncio
from collections.abc import Iterable
from typing import cast

import yarl

from trading_ops import clock
from trading_ops.clients.http import BODY_LIMIT_BYTES, kind_of, why
from trading_ops.errors import ConfigError, Cut, Refused, Unreachable
from trading_ops.listener import KnownListeners, UntrustedListener

HEAD_LIMIT_BYTES = 64 * 1024
CONNECT_SECONDS = 3.0
MOST = 3
"""Connections to one address; a request that finds all of them waiting replaces the oldest."""

OK = 200
SERVER_ERRORS = 500


class NotPlain(Exception):
    """The answer has no Content-Length, so a full client has to read it."""


class KeptConnections:
    """Connections to one base address; each is used by one request at a time.

    A cancelled request closes neither its connection nor one that is being opened: otherwise, when
    this process is slow, every request would begin with another TLS handshake.
    """

    def __init__(self, base: str, path: str, connector: KnownListeners) -> None:
        """Request `base` + `path` under the rules of `connector`."""
        url = yarl.URL(base)
        self._host, self._port = url.host or "", url.port or 0
        self._what = f"GET {base}{path}"
        self._head = f"GET {path} HTTP/1.1\r\nHost: {url.authority}\r\nAccept: */*\r\n"
        self._secured = url.scheme == "https"
        self._connector = connector
        self._open: list[_KeptConnection] = []
        self._connecting: asyncio.Task[None] | None = None

    async def get(self, token: str) -> bytes:
        """Return the body of a 200; the caller sets the deadline.

        Raises:
            Cut: the connection was accepted and closed without an answer.
            NotListening: the connection was refused.
            Unreachable: no answer, or a server error (5xx).
            Refused: any other status.
            NotPlain: the answer has no Content-Length.
        """
        request = f"{self._head}Authorization: Bearer {token}\r\n\r\n".encode("ascii")
        while True:
            while (connection := self._free()) is None:
                await self._connected()
            used = connection.used
            try:
                status, body = await connection.ask(request)
            except _Closed as error:
                if used and not connection.received:
                    continue  # the server closed it while it was idle
                raise Cut(f"{self._what}: {error}") from error
            except _InvalidResponse as error:
                raise Unreachable(f"{self._what}: {error}") from error
            if status >= SERVER_ERRORS:
                raise Unreachable(f"{self._what}: HTTP {status}")
            if status != OK:
                text = body[:200].decode(errors="replace")
                raise Refused(f"{self._what}: HTTP {status}: {text}")
            return body

    def close(self) -> None:
        """Close all connections."""
        if self._connecting is not None:
            self._connecting.cancel()
        for connection in self._open:
            connection.close()

    def _free(self) -> "_KeptConnection | None":
        """Return a connection that can be used; close what is old, or waits too long."""
        oldest = clock.boottime() - self._connector.secured_seconds
        kept: list[_KeptConnection] = []
        for connection in self._open:
            is_old = self._secured and connection.used and connection.opened_at < oldest
            if connection.ended or (is_old and not connection.busy):
                connection.close()
            else:
                kept.append(connection)
        self._open = kept
        free = next((connection for connection in kept if not connection.busy), None)
        if free is None and len(kept) >= MOST:
            kept.pop(0).close()
        return free

    async def _connected(self) -> None:
        if self._connecting is None or self._connecting.done():
            self._connecting = asyncio.create_task(self._connect())
            self._connecting.add_done_callback(_retrieve)
        await asyncio.shield(self._connecting)

    async def _connect(self) -> None:
        try:
            context = self._connector.tls() if self._secured and self._connector.tls else None
            loop = asyncio.get_running_loop()
            async with asyncio.timeout(CONNECT_SECONDS):
                _, connection = await loop.create_connection(
                    _KeptConnection, self._host, self._port, ssl=context or (self._secured or None)
                )
        except (ConfigError, OSError) as error:
            raise kind_of(error)(f"{self._what}: {why(error)}") from error
        try:
            self._connector.vouch(connection.transport, f"{self._host}:{self._port}")
        except UntrustedListener as error:
            connection.close()
            raise Unreachable(f"{self._what}: {error}") from error
        self._open.append(connection)


def _retrieve(connecting: asyncio.Task[None]) -> None:
    """Retrieve the error of an attempt whose request was cancelled."""
    if not connecting.cancelled():
        connecting.exception()


class _Closed(Exception):
    """The peer closed the connection before its answer was complete."""


class _InvalidResponse(Exception):
    """The answer is not HTTP, or too long."""


class _KeptConnection(asyncio.Protocol):
    """One HTTP/1.1 connection: a request, then its answer, then the next request."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.opened_at = clock.boottime()
        self.used = False
        """Whether it has served a request."""

        self.busy = False
        """Whether an answer is still to come, if only to be dropped."""

        self.ended = False
        self.received = False
        """Whether any part of an answer to the last request has arrived."""

        self._buffer = bytearray()
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._body: tuple[int, int, int] | None = None
        """Status, start and end of the body in the buffer."""

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Send a request; return status and body of its answer."""
        self.used = self.busy = True
        self.received = False
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self._answer

    def close(self) -> None:
        """Close it at once."""
        self.ended = True
        self.transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(_Closed(why(exc) if exc else "it closed the connection without an answer"))

    def data_received(self, data: bytes) -> None:
        if not self.busy:
            self.close()  # unsolicited data
            return
        self.received = True
        self._buffer += data
        try:
            if self._body is None:
                self._body = self._read_head()
            if self._body is None or len(self._buffer) < self._body[2]:
                return
        except NotPlain as error:
            self._fail(error)
            return
        except ValueError:
            self._fail(_InvalidResponse("invalid HTTP response"))
            return
        status, start, end = self._body
        self.ended = self.ended or len(self._buffer) > end
        self.busy = False
        if self._answer is not None and not self._answer.done():
            self._answer.set_result((status, bytes(self._buffer[start:end])))
        self._buffer.clear()
        self._body = None

    def _read_head(self) -> tuple[int, int, int] | None:
        """Return status, start and end of the body; None: the head is not complete.

        Raises:
            ValueError: it is not HTTP, or too long.
            NotPlain: the length of the body is not known.
        """
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > HEAD_LIMIT_BYTES:
                raise ValueError
            return None
        line, *fields = bytes(self._buffer[:end]).lower().split(b"\r\n")
        protocol, status, *_ = line.split(b" ", 2)
        if not protocol.startswith(b"http/1."):
            raise ValueError
        length, stays = _framing(fields)
        self.ended = self.ended or not stays
        return int(status), end + 4, end + 4 + length

    def _fail(self, error: Exception) -> None:
        self.ended = True
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)


def _framing(fields: Iterable[bytes]) -> tuple[int, bool]:
    """Return the length of the body, and whether the connection stays open.

    Raises:
        ValueError: the length is invalid.
        NotPlain: it is not known.
    """
    length, stays = -1, True
    for field in fields:
        name, _, value = field.partition(b":")
        if name == b"content-length":
            length = int(value)
        elif name == b"transfer-encoding":
            raise NotPlain
        elif name == b"connection":
            stays = value.strip() == b"keep-alive"
    if length < 0:
        raise NotPlain
    if length > BODY_LIMIT_BYTES:
        raise ValueError
    return length, stays
