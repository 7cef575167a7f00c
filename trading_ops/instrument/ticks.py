"""The hottest path of a bot: recording a ticker."""

from bisect import bisect_left
from collections.abc import Callable

from trading_ops.instrument.children import Counter, Gauge, Histogram


class SymbolFeed:
    """Records the tickers of one symbol: four metrics in one call, without a lookup.

    `Counter.inc`, `Gauge.set` and `Histogram.observe` are inlined here: calling them would double
    the cost. Their notes on threads apply here too. `BotMetrics.tick` repeats the same code,
    because even one more call would be measurable.
    """

    __slots__ = ("bounds", "counts", "latency", "messages", "new_price", "price", "received")

    def __init__(
        self,
        *,
        received: Gauge,
        messages: Counter,
        latency: Histogram,
        price: Callable[[], Gauge],
    ) -> None:
        """Set up the feed; the price series is created with the first price."""
        self.received = received
        self.messages = messages
        self.latency = latency
        self.bounds = latency.bounds
        self.counts = latency.counts
        self.new_price = price
        self.price: Gauge | None = None

    def tick(
        self, at: float, latency_seconds: float | None = None, price: float | None = None
    ) -> None:
        """Record a ticker; see `BotMetrics.tick`."""
        self.received.value = at
        self.messages.value += 1
        if latency_seconds is not None:
            if not latency_seconds >= 0.0:  # negative, or NaN
                latency_seconds = 0.0
            self.counts[bisect_left(self.bounds, latency_seconds)] += 1
            self.latency.sum += latency_seconds
        if price is not None:
            if self.price is None:
                self.price = self.new_price()
            self.price.value = price
