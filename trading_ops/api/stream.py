"""Live streams over a WebSocket, one JSON event per message: our events, and those of the bots.

Close codes:

    1001  the reconciler is stopping; reconnect
    1008  the token is no longer valid
    1013  too slow, or the database does not answer; reconnect with `after=` the last number seen
"""

import asyncio
import contextlib
import socket
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web

from trading_ops import logs
from trading_ops.api.auth import Authenticator, Identity, Role
from trading_ops.api.event_stream import Feed, StreamLine
from trading_ops.api.requests import Count, Key
from trading_ops.domain.bot_event import BotEventKind
from trading_ops.domain.message import Severity
from trading_ops.errors import StoreError

log = logs.get(__name__)

HEARTBEAT_SECONDS = 15.0
CHECK_SECONDS = 2.0
"""Seconds between checks of the token."""

STALLED_SECONDS = 5.0
"""Seconds after which a client that reads nothing is too slow."""

FAREWELL_SECONDS = 5.0
MESSAGE_LIMIT = 1024
BUFFER_BYTES = 128 * 1024
"""Send buffer for a client, in bytes."""


class StreamQuery(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`after`: send events after this number; default: only new ones."""

    after: Count | None = None


class BotStreamQuery(StreamQuery):
    """`after`: send events after this number; default: only new ones. The rest are filters."""

    bot: Key | None = None
    kind: BotEventKind | None = None
    severity: Severity | None = None
    strategy: Key | None = None
    symbol: Key | None = None
    order: Key | None = None
    correlation: Key | None = None


class _Ended(Exception):
    """Close the connection, with a code and a reason."""

    def __init__(self, code: WSCloseCode, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


class StreamRoutes:
    """Serves the event log, and the events of the bots."""

    def __init__(self, feed: Feed, bots: Feed, authenticator: Authenticator) -> None:
        self._feed = feed
        self._bots = bots
        self._authenticator = authenticator
        self.clients = 0
        """Number of connected clients."""

    async def stream(
        self, request: web.Request, identity: Identity, query: StreamQuery
    ) -> web.StreamResponse:
        """Stream new events over a WebSocket, one per message; `after` resumes without a gap."""
        return await self._run(request, identity, self._feed, query.after, {})

    async def stream_bot_events(
        self, request: web.Request, identity: Identity, query: BotStreamQuery
    ) -> web.StreamResponse:
        """Stream the bots' new events over a WebSocket; `after` resumes without a gap."""
        given = msgspec.to_builtins(query)
        wanted = {key: value for key, value in given.items() if value is not None}
        after = wanted.pop("after", None)
        return await self._run(request, identity, self._bots, after, wanted)

    async def close(self) -> None:
        """Disconnect all clients."""
        await self._feed.close()
        await self._bots.close()

    async def _run(
        self,
        request: web.Request,
        identity: Identity,
        feed: Feed,
        after: int | None,
        wanted: Mapping[str, str],
    ) -> web.StreamResponse:
        socket_ = web.WebSocketResponse(
            heartbeat=HEARTBEAT_SECONDS, timeout=FAREWELL_SECONDS, max_msg_size=MESSAGE_LIMIT
        )
        if not socket_.can_prepare(request).ok:
            raise web.HTTPUpgradeRequired(
                text="this is a WebSocket endpoint: send Upgrade: websocket"
            )
        if feed.is_full or feed.closing.is_set():
            raise web.HTTPServiceUnavailable(text="too many clients; try again later")
        head = await feed.head()
        position = head if after is None else min(after, head)
        await socket_.prepare(request)
        _bound_buffer(request)
        log.info("stream_started", who=identity.name, after=position)
        self.clients += 1
        try:
            await self._serve(request, _Sender(socket_, feed, wanted), position)
        except _Ended as end:
            log.info("stream_ended", who=identity.name, reason=end.reason)
            await _say_farewell(request, socket_, end)
        finally:
            self.clients -= 1
        return socket_

    async def _serve(self, request: web.Request, sender: "_Sender", position: int) -> None:
        """Send until the client disconnects; raises `_Ended` to close the connection."""
        sending = asyncio.create_task(sender.send(position))
        others = [
            asyncio.create_task(_hear(sender.socket)),
            asyncio.create_task(_closing(sender.feed)),
            asyncio.create_task(self._check(request)),
        ]
        try:
            done, _ = await asyncio.wait({sending, *others}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except (ConnectionError, StoreError) as error:
            raise _Ended(WSCloseCode.TRY_AGAIN_LATER, "cannot read events") from error
        finally:
            for task in (sending, *others):
                task.cancel()
            await asyncio.gather(sending, *others, return_exceptions=True)

    async def _check(self, request: web.Request) -> None:
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            identity = self._authenticator.identify(request)
            if identity is None or not identity.may(Role.VIEWER):
                raise _Ended(WSCloseCode.POLICY_VIOLATION, "the token is no longer valid")


@dataclass(frozen=True)
class _Sender:
    """Sends the entries of a feed to one client."""

    socket: web.WebSocketResponse
    feed: Feed
    wanted: Mapping[str, str]
    """Values that an entry must have to be sent."""

    async def send(self, position: int) -> None:
        """Send what was stored after a number, and then all that is new."""
        while True:
            position = await self._catch_up(position)
            with self.feed.listening(position) as listener:
                while not (listener.behind and listener.queue.empty()):
                    line = await listener.queue.get()
                    await self._send_line(line)
                    position = line.seq

    async def _catch_up(self, position: int) -> int:
        """Send stored entries; return the number from which the feed continues."""
        while True:
            head = await self.feed.head()
            if self.feed.is_current(position, head):
                return position
            lines = await self.feed.page(position)
            for line in lines:
                await self._send_line(line)
                position = line.seq
            if not lines:
                position = head  # numbers up to there are of removed entries, or of none

    async def _send_line(self, line: StreamLine) -> None:
        if any(line.facts.get(name) != value for name, value in self.wanted.items()):
            return
        try:
            async with asyncio.timeout(STALLED_SECONDS):
                await self.socket.send_str(line.text)
        except TimeoutError as error:
            reason = "too slow: reconnect with after= the last number seen"
            raise _Ended(WSCloseCode.TRY_AGAIN_LATER, reason) from error


async def _closing(feed: Feed) -> None:
    await feed.closing.wait()
    raise _Ended(WSCloseCode.GOING_AWAY, "the reconciler is stopping")


async def _hear(socket_: web.WebSocketResponse) -> None:
    """Wait for the client to disconnect; ignore what it sends."""
    while True:
        message = await socket_.receive()
        if message.type in {WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR}:
            return


async def _say_farewell(request: web.Request, socket_: web.WebSocketResponse, end: _Ended) -> None:
    """Close with the reason, with a short timeout for a client that does not read."""
    with contextlib.suppress(TimeoutError, ConnectionError, RuntimeError):
        async with asyncio.timeout(2 * FAREWELL_SECONDS):
            await socket_.close(code=end.code, message=end.reason.encode())
            return
    if request.transport is not None:
        request.transport.abort()


def _bound_buffer(request: web.Request) -> None:
    connection = None if request.transport is None else request.transport.get_extra_info("socket")
    if connection is not None:
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
