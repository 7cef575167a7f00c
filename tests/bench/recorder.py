"""The recorder beside prometheus_client: recording, memory, scrapes, stalls, and lost events.

Both do the same work in the same run, in rounds that alternate; a ratio is the median of the ratios
of the rounds, since machines slow down for seconds at a time. Run by `make bench`;
`python -m tests.bench.recorder storm` and the like run one part.
"""

import asyncio
import gc
import math
import statistics
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import prometheus_client as peer
from prometheus_client import CollectorRegistry, generate_latest

from tests.bench.say import say
from tests.unit.instrument.storm import KINDS, LossyCounter, Storm, WaitingCounter
from trading_ops.instrument import BotMetrics, Exposition, Kind, Metric, Owner, View, families
from trading_ops.instrument.children import Histogram
from trading_ops.instrument.entries.market_data import TICK_BUCKETS
from trading_ops.instrument.family import Family, Live
from trading_ops.instrument.recorder import counters, gauges, histograms

ROUNDS = 15
EVENTS = 2_000
"""A round of a recording bench."""

STORM = 10_000_000
LOSSY_STORM = 1_000_000
SYMBOL, ENDPOINT = "BTC/USD", "AddOrder"
LABELS = ("strategy", "symbol")
BEAT_SECONDS = 0.001

Work = Callable[[], object]


class Measured(NamedTuple):
    """Medians of interleaved rounds."""

    ours: float
    theirs: float
    ratio: float
    """How many times theirs is ours."""


def beside(ours: Work, theirs: Work, rounds: int = ROUNDS) -> Measured:
    """Return the seconds that both take, measured in turns."""
    pairs = []
    for number in range(rounds):
        first, second = (ours, theirs) if number % 2 else (theirs, ours)
        taken = {id(work): seconds(work) for work in (first, second)}
        pairs.append((taken[id(ours)], taken[id(theirs)]))
    return Measured(
        statistics.median(mine for mine, _ in pairs),
        statistics.median(other for _, other in pairs),
        statistics.median(other / mine for mine, other in pairs),
    )


def seconds(work: Work) -> float:
    """Return how long it takes."""
    gc.collect()
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def verdict(ratio: float, goal: float) -> str:
    """Return the ratio beside its goal, if there is one, and whether it is met."""
    if not goal:
        return f"1/{ratio:.1f}"
    return f"1/{ratio:<6.1f} goal 1/{goal:<5.0f} {'met' if ratio >= goal else 'MISSED'}"


# Recording


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
    for told, ours, theirs, goal in [*_ticks(), *_orders(), *_single()]:
        _one_recording(told, ours, theirs, goal)


def _one_recording(told: str, ours: Work, theirs: Work, goal: float) -> None:
    empty = statistics.median(seconds(_empty) for _ in range(ROUNDS))
    found = beside(ours, theirs)
    mine, other = ((took - empty) / EVENTS * 1e9 for took in (found.ours, found.theirs))
    # The loop itself is a fair part of ours only: without it the ratio is what a call costs.
    ratio = (found.ratio * found.ours - empty) / (found.ours - empty)
    say(f"  {told:<46} {mine:>7.0f} {other:>8.0f}   {verdict(ratio, goal)}")


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


def _single() -> list[Compared]:
    metric = entry(Kind.COUNTER)
    counter = counters(metric, limit=1).labels("sma", SYMBOL)
    histogram = histograms(entry(Kind.HISTOGRAM), limit=1).labels("sma", SYMBOL)
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


# Scrapes


def entry(kind: Kind) -> Metric:
    """Return a metric of the bench's own."""
    return Metric(
        name=NAMES[kind],
        kind=kind,
        owner=Owner.BOT,
        labels=LABELS,
        help="A.",
        why="B.",
        buckets=TICK_BUCKETS if kind is Kind.HISTOGRAM else (),
    )


NAMES = {Kind.COUNTER: "things_total", Kind.GAUGE: "level", Kind.HISTOGRAM: "wait_seconds"}
LINES = {Kind.COUNTER: 1, Kind.GAUGE: 1, Kind.HISTOGRAM: len(TICK_BUCKETS) + 3}


@dataclass(frozen=True)
class Pair:
    """The same series in both."""

    ours: CollectorRegistry
    theirs: CollectorRegistry


def pair(kind: Kind, lines: int) -> Pair:
    """Return registries with so many lines, every child used."""
    return Pair(_ours(kind, lines), _theirs(kind, lines))


