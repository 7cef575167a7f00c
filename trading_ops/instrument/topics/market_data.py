"""Market data: age, latency and volume."""

from bisect import bisect_left
from typing import TYPE_CHECKING

from trading_ops.instrument.metric import Metric, bot_counter, bot_gauge, bot_histogram
from trading_ops.instrument.ticks import SymbolFeed

if TYPE_CHECKING:
    from trading_ops.instrument.recorder import Recorder

# Twenty bounds around the objective of 50 ms, from a venue in the same rack to an unusable feed.
TICK_BUCKETS = (
    *(0.0005, 0.001, 0.0025, 0.005, 0.0075, 0.01, 0.02, 0.03, 0.04, 0.05),
    *(0.06, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)

MARKET_DATA: tuple[Metric, ...] = (
    bot_gauge(
        name="trading_market_data_timestamp_seconds",
        unit="seconds",
        labels=("symbol",),
        vital=True,
        help="Time of the last received ticker, Unix time; the process start until the first.",
        why="Detects a feed that is open but silent: the bot trades on stale prices.",
    ),
    bot_histogram(
        name="trading_market_data_latency_seconds",
        labels=("symbol",),
        buckets=TICK_BUCKETS,
        help="Time from the venue's timestamp of a ticker to its receipt.",
        why="Late prices lead to wrong decisions.",
    ),
    bot_gauge(
        name="trading_market_data_price",
        labels=("symbol",),
        help="Last ticker price, in the symbol's quote currency.",
        why="A price that jumps or freezes while messages arrive means a broken feed.",
    ),
    bot_counter(
        name="trading_market_data_messages_total",
        labels=("symbol",),
        help="Tickers received.",
        why="A falling rate shows a feed that is about to fail.",
    ),
    bot_counter(
        name="trading_market_data_reconnects_total",
        help="Reconnects of the market data feed.",
        why="A feed that reconnects often misses prices.",
    ),
)


class MarketDataMetrics:
    """Records a bot's market data."""

    started_at: float
    """Seconds since the epoch."""

    def tick(
        self,
        symbol: str,
        *,
        at: float,
        latency_seconds: float | None = None,
        price: float | None = None,
    ) -> None:
        """Record a ticker.

        Args:
            symbol: of the ticker.
            at: time of receipt, seconds since the epoch.
            latency_seconds: time since the venue's timestamp, if there is one; a negative value
                counts as 0, since clocks differ.
            price: of the ticker.
        """
        try:
            feed = self._feeds[symbol]
        except KeyError:
            feed = self.feed(symbol)
        # Inlines SymbolFeed.tick: the call would be a fifth of the cost.
        feed.received.value = at
        feed.messages.value += 1
        if latency_seconds is not None:
            if not latency_seconds >= 0.0:  # negative, or NaN
                latency_seconds = 0.0
            feed.counts[bisect_left(feed.bounds, latency_seconds)] += 1
            feed.latency.sum += latency_seconds
        if price is not None:
            if feed.price is None:
                feed.price = feed.new_price()
            feed.price.value = price

    def feed(self, symbol: str) -> SymbolFeed:
        """Return a recorder for one symbol's tickers; keep it if there are thousands per second."""
        feed = SymbolFeed(
            received=self._tick_time.labels(symbol),
            messages=self._ticks.labels(symbol),
            latency=self._tick_latency.labels(symbol),
            price=lambda: self._prices.labels(symbol),
        )
        if self._ticks.has(symbol):
            return self._feeds.setdefault(symbol, feed)
        return feed

    def feed_reconnected(self) -> None:
        """Count a reconnect of the market data feed."""
        self._feed_reconnects.value += 1

    def _register_market_data(self, recorder: "Recorder", symbols: tuple[str, ...]) -> None:
        known = {"symbol": symbols}
        self._tick_time = recorder.gauge("trading_market_data_timestamp_seconds", known)
        self._tick_latency = recorder.histogram("trading_market_data_latency_seconds", known)
        self._prices = recorder.gauge("trading_market_data_price", known, at_once=False)
        self._ticks = recorder.counter("trading_market_data_messages_total", known)
        self._feeds: dict[str, SymbolFeed] = {}
        for symbol in symbols:
            # Starts at the process start, so that a feed that never delivers is detected.
            self._tick_time.labels(symbol).value = self.started_at
            self.feed(symbol)
        self._feed_reconnects = recorder.counter("trading_market_data_reconnects_total").labels()
