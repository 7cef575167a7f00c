"""One client of the feed: its subscriptions and its send queue."""

import asyncio
import contextlib
from collections.abc import Callable
from decimal import Decimal
from typing import Final

import msgspec
from aiohttp import web

from trading_ops_lab.paper.venue.faults import Caller
from trading_ops_lab.paper.venue.tokens import Holder

QUEUE_LENGTH: Final = 256
"""Maximum queued messages of a client; a client that is further behind is dropped."""

Levels = dict[Decimal, Decimal]


class BookView(msgspec.Struct):
    """State of a book as last sent to a client."""

    depth: int
    bids: Levels
    asks: Levels


class PrivateChannel(msgspec.Struct):
    """A client's subscription to an account channel; its messages are numbered."""

    holder: Holder
    all_states: bool = True
    sequence: int = 0

    def next(self) -> int:
        """Return the next message's number."""
        self.sequence += 1
        return self.sequence


class Connection:
    """State of one client."""

    def __init__(
        self, number: int, socket: web.WebSocketResponse, drop: Callable[[], None]
    ) -> None:
        self.number, self._socket, self.drop = number, socket, drop
        self.tickers: set[str] = set()
        self.trades: dict[str, int] = {}
        """Number of trades sent, by symbol."""

        self.books: dict[str, BookView] = {}
        self.instruments = False
        """Whether instruments other than coins are included."""

        self.private: dict[str, PrivateChannel] = {}
        self.tokens: set[str] = set()
        self.holder: Holder | None = None
        self._waiting: asyncio.Queue[str] = asyncio.Queue(QUEUE_LENGTH)

    def caller(self, method: str = "") -> Caller:
        """Return the caller, if it presented a token."""
        if self.holder is None:
            return Caller(method, "websocket")
        return Caller(method, "websocket", self.holder.key, self.holder.account)

    def send(self, text: str) -> None:
        """Queue a message; a client that does not read is dropped."""
        try:
            self._waiting.put_nowait(text)
        except asyncio.QueueFull:
            self.drop()

    async def drain(self) -> None:
        """Send queued messages until the connection is closed."""
        with contextlib.suppress(ConnectionError):
            while True:
                await self._socket.send_str(await self._waiting.get())
