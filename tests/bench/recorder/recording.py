"""What it costs to record: a tick, an order's whole life, one count."""

import statistics
from collections.abc import Callable

import prometheus_client as peer
from prometheus_client import CollectorRegistry

from tests.bench.recorder.beside import ROUNDS, Work, beside, seconds, verdict
from tests.bench.recorder.registries import LABELS, entry
from tests.bench.say import say
from trading_ops.instrument import BotMetrics, MetricType, families
from trading_ops.instrument.recorder import counters, histograms
from trading_ops.instrument.topics.market_data import TICK_BUCKETS

EVENTS = 2_000
"""A round."""

SYMBOL, ENDPOINT, ORDER = "BTC/USD", "AddOrder", "OQCLML-BW3P3-BUCMWZ"


class Peer:
    """prometheus_client's families for the facts of a bot, by the same catalogue."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        market = "trading_market_data"
        self.messages = families.counter(f"{market}_messages_total", registry)
        self.received = families.gauge(f"{market}_timestamp_seconds", registry)
        self.price = families.gauge(f"{market}_price", registry)
        self.latency = families.histogram(f"{market}_latency_seconds", registry)
        self.requests = families.counter("trading_venue_requests_total", registry)
        self.duration = families.histogram("trading_venue_request_duration_seconds", registry)
        self.acknowledged = families.histogram("trading_order_duration_seconds", registry)
        self.orders = families.counter("trading_orders_total", registry)
        self.open = families.gauge("trading_open_orders", registry)
        self.position = families.gauge("trading_position", registry)


def our_metrics() -> BotMetrics:
    """Return the metrics of a bot with one symbol."""
    return BotMetrics(
        CollectorRegistry(), version="1", mode="paper", symbols=[SYMBOL], endpoints=[ENDPOINT]
    )


def values() -> list[float]:
    """Return latencies from 0.1 ms to 200 ms."""
    return [0.0001 * (number + 1) for number in range(EVENTS)]


def recording() -> None:
    """Print what recording costs."""
    say(f"recording: ns an event, ours and prometheus_client's, median of {ROUNDS} rounds in turns")
    for description, ours, theirs, goal in (
        *_ticks(),
        *_orders(),
        *_orders_with_exemplars(),
        *_single(),
    ):
        _one_recording(description, ours, theirs, goal)


def _one_recording(description: str, ours: Work, theirs: Work, goal: float) -> None:
    empty = statistics.median(seconds(_empty) for _ in range(ROUNDS))
    found = beside(ours, theirs)
    mine, other = ((took - empty) / EVENTS * 1e9 for took in (found.ours, found.theirs))
    # The loop itself is a fair part of ours only: without it the ratio is what a call costs.
    ratio = (found.ratio * found.ours - empty) / (found.ours - empty)
    say(f"  {description:<46} {mine:>7.0f} {other:>8.0f}   {verdict(ratio, goal)}")


def _empty() -> None:
    for _ in VALUES:
        pass


VALUES = values()
Compared = tuple[str, Work, Work, float]


def _ticks() -> list[Compared]:
    metrics, theirs = our_metrics(), Peer()
    feed = metrics.feed(SYMBOL)
    messages, latency = theirs.messages.labels(SYMBOL), theirs.latency.labels(SYMBOL)
    received, price = theirs.received.labels(SYMBOL), theirs.price.labels(SYMBOL)

    def kept() -> None:
        tick = feed.tick
        for value in VALUES:
            tick(value, value, value)

    def by_symbol() -> None:
        tick = metrics.tick
        for value in VALUES:
            tick(SYMBOL, at=value, latency_seconds=value, price=value)

    def labels() -> None:
        for value in VALUES:
            theirs.messages.labels(SYMBOL).inc()
            theirs.received.labels(SYMBOL).set(value)
            theirs.price.labels(SYMBOL).set(value)
            theirs.latency.labels(SYMBOL).observe(value)

    def bound() -> None:
        for value in VALUES:
            messages.inc()
            received.set(value)
            price.set(value)
            latency.observe(value)

    return [
        ("tick, feed kept / 4 labels()", kept, labels, 25),
        ("tick, feed kept / 4 bound children", kept, bound, 10),
        ("tick by symbol / 4 labels()", by_symbol, labels, 25),
    ]


def _orders() -> list[Compared]:
    metrics, theirs = our_metrics(), Peer()
    theirs_bound = (
        theirs.requests.labels(ENDPOINT, "ok"),
        theirs.duration.labels(ENDPOINT),
        theirs.orders.labels("filled"),
        theirs.position.labels(SYMBOL),
    )

    def ours() -> None:
        for value in VALUES:
            metrics.venue_request(ENDPOINT, code="ok", seconds=value)
            metrics.order_acknowledged(value)
            metrics.open_orders(1)
            metrics.order_ended("filled")
            metrics.position(SYMBOL, value)
            metrics.open_orders(0)

    def labels() -> None:
        for value in VALUES:
            theirs.requests.labels(ENDPOINT, "ok").inc()
            theirs.duration.labels(ENDPOINT).observe(value)
            theirs.acknowledged.observe(value)
            theirs.open.set(1)
            theirs.orders.labels("filled").inc()
            theirs.position.labels(SYMBOL).set(value)
            theirs.open.set(0)

    requests, duration, orders, position = theirs_bound

    def bound() -> None:
        for value in VALUES:
            requests.inc()
            duration.observe(value)
            theirs.acknowledged.observe(value)
            theirs.open.set(1)
            orders.inc()
            position.set(value)
            theirs.open.set(0)

    return [
        ("an order's life (7 facts) / labels()", ours, labels, 0),
        ("an order's life (7 facts) / bound children", ours, bound, 0),
    ]


def _orders_with_exemplars() -> list[Compared]:
    metrics, theirs = our_metrics(), Peer()

    def ours() -> None:
        for value in VALUES:
            metrics.venue_request(ENDPOINT, code="ok", seconds=value)
            metrics.order_acknowledged(value, order_id=ORDER)
            metrics.open_orders(1)
            metrics.order_ended("filled", order_id=ORDER)
            metrics.position(SYMBOL, value)
            metrics.open_orders(0)

    def labels() -> None:
        for value in VALUES:
            theirs.requests.labels(ENDPOINT, "ok").inc()
            theirs.duration.labels(ENDPOINT).observe(value)
            theirs.acknowledged.observe(value, {"order_id": ORDER})
            theirs.open.set(1)
            theirs.orders.labels("filled").inc(1, {"order_id": ORDER})
            theirs.position.labels(SYMBOL).set(value)
            theirs.open.set(0)

    return [("the same with two exemplars / labels()", ours, labels, 0)]


def _single() -> list[Compared]:
    counter = counters(entry(MetricType.COUNTER), limit=1).labels("sma", SYMBOL)
    histogram = histograms(entry(MetricType.HISTOGRAM), limit=1).labels("sma", SYMBOL)
    their_counter = peer.Counter("things", "A.", LABELS, registry=None).labels("sma", SYMBOL)
    their_histogram = peer.Histogram(
        "wait_seconds", "A.", LABELS, buckets=TICK_BUCKETS, registry=None
    ).labels("sma", SYMBOL)

    def loop(call: Callable[[float], None]) -> Work:
        def work() -> None:
            for value in VALUES:
                call(value)

        return work

    return [
        ("counter.inc(v) / bound", loop(counter.inc), loop(their_counter.inc), 6),
        ("histogram.observe(v) / bound", loop(histogram.observe), loop(their_histogram.observe), 5),
    ]
