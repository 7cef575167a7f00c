"""The hottest path of a bot: a ticker came."""

from bisect import bisect_left
from collections.abc import Callable

from trading_ops.instrument.children import Counter, Gauge, Histogram


class SymbolFeed:
    """Records the tickers of one symbol: four metrics in one call, without any lookup.

    What `Counter.inc`, `Gauge.set` and `Histogram.observe` do is done here in place: calling them
    would double the cost. What their module says about threads holds here too.
    """

    __slots__ = (
        "_bounds",
        "_counts",
        "_latency",
        "_messages",
        "_new_price",
        "_price",
        "_received",
    )

    def __init__(
        self,
        *,
        received: Gauge,
        messages: Counter,
        latency: Histogram,
        price: Callable[[], Gauge],
    ) -> None:
        """Take the children; that of the price is made when the first price is known."""
        self._received = received
        self._messages = messages
        self._latency = latency
        self._bounds = latency.bounds
        self._counts = latency.counts
        self._new_price = price
        self._price: Gauge | None = None

    def tick(
        self, at: float, latency_seconds: float | None = None, price: float | None = None
    ) -> None:
        """A ticker was received; see `BotMetrics.tick`."""
        self._received.value = at
        self._messages.value += 1
        if latency_seconds is not None:
            if not latency_seconds >= 0.0:  # negative, or NaN
                latency_seconds = 0.0
            self._counts[bisect_left(self._bounds, latency_seconds)] += 1
            self._latency.sum += latency_seconds
        if price is not None:
            if self._price is None:
                self._price = self._new_price()
            self._price.value = price
