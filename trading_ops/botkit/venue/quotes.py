"""The market data component for any source of quotes, such as a venue library's own stream."""

import asyncio
import random
from collections.abc import Callable
from decimal import Decimal
from typing import Protocol

from trading_ops import clock, logs
from trading_ops.botkit.component import Component
from trading_ops.botkit.orders.market import Quote
from trading_ops.instrument import BotMetrics

log = logs.get(__name__)

FIRST_PAUSE = 0.25
LONGEST_PAUSE = 5.0
"""Pause between two attempts to connect in seconds, doubled at each attempt, with jitter."""

CHECK_SECONDS = 0.5

OnQuote = Callable[[str, Decimal, Decimal, float | None], None]
"""Takes symbol, bid, ask, and the venue's time of the quote in seconds since the epoch."""


class QuoteSource(Protocol):
    """One connection to a venue's quotes."""

    async def deliver(self, on_quote: OnQuote) -> None:
        """Connect and deliver quotes until cancelled; return or raise when the connection ends."""
        ...


class QuoteFeed(Component):
    """Keeps the latest quotes; up while quotes arrive.

    A connection that ended is opened again automatically. One that is open but silent is not: the
    age of the data is a metric, and an alert with a recorded restart of `feed` remediates it.

    Example:
        feed = QuoteFeed(metrics, make_source=lambda: AlpacaQuotes(...), stale_seconds=5)
        supervisor = Supervisor([broker, feed])
        quote = feed.quotes["AAPL/USD"]
    """

    def __init__(
        self,
        metrics: BotMetrics,
        *,
        make_source: Callable[[], QuoteSource],
        stale_seconds: float,
    ) -> None:
        """Set up the feed; `run` connects.

        Args:
            metrics: of the bot.
            make_source: makes a source for each connection.
            stale_seconds: without a quote of any symbol, after which the feed is down.
        """
        super().__init__("feed", metrics, cool_off_seconds=FIRST_PAUSE)
        self.quotes: dict[str, Quote] = {}
        self._make_source = make_source
        self._stale = stale_seconds
        self._connections = 0
        self._heard_at = 0.0

    async def run(self) -> None:
        """Connect, listen, and connect again, until cancelled."""
        watching = asyncio.create_task(self._watch())
        failures = 0
        try:
            while True:
                self._connections += 1
                if self._connections > 1:
                    self.metrics.feed_reconnected()
                before = self._heard_at
                try:
                    await self._make_source().deliver(self._quote)
                    detail = "the connection ended"
                except Exception as error:  # noqa: BLE001 - a library's own
                    detail = f"{type(error).__name__} {error}"
                log.warning("quotes_ended", detail=detail[:200])
                self.fail(detail)
                self.mark(up=False, detail=detail)
                failures = 0 if self._heard_at > before else failures + 1
                pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2**failures)
                await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - no secret
                self.breaker.allow()  # the next attempt is the trial
        finally:
            watching.cancel()
            await asyncio.wait({watching})

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            silence = clock.monotonic() - self._heard_at
            if self.up and silence > self._stale:
                self.mark(up=False, detail=f"no quote for {silence:.0f} s")

    def _quote(self, symbol: str, bid: Decimal, ask: Decimal, at: float | None) -> None:
        now, self._heard_at = clock.timestamp(), clock.monotonic()
        self.quotes[symbol] = quote = Quote(bid=bid, ask=ask, at=now)
        self.metrics.tick(
            symbol,
            at=now,
            latency_seconds=None if at is None else now - at,
            price=float(quote.middle),
        )
        self.succeed()
        if not self.up:
            self.mark(up=True, detail="quotes arrive")
