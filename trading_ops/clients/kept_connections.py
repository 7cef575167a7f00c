"""GET requests of one path over connections that stay open, at a tenth of a session's CPU time.

The reconciler asks every agent each second, so at 1,000 bots this request is most of its work. The
connector's rules apply: its TLS contexts, its check of the listener's user, and the maximum age of
a TLS connection.
"""

import asyncio
from collections.abc import Iterable
from typing import cast

import yarl

from trading_ops import clock
from trading_ops.clients.http import BODY_LIMIT_BYTES, why
from trading_ops.errors import ConfigError, Cut, Refused, Unreachable
from trading_ops.listener import Impostor, KnownListeners

HEAD_LIMIT_BYTES = 64 * 1024
OK = 200
SERVER_ERRORS = 500


class NotPlain(Exception):
    """The answer has no Content-Length, so a full client has to read it."""


class KeptConnections:
    """Connections to one base address; each is used by one request at a time."""

    def __init__(self, base: str, path: str, connector: KnownListeners) -> None:
        """Request `base` + `path` under the rules of `connector`."""
        url = yarl.URL(base)
        self._host, self._port = url.host or "", url.port or 0
        self._what = f"GET {base}{path}"
        self._head = f"GET {path} HTTP/1.1\r\nHost: {url.authority}\r\nAccept: */*\r\n"
        self._secured = url.scheme == "https"
        self._connector = connector
        self._idle: list[_Connection] = []

    async def get(self, token: str) -> bytes:
        """Return the body of a 200; the caller sets the deadline.

        Raises:
            Cut: the connection was accepted and closed without an answer.
            Unreachable: no answer, or a server error (5xx).
            Refused: any other status.
            NotPlain: the answer has no Content-Length.
        """
        request = f"{self._head}Authorization: Bearer {token}\r\n\r\n".encode("ascii")
        while True:
            connection, fresh = self._take(), False
            if connection is None:
                connection, fresh = await self._connect(), True
            try:
                status, body = await connection.ask(request)
            except _Closed as error:
                if not fresh and not connection.received:
                    continue  # the server closed it while it was idle
                raise Cut(f"{self._what}: {error}") from error
            except _InvalidResponse as error:
                raise Unreachable(f"{self._what}: {error}") from error
            finally:
                self._release(connection)
            if status >= SERVER_ERRORS:
                raise Unreachable(f"{self._what}: HTTP {status}")
            if status != OK:
                text = body[:200].decode(errors="replace")
                raise Refused(f"{self._what}: HTTP {status}: {text}")
            return body

    def close(self) -> None:
        """Close all idle connections."""
        while self._idle:
            self._idle.pop().close()

    def _take(self) -> "_Connection | None":
        while self._idle:
            connection = self._idle.pop()
            is_old = clock.boottime() - connection.opened_at > self._connector.secured_seconds
            if connection.reusable and not (self._secured and is_old):
                return connection
            connection.close()
        return None

    def _release(self, connection: "_Connection") -> None:
        if connection.reusable:
            self._idle.append(connection)
        else:
            connection.close()

    async def _connect(self) -> "_Connection":
        try:
            context = self._connector.tls() if self._secured and self._connector.tls else None
            loop = asyncio.get_running_loop()
            _, connection = await loop.create_connection(
                _Connection, self._host, self._port, ssl=context or (self._secured or None)
            )
        except (ConfigError, OSError) as error:
            kind = Cut if isinstance(error, ConnectionResetError) else Unreachable
            raise kind(f"{self._what}: {why(error)}") from error
        try:
            self._connector.vouch(connection.transport, f"{self._host}:{self._port}")
        except Impostor as error:
            connection.close()
            raise Unreachable(f"{self._what}: {error}") from error
        return connection


class _Closed(Exception):
    """The peer closed the connection before its answer was complete."""


class _InvalidResponse(Exception):
    """The answer is not HTTP, or too long."""


class _Connection(asyncio.Protocol):
    """One HTTP/1.1 connection: a request, then its answer, then the next request."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.opened_at = clock.boottime()
        self.received = False
        """Whether any part of an answer to the last request has arrived."""

        self._buffer = bytearray()
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._body: tuple[int, int, int] | None = None
        """Status, start and end of the body in the buffer."""

        self._ended = False

    @property
    def reusable(self) -> bool:
        """Whether another request can be sent."""
        return self._answer is None and not self._ended

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Send a request; return status and body of its answer."""
        self.received = False
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        answer = await self._answer
        self._answer = None  # otherwise the connection is not used again
        return answer

    def close(self) -> None:
        """Close it at once."""
        self._ended = True
        self.transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended = True
        self._fail(_Closed(why(exc) if exc else "it closed the connection without an answer"))

    def data_received(self, data: bytes) -> None:
        if self._answer is None or self._answer.done():
            self.close()  # unsolicited data
            return
        self.received = True
        self._buffer += data
        try:
            if self._body is None:
                self._body = self._read_head()
            if self._body is None or len(self._buffer) < self._body[2]:
                return
        except (ValueError, NotPlain) as error:
            self._ended = True
            invalid = _InvalidResponse("invalid HTTP response")
            self._fail(error if isinstance(error, NotPlain) else invalid)
            return
        status, start, end = self._body
        self._ended = self._ended or len(self._buffer) > end
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
        self._ended = self._ended or not stays
        return int(status), end + 4, end + 4 + length

    def _fail(self, error: Exception) -> None:
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
