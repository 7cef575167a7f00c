"""A WebSocket with two ticks per second, by which a page knows that it is up to date."""

import asyncio
import contextlib
from collections.abc import Callable

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web

from trading_ops import clock
from trading_ops.errors import StoreError

TICK_SECONDS = 0.5
STALLED_SECONDS = 5.0
"""A page that receives nothing for this long is disconnected."""

HEARTBEAT_SECONDS = 15.0
"""Interval of pings that detect closed pages."""

HEAD_SECONDS = 0.4
"""How long the number of the newest event is cached for all pages."""

PAGES = 200
"""At once."""


Heads = tuple[int | None, int | None]
"""The numbers of the newest event, and of the newest event of a bot."""


class _Tick(msgspec.Struct):
    head: int | None
    """Number of the newest event; null: the database does not answer."""

    bots: int | None
    """The same for the bots' events."""

    at: float


class LiveUpdates:
    """Sends ticks to every open page."""

    def __init__(self, heads: Callable[[], asyncio.Task[Heads]]) -> None:
        self._read_heads = heads
        self._reading: asyncio.Task[Heads] | None = None
        self._heads: Heads = (None, None)
        self._read_at = float("-inf")
        self.closing = asyncio.Event()
        self.pages = 0
        """Number of open pages."""

    async def serve(
        self, request: web.Request, is_logged_in: Callable[[], bool]
    ) -> web.StreamResponse:
        """Send ticks until the page is closed, the session ends or the reconciler stops."""
        socket = web.WebSocketResponse(
            heartbeat=HEARTBEAT_SECONDS, timeout=STALLED_SECONDS, max_msg_size=1024
        )
        if not socket.can_prepare(request).ok:
            raise web.HTTPUpgradeRequired(text="this is a WebSocket: send Upgrade: websocket")
        if self.pages >= PAGES or self.closing.is_set():
            raise web.HTTPServiceUnavailable(text="too many pages are open already")
        await socket.prepare(request)
        self.pages += 1
        closed = asyncio.create_task(_wait_closed(socket))
        try:
            code = await self._tick(socket, closed, is_logged_in)
            async with asyncio.timeout(STALLED_SECONDS):
                await socket.close(code=code)
        except (ConnectionError, TimeoutError):
            if request.transport is not None:
                request.transport.abort()
        finally:
            self.pages -= 1
            closed.cancel()
            await asyncio.gather(closed, return_exceptions=True)
        return socket

    async def _tick(
        self,
        socket: web.WebSocketResponse,
        closed: asyncio.Task[None],
        is_logged_in: Callable[[], bool],
    ) -> WSCloseCode:
        closing = asyncio.create_task(self.closing.wait())
        try:
            while True:
                head, bots = await self._newest()
                tick = _Tick(head=head, bots=bots, at=clock.timestamp())
                async with asyncio.timeout(STALLED_SECONDS):
                    await socket.send_str(msgspec.json.encode(tick).decode())
                await asyncio.wait(
                    {closed, closing}, timeout=TICK_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
                if closed.done() or closing.done():
                    return WSCloseCode.GOING_AWAY
                if not is_logged_in():
                    return WSCloseCode.POLICY_VIOLATION
        finally:
            closing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await closing

    async def _newest(self) -> Heads:
        """Return the numbers of the newest events; one query at a time for all pages."""
        if self._reading is None and clock.monotonic() - self._read_at > HEAD_SECONDS:
            self._read_at = clock.monotonic()
            self._reading = self._read_heads()
        reading = self._reading
        if reading is not None:
            await asyncio.wait({reading}, timeout=TICK_SECONDS / 2)
            if not reading.done():
                return None, None
            if self._reading is reading:
                self._reading, self._heads = None, _answered(reading)
        return self._heads


def _answered(reading: asyncio.Task[Heads]) -> Heads:
    try:
        return reading.result()
    except (StoreError, asyncio.CancelledError):
        return None, None


async def _wait_closed(socket: web.WebSocketResponse) -> None:
    """Wait until the page is closed; its messages are ignored."""
    while True:
        message = await socket.receive()
        if message.type in {WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR}:
            return
