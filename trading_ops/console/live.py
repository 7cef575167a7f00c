"""A WebSocket that ticks twice a second: a page knows by it that what it shows is still true."""

import asyncio
import contextlib
from collections.abc import Callable

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web

from trading_ops import clock
from trading_ops.errors import StoreError

TICK_SECONDS = 0.5
STALLED_SECONDS = 5.0
"""A page that accepts nothing for this long is too slow."""

HEARTBEAT_SECONDS = 15.0
"""How often a page that may have gone is asked."""

HEAD_SECONDS = 0.4
"""How long the number of the newest event is shared by all pages."""

PAGES = 200
"""At once."""


Heads = tuple[int | None, int | None]
"""The numbers of the newest event, and of the newest event of a bot."""


class _Tick(msgspec.Struct):
    head: int | None
    """The number of the newest event; null: the database does not answer."""

    bots: int | None
    """The same of the bots' events."""

    at: float


class Live:
    """Ticks for every open page."""

    def __init__(self, heads: Callable[[], asyncio.Task[Heads]]) -> None:
        """Take what asks for the numbers of the newest events."""
        self._ask = heads
        self._asking: asyncio.Task[Heads] | None = None
        self._heads: Heads = (None, None)
        self._asked_at = float("-inf")
        self.closing = asyncio.Event()
        self.pages = 0
        """How many are open."""

    async def serve(
        self, request: web.Request, is_logged_in: Callable[[], bool]
    ) -> web.StreamResponse:
        """Tick until the page goes, the session ends or the reconciler stops."""
        socket = web.WebSocketResponse(
            heartbeat=HEARTBEAT_SECONDS, timeout=STALLED_SECONDS, max_msg_size=1024
        )
        if not socket.can_prepare(request).ok:
            raise web.HTTPUpgradeRequired(text="this is a WebSocket: send Upgrade: websocket")
        if self.pages >= PAGES or self.closing.is_set():
            raise web.HTTPServiceUnavailable(text="too many pages are open already")
        await socket.prepare(request)
        self.pages += 1
        hearing = asyncio.create_task(_hear(socket))
        try:
            code = await self._tick(socket, hearing, is_logged_in)
            async with asyncio.timeout(STALLED_SECONDS):
                await socket.close(code=code)
        except (ConnectionError, TimeoutError):
            if request.transport is not None:
                request.transport.abort()
        finally:
            self.pages -= 1
            hearing.cancel()
            await asyncio.gather(hearing, return_exceptions=True)
        return socket

    async def _tick(
        self,
        socket: web.WebSocketResponse,
        hearing: asyncio.Task[None],
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
                    {hearing, closing}, timeout=TICK_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
                if hearing.done() or closing.done():
                    return WSCloseCode.GOING_AWAY
                if not is_logged_in():
                    return WSCloseCode.POLICY_VIOLATION
        finally:
            closing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await closing

    async def _newest(self) -> Heads:
        """Return the numbers of the newest events; one question at a time, however many pages."""
        if self._asking is None and clock.monotonic() - self._asked_at > HEAD_SECONDS:
            self._asked_at = clock.monotonic()
            self._asking = self._ask()
        asking = self._asking
        if asking is not None:
            await asyncio.wait({asking}, timeout=TICK_SECONDS / 2)
            if not asking.done():
                return None, None
            if self._asking is asking:
                self._asking, self._heads = None, _answered(asking)
        return self._heads


def _answered(asking: asyncio.Task[Heads]) -> Heads:
    try:
        return asking.result()
    except (StoreError, asyncio.CancelledError):
        return None, None


async def _hear(socket: web.WebSocketResponse) -> None:
    """Wait for the page to go; what it sends is ignored."""
    while True:
        message = await socket.receive()
        if message.type in {WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR}:
            return
