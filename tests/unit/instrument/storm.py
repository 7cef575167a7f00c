"""Storms of events from threads and from coroutines, and how many of them were lost."""

import asyncio
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry

from trading_ops.instrument import BotMetrics
from trading_ops.instrument.children import Counter, Histogram

THREADS = 4
TASKS = 50
SYMBOL = "BTC/USD"
BURST = 100
"""Events between two moments in which a coroutine lets others work."""

EVENTS_A_ROUND = 5


class LossyCounter(Counter):
    """What must be found: who comes between reading and writing back is forgotten."""

    def inc(self, amount: float = 1) -> None:
        before = self.value
        self.value = self._more(before, amount)

    def _more(self, value: float, amount: float) -> float:
        return value + amount


class WaitingCounter(LossyCounter):
    """The same, with somebody else's turn in between, so that few events are enough to find it."""

    def _more(self, value: float, amount: float) -> float:
        time.sleep(0)
        return value + amount


class Storm:
    """One bot's metrics under fire."""

    def __init__(self, counter: Counter | None = None) -> None:
        self.metrics = BotMetrics(
            CollectorRegistry(),
            version="1",
            mode="paper",
            symbols=[SYMBOL],
            endpoints=["Balance"],
            started_at=0.0,
        )
        self.counter = counter or Counter()
        self.histogram = Histogram((0.5, 1.0, 2.0))

    def round(self) -> None:
        """Record one event of each kind: bound, by label, and fused."""
        self.counter.inc()
        self.histogram.observe(1.0)
        self.metrics.tick(SYMBOL, at=1.0, latency_seconds=1.0, price=1.0)
        self.metrics.order_ended("filled")
        self.metrics.venue_request("Balance", code="ok", seconds=1.0)

    def burst(self) -> None:
        """Record some rounds."""
        for _ in range(BURST):
            self.round()

    def lost(self, rounds: int) -> int:
        """Return how many events are missing after so many rounds, over all metrics."""
        value = self.metrics.registry.get_sample_value
        latency = "trading_market_data_latency_seconds"
        duration = "trading_venue_request_duration_seconds"
        found = (
            self.counter.value,
            sum(self.histogram.counts),
            self.histogram.sum,
            value("trading_market_data_messages_total", {"symbol": SYMBOL}),
            value(f"{latency}_count", {"symbol": SYMBOL}),
            value(f"{latency}_sum", {"symbol": SYMBOL}),
            value("trading_orders_total", {"outcome": "filled"}),
            value("trading_venue_requests_total", {"endpoint": "Balance", "code": "ok"}),
            value(f"{duration}_count", {"endpoint": "Balance"}),
            value(f"{duration}_sum", {"endpoint": "Balance"}),
        )
        return sum(abs(rounds - int(number or 0)) for number in found)


@contextmanager
def hasty_switches() -> Iterator[None]:
    """Have the interpreter change threads as often as it can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def in_threads(storm: Storm, events: int) -> int:
    """Record so many events from threads; return how many were lost."""
    bursts = max(1, events // (EVENTS_A_ROUND * THREADS * BURST))
    start = threading.Barrier(THREADS)

    def work() -> None:
        start.wait()
        for _ in range(bursts):
            storm.burst()

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    with hasty_switches():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return storm.lost(bursts * THREADS * BURST)


def in_coroutines(storm: Storm, events: int) -> int:
    """Record so many events from coroutines, half of them beside threads of the same loop."""
    bursts = max(1, events // (EVENTS_A_ROUND * (TASKS + THREADS) * BURST))

    async def task() -> None:
        for _ in range(bursts):
            storm.burst()
            await asyncio.sleep(0)

    def beside() -> None:
        for _ in range(bursts):
            storm.burst()

    async def main() -> None:
        threads = [asyncio.to_thread(beside) for _ in range(THREADS)]
        await asyncio.gather(*(task() for _ in range(TASKS)), *threads)

    with hasty_switches():
        asyncio.run(main())
    return storm.lost(bursts * (TASKS + THREADS) * BURST)


KINDS: dict[str, Callable[[Storm, int], int]] = {
    "threads": in_threads,
    "coroutines": in_coroutines,
}