def _names(kind: Kind, lines: int) -> Sequence[tuple[str, str]]:
    count = max(1, lines // LINES[kind])
    return [(f"strategy-{number % 7}", f"S{number}/USD") for number in range(count)]


def _ours(kind: Kind, lines: int) -> CollectorRegistry:
    registry = CollectorRegistry()
    names = _names(kind, lines)
    make: dict[Kind, Callable[..., Family[Any]]] = {
        Kind.COUNTER: counters,
        Kind.GAUGE: gauges,
        Kind.HISTOGRAM: histograms,
    }
    family = make[kind](entry(kind), limit=len(names))
    registry.register(family)
    _use(family, kind, names)
    return registry


def _theirs(kind: Kind, lines: int) -> CollectorRegistry:
    registry = CollectorRegistry()
    metric = entry(kind)
    make: dict[Kind, Callable[..., Any]] = {
        Kind.COUNTER: peer.Counter,
        Kind.GAUGE: peer.Gauge,
        Kind.HISTOGRAM: partial(peer.Histogram, buckets=TICK_BUCKETS),
    }
    family = make[kind](metric.name, metric.help, LABELS, registry=registry)
    _use(family, kind, _names(kind, lines))
    return registry


def _use(family: Any, kind: Kind, names: Sequence[tuple[str, str]]) -> None:
    """Count events, set gauges to numbers with all their digits, observe latencies."""
    for number, labels in enumerate(names):
        child = family.labels(*labels)
        match kind:
            case Kind.COUNTER:
                child.inc(number * 37)
            case Kind.GAUGE:
                child.set(number * 0.37)
            case Kind.HISTOGRAM:
                child.observe(number * 0.00037)


def bots(lines: int) -> Pair:
    """Return what a bot with so many lines exports: its real mix of metrics, all used."""
    symbols = [f"S{number}/USD" for number in range(max(1, lines // LINES_A_SYMBOL))]
    metrics = BotMetrics(CollectorRegistry(), version="1", mode="paper", symbols=symbols)
    for number, symbol in enumerate(symbols):
        now = time.time()  # noqa: TID251 - what a bot would hand over
        for latency in (0.003, 0.02, 0.06):
            metrics.tick(symbol, at=now, latency_seconds=latency, price=number * 0.05)
        metrics.position(symbol, number * 0.001)
    theirs = CollectorRegistry()
    for live in metrics.registry.collect():
        if isinstance(live, Live):
            _copy(live.family, theirs)
    return Pair(metrics.registry, theirs)


LINES_A_SYMBOL = len(TICK_BUCKETS) + 3 + 4


def _copy(family: Family[Any], registry: CollectorRegistry) -> None:
    """Have prometheus_client record what this family has."""
    metric = family.metric
    make: dict[Kind, Callable[..., Any]] = {
        Kind.COUNTER: families.counter,
        Kind.GAUGE: families.gauge,
        Kind.HISTOGRAM: families.histogram,
    }
    copied = make[metric.kind](metric.name, registry)
    for values, ours in family.children():
        theirs = copied.labels(*values) if values else copied
        if isinstance(ours, Histogram):
            for bound, count in zip((*ours.bounds, math.inf), ours.counts, strict=True):
                for _ in range(count):
                    theirs.observe(bound)
        else:
            theirs.inc(ours.value)


def memory() -> None:
    """Print what a child costs, lines and templates after a scrape included."""
    say("memory: bytes a child with two labels, after a scrape (tracemalloc)")
    for kind, told in ((Kind.COUNTER, "counter"), (Kind.HISTOGRAM, "20-bucket histogram")):
        count = 20_000 if kind is Kind.COUNTER else 2_000
        lines = count * LINES[kind]
        ours = _bytes(lambda kind=kind, lines=lines: _ours(kind, lines))  # type: ignore[misc]
        theirs = _bytes(lambda kind=kind, lines=lines: _theirs(kind, lines))  # type: ignore[misc]
        say(f"  {told:<46} {ours / count:>7.0f} {theirs / count:>8.0f}   1/{theirs / ours:.1f}")


def _bytes(make: Callable[[], CollectorRegistry]) -> int:
    gc.collect()
    tracemalloc.start()
    registry = make()
    Exposition(registry).everything()
    gc.collect()
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return size


def scrapes() -> None:
    """Print how long a scrape takes and how long it keeps a loop from its work."""
    say("a scrape: milliseconds, and the longest wait of an event loop meanwhile")
    say(
        f"  {'lines':<20} {'ours':>8} {'OpenMetrics':>12} {'theirs':>8} {'':<26}"
        "  wait: ours  other thread  theirs    no scrape"
    )
    for kind, goal in ((Kind.COUNTER, 40), (Kind.GAUGE, 40), (Kind.HISTOGRAM, 30)):
        for lines in SIZES:
            _one_scrape(kind, lines, pair(kind, lines), goal)
    for lines in SIZES:
        _one_scrape("a bot's mix", lines, bots(lines), 40)


SIZES = (500, 2_000, 10_000, 100_000)


def _one_scrape(told_of: str, lines: int, both: Pair, goal: float) -> None:
    exposition = Exposition(both.ours)
    exposition.everything()
    exposition.everything(OPENMETRICS)
    rounds = ROUNDS if lines <= 10_000 else 5
    text = beside(exposition.everything, lambda: generate_latest(both.theirs), rounds)
    openmetrics = statistics.median(
        seconds(lambda: exposition.everything(OPENMETRICS)) for _ in range(rounds)
    )
    told = verdict(text.ratio, goal) if lines == 10_000 else f"1/{text.ratio:<6.1f}"
    stalls = [asyncio.run(_stall(way, rounds=5)) for way in _ways(both, exposition)]
    within = "met" if stalls[0] <= 0.005 else "MISSED"
    limit = f"goal 5 ms {within}" if lines == 100_000 else ""
    say(
        f"  {lines:>7} {told_of:<12} {text.ours * 1e3:>8.2f} {openmetrics * 1e3:>12.2f} "
        f"{text.theirs * 1e3:>8.1f} {told:<26}"
        + "".join(f"  {stall * 1e3:>8.1f} ms" for stall in stalls)
        + f"  {limit}"
    )


OPENMETRICS = "application/openmetrics-text; version=1.0.0"
Scrape = Callable[[], "asyncio.Future[object] | asyncio.Task[object]"]


def _ways(both: Pair, exposition: Exposition) -> list[Scrape]:
    """Return scrapes: in slices in this loop, in another thread's loop, theirs inline; and none.

    Without any scrape the loop waits for what else the machine does: that much is noise.
    """

    def sliced() -> asyncio.Task[object]:
        return asyncio.get_running_loop().create_task(exposition.sliced(View.EVERYTHING))

    def in_thread() -> asyncio.Future[object]:
        # As the agent does it: a loop of its own in a thread of its own.
        loop, done = asyncio.get_running_loop(), asyncio.get_running_loop().create_future()

        def run() -> None:
            body = asyncio.run(exposition.sliced(View.EVERYTHING))
            loop.call_soon_threadsafe(done.set_result, body)

        threading.Thread(target=run).start()
        return done

    async def inline() -> object:
        return generate_latest(both.theirs)

    def theirs() -> asyncio.Task[object]:
        return asyncio.get_running_loop().create_task(inline())

    def idle() -> asyncio.Task[object]:
        return asyncio.get_running_loop().create_task(asyncio.sleep(0.1))

    return [sliced, in_thread, theirs, idle]


async def _stall(scrape: Scrape, *, rounds: int) -> float:
    """Return the median over some scrapes of the longest time that the loop kept a beat waiting."""
    longest = []
    for _ in range(rounds):
        gc.collect()
        worst = 0.0
        done = scrape()
        while not done.done():
            began = time.perf_counter()
            await asyncio.sleep(BEAT_SECONDS)
            worst = max(worst, time.perf_counter() - began - BEAT_SECONDS)
        longest.append(worst)
    return statistics.median(longest)


# Storms


def storms() -> None:
    """Print how many of ten million events were lost, and that a lossy recorder is found."""
    say(f"storms: events lost of {STORM:,} (goal 0), and of {LOSSY_STORM:,} by planted recorders")
    failed = False
    for kind, storm in KINDS.items():
        began = time.perf_counter()
        lost = storm(Storm(), STORM)
        took = time.perf_counter() - began
        careless = storm(Storm(LossyCounter()), LOSSY_STORM)
        waiting = storm(Storm(WaitingCounter()), LOSSY_STORM // 10)
        told = "met" if lost == 0 else "MISSED"
        found = "found" if waiting else "NOT FOUND"
        say(f"  {kind:<12} {lost} lost in {took:.0f} s: {told}; planted: {careless} by one")
        say(f"  {'':<12} that calls in between, {waiting} by one that waits in between: {found}")
        failed = failed or lost > 0 or waiting == 0
    if failed:
        sys.exit("events were lost, or a recorder that loses them was not found")


PARTS: dict[str, Callable[[], None]] = {
    "recording": recording,
    "memory": memory,
    "scrapes": scrapes,
    "storm": storms,
}


def main() -> None:
    """Run the parts that are named, or all."""
    for part in sys.argv[1:] or PARTS:
        PARTS[part]()


if __name__ == "__main__":
    main()
