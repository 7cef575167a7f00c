"""The market data component: one WebSocket connection in Kraken's v2 dialect."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

import aiohttp
import msgspec

from trading_ops import clock, logs
from trading_ops.agent import ComponentHealth
from trading_ops.botkit.component import Component
from trading_ops.botkit.orders.market import Quote
from trading_ops.instrument import BotMetrics

log = logs.get(__name__)

FIRST_PAUSE = 0.25
LONGEST_PAUSE = 5.0
"""Pause between two attempts to connect in seconds, doubled at each attempt, with jitter."""

THRESHOLD = 3
PING_SECONDS = 10.0
"""Interval of WebSocket pings; a connection without a pong is closed."""


class Ticker(msgspec.Struct):
    """One symbol's best prices, as the venue sends them."""

    symbol: str
    bid: Decimal
    ask: Decimal
    timestamp: datetime | None = None


class Message(msgspec.Struct):
    """Any message of the venue; only the data of tickers is read."""

    channel: str = ""
    method: str = ""
    success: bool = True
    error: str = ""
    data: msgspec.Raw = msgspec.Raw(b"[]")


class Feed(Component):
    """Keeps a connection open, and the latest quotes.

    Up means that the connection is open. A closed connection is opened again automatically. A
    connection that is open but silent is *not* reconnected here: the age of the data is a metric,
    and an alert rule with a recorded restart remediates it. `health` reports a silent feed as down.
    """

    def __init__(
        self,
        metrics: BotMetrics,
        *,
        address: str,
        symbols: Sequence[str],
        timeout_seconds: float,
        stale_seconds: float,
    ) -> None:
        """Set up the feed; `run` connects.

        Args:
            metrics: of the bot.
            address: of the venue, HOST:PORT.
            symbols: to subscribe to.
            timeout_seconds: for connecting.
            stale_seconds: without a ticker of any symbol, after which the feed counts as silent.
        """
        super().__init__("feed", metrics, threshold=THRESHOLD, cool_off_seconds=FIRST_PAUSE)
        self.quotes: dict[str, Quote] = {}
        self._url = f"ws://{address}/v2"
        self._symbols = list(symbols)
        self._timeout = timeout_seconds
        self._stale = stale_seconds
        self._connections = 0
        # Before the first ticker the silence counts from here; connecting does not end it.
        self._heard_at = clock.monotonic()

    @property
    def silent(self) -> bool:
        """Return whether there was no ticker of any symbol for too long."""
        return self._silence > self._stale

    @property
    def health(self) -> ComponentHealth:
        """Return its health, down while it is silent even if the connection is open.

        Safe to call from any thread.
        """
        health = super().health
        if not health.up or not self.silent:
            return health
        return replace(health, up=False, detail=f"no market data for {self._silence:.0f} s")

    @property
    def _silence(self) -> float:
        return clock.monotonic() - self._heard_at

    async def run(self) -> None:
        """Connect, listen, and connect again, until cancelled."""
        failures = 0
        async with aiohttp.ClientSession() as session:
            while True:
                try:
                    await self._connect(session)
                    failures = 0
                except (aiohttp.ClientError, OSError, TimeoutError) as error:
                    self.fail(f"cannot connect: {type(error).__name__} {error}")
                    failures += 1
                self.mark(up=False, detail=self.detail)
                pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2**failures)
                await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - no secret
                self.breaker.allow()  # the next attempt is the trial

    async def _connect(self, session: aiohttp.ClientSession) -> None:
        async with asyncio.timeout(self._timeout):
            socket = await session.ws_connect(self._url, heartbeat=PING_SECONDS)
        async with socket:
            self._connections += 1
            if self._connections > 1:
                self.metrics.feed_reconnected()
            params = {"channel": "ticker", "symbol": self._symbols, "event_trigger": "bbo"}
            await socket.send_json({"method": "subscribe", "params": params})
            self.succeed()
            self.mark(up=True, detail="the connection is open")
            async for message in socket:
                if message.type is aiohttp.WSMsgType.TEXT:
                    self._receive(message.data)
            self.detail = f"the connection was closed ({socket.close_code})"

    def _receive(self, text: str) -> None:
        try:
            message = msgspec.json.decode(text, type=Message)
            if not message.success:
                log.warning("subscription_refused", error=message.error)
            if message.channel == "ticker":
                for ticker in msgspec.json.decode(message.data, type=list[Ticker]):
                    self._quote(ticker)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            log.warning("message_unreadable", error=str(error))

    def _quote(self, ticker: Ticker) -> None:
        now, self._heard_at = clock.timestamp(), clock.monotonic()
        quote = Quote(bid=ticker.bid, ask=ticker.ask, at=now)
        self.quotes[ticker.symbol] = quote
        stamp = ticker.timestamp
        self.metrics.tick(
            ticker.symbol,
            at=now,
            latency_seconds=None if stamp is None else now - stamp.timestamp(),
            price=float(quote.middle),
        )
        self.succeed()
