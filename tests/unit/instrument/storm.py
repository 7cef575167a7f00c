"""Storms of events from threads and from coroutines, and how many of them were lost."""

import asyncio
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry

from tests.unit.instrument.scrape_watch import Watch
from trading_ops.instrument import BotMetrics, Exposition, Metric, MetricType, Owner
from trading_ops.instrument.children import Counter, Gauge, Histogram
from trading_ops.instrument.recorder import counters

THREADS = 4
TASKS = 50
SYMBOL = "BTC/USD"
BURST = 100
"""Events between two moments in which a coroutine lets others work."""

EVENTS_A_ROUND = 9
RACES = 40
"""Label values whose first event all threads have at about the same time."""


class LossyCounter(Counter):
    """What must be found: who comes between reading and writing back is forgotten."""

    def inc(self, amount: float = 1) -> None:
        before = self.value
        self.value = self._more(before, amount)

    def _more(self, value: float, amount: float) -> float:
        return value + amount


class WaitingCounter(LossyCounter):
    """The same, with someone else's turn in between, so that few events are enough to find it."""

    def _more(self, value: float, amount: float) -> float:
        time.sleep(0)
        return value + amount


class WaitingHistogram(Histogram):
    """Loses the buckets of who comes in between."""

    def observe(self, value: float) -> None:
        before = self.counts[1]
        time.sleep(0)
        self.counts[1] = before + 1
        self.sum += value


class WaitingGauge(Gauge):
    """Loses what others add in between."""

    def inc(self, amount: float = 1) -> None:
        before = self.value
        time.sleep(0)
        self.value = before + amount


class Storm:
    """One bot's metrics under fire, scraped meanwhile."""

    def __init__(
        self,
        counter: Counter | None = None,
        histogram: Histogram | None = None,
        gauge: Gauge | None = None,
    ) -> None:
        self.metrics = BotMetrics(
            CollectorRegistry(),
            version="1",
            mode="paper",
            symbols=[SYMBOL],
            endpoints=["Balance"],
            started_at=0.0,
        )
        self.counter = counter or Counter()
        self.histogram = histogram or Histogram((0.5, 1.0, 2.0))
        self.gauge = gauge or Gauge()
        entry = Metric(
            name="races_total",
            kind=MetricType.COUNTER,
            owner=Owner.BOT,
            labels=("number",),
            help="A.",
            why="B.",
        )
        self.races = counters(entry, limit=RACES)
        self.metrics.registry.register(self.races)
        self.watch = Watch(Exposition(self.metrics.registry, slice_seconds=0.0))

    def round(self, race: str) -> None:
        """Record one event of each kind: bound, by label, fused, with exemplars, born in a race."""
        self.counter.inc()
        self.histogram.observe(1.0)
        self.gauge.inc()
        self.metrics.tick(SYMBOL, at=1.0, latency_seconds=1.0, price=1.0)
        self.metrics.order_ended("filled")
        self.metrics.order_ended("cancelled", order_id=race)
        self.metrics.order_acknowledged(1.0, order_id=race)
        self.metrics.venue_request("Balance", code="ok", seconds=1.0)
        self.races.labels(race).inc()

    def burst(self, number: int) -> None:
        """Record some rounds; the number of the burst says for which label value the race is."""
        race = str(number % RACES)
        for _ in range(BURST):
            self.round(race)

    def lost(self, rounds: int) -> int:
        """Return how many events are missing after so many rounds, over all metrics."""
        value = self.metrics.registry.get_sample_value
        latency = "trading_market_data_latency_seconds"
        duration = "trading_venue_request_duration_seconds"
        acknowledged = "trading_order_duration_seconds"
        found = (
            self.counter.value,
            sum(self.histogram.counts),
            self.histogram.sum,
            self.gauge.value,
            value("trading_market_data_messages_total", {"symbol": SYMBOL}),
            value(f"{latency}_count", {"symbol": SYMBOL}),
            value(f"{latency}_sum", {"symbol": SYMBOL}),
            value("trading_orders_total", {"outcome": "filled"}),
            value("trading_orders_total", {"outcome": "cancelled"}),
            value(f"{acknowledged}_count"),
            value(f"{acknowledged}_sum"),
            value("trading_venue_requests_total", {"endpoint": "Balance", "code": "ok"}),
            value(f"{duration}_count", {"endpoint": "Balance"}),
            value(f"{duration}_sum", {"endpoint": "Balance"}),
            sum(sample.value for sample in self.races.samples()),
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
        for number in range(bursts):
            storm.burst(number)

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    with hasty_switches(), storm.watch.from_a_thread():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return storm.lost(bursts * THREADS * BURST)


def in_coroutines(storm: Storm, events: int) -> int:
    """Record so many events from coroutines, half of them beside threads of the same loop."""
    bursts = max(1, events // (EVENTS_A_ROUND * (TASKS + THREADS) * BURST))

    async def task() -> None:
        for number in range(bursts):
            storm.burst(number)
            await asyncio.sleep(0)

    def beside() -> None:
        for number in range(bursts):
            storm.burst(number)

    async def main() -> None:
        scraping = asyncio.create_task(storm.watch.from_the_loop())
        threads = [asyncio.to_thread(beside) for _ in range(THREADS)]
        await asyncio.gather(*(task() for _ in range(TASKS)), *threads)
        scraping.cancel()

    with hasty_switches(), storm.watch.from_a_thread():
        asyncio.run(main())
    return storm.lost(bursts * (TASKS + THREADS) * BURST)


KINDS: dict[str, Callable[[Storm, int], int]] = {
    "threads": in_threads,
    "coroutines": in_coroutines,
}
