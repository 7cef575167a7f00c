"""The same series in our recorder and in prometheus_client's."""

import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import prometheus_client as peer
from prometheus_client import CollectorRegistry

from trading_ops.instrument import BotMetrics, Metric, MetricType, Owner, families
from trading_ops.instrument.children import Histogram
from trading_ops.instrument.family import Family, LiveFamily
from trading_ops.instrument.recorder import counters, gauges, histograms
from trading_ops.instrument.topics.market_data import TICK_BUCKETS

LABELS = ("strategy", "symbol")
NAMES = {
    MetricType.COUNTER: "things_total",
    MetricType.GAUGE: "level",
    MetricType.HISTOGRAM: "wait_seconds",
}
LINES = {MetricType.COUNTER: 1, MetricType.GAUGE: 1, MetricType.HISTOGRAM: len(TICK_BUCKETS) + 3}
LINES_A_SYMBOL = len(TICK_BUCKETS) + 3 + 4


@dataclass(frozen=True)
class Pair:
    """The same series in both."""

    ours: CollectorRegistry
    theirs: CollectorRegistry
    children: list[tuple[MetricType, Any, Any]] = field(default_factory=list)
    """Each child beside its peer."""

    dice: random.Random = field(default_factory=lambda: random.Random(1))

    def stir(self, share: float) -> None:
        """Record something new in such a share of the children, in both the same."""
        for kind, ours, theirs in self.children:
            if self.dice.random() >= share:
                continue
            value = self.dice.random()
            match kind:
                case MetricType.COUNTER:
                    ours.inc()
                    theirs.inc()
                case MetricType.GAUGE:
                    ours.set(value * 1e5)
                    theirs.set(value * 1e5)
                case MetricType.HISTOGRAM:
                    ours.observe(value * 0.1)
                    theirs.observe(value * 0.1)


def entry(kind: MetricType) -> Metric:
    """Return a metric of the bench's own."""
    return Metric(
        name=NAMES[kind],
        kind=kind,
        owner=Owner.BOT,
        labels=LABELS,
        help="A.",
        why="B.",
        buckets=TICK_BUCKETS if kind is MetricType.HISTOGRAM else (),
    )


def pair(kind: MetricType, lines: int) -> Pair:
    """Return registries with so many lines."""
    ours, theirs = our_family(kind, lines), their_family(kind, lines)
    both = Pair(CollectorRegistry(), CollectorRegistry())
    both.ours.register(ours)
    both.theirs.register(theirs)
    for values in names(kind, lines):
        both.children.append((kind, ours.labels(*values), theirs.labels(*values)))
    return both


def names(kind: MetricType, lines: int) -> Sequence[tuple[str, str]]:
    """Return the label values of so many lines."""
    count = max(1, lines // LINES[kind])
    return [(f"strategy-{number % 7}", f"S{number}/USD") for number in range(count)]


def our_family(kind: MetricType, lines: int) -> Family[Any]:
    """Return our family for so many lines, without children."""
    make: dict[MetricType, Callable[..., Family[Any]]] = {
        MetricType.COUNTER: counters,
        MetricType.GAUGE: gauges,
        MetricType.HISTOGRAM: histograms,
    }
    return make[kind](entry(kind), limit=lines)


def their_family(kind: MetricType, lines: int) -> Any:
    """Return prometheus_client's, without children."""
    metric = entry(kind)
    make: dict[MetricType, Callable[..., Any]] = {
        MetricType.COUNTER: peer.Counter,
        MetricType.GAUGE: peer.Gauge,
        MetricType.HISTOGRAM: partial(peer.Histogram, buckets=TICK_BUCKETS),
    }
    return make[kind](metric.name, metric.help, LABELS, registry=None)


def bots(lines: int) -> Pair:
    """Return what a bot with about so many lines exports: its real mix of metrics."""
    symbols = [f"S{number}/USD" for number in range(max(1, lines // LINES_A_SYMBOL))]
    metrics = BotMetrics(CollectorRegistry(), version="1", mode="paper", symbols=symbols)
    for number, symbol in enumerate(symbols):
        now = time.time()  # noqa: TID251 - what a bot would hand over
        for latency in (0.003, 0.02, 0.06):
            metrics.tick(symbol, at=now, latency_seconds=latency, price=number * 0.05)
        metrics.position(symbol, number * 0.001)
    both = Pair(metrics.registry, CollectorRegistry())
    for live in metrics.registry.collect():
        if isinstance(live, LiveFamily):
            _copy(live.family, both)
    return both


def _copy(family: Family[Any], both: Pair) -> None:
    """Have prometheus_client record what this family has."""
    metric = family.metric
    make: dict[MetricType, Callable[..., Any]] = {
        MetricType.COUNTER: families.counter,
        MetricType.GAUGE: families.gauge,
        MetricType.HISTOGRAM: families.histogram,
    }
    copied = make[metric.kind](metric.name, both.theirs)
    for values, ours in family.children():
        theirs = copied.labels(*values) if values else copied
        if isinstance(ours, Histogram):
            for bound, count in zip((*ours.bounds, math.inf), ours.counts, strict=True):
                for _ in range(count):
                    theirs.observe(bound)
        else:
            theirs.inc(ours.value)
        # Of a bot, what moves is its market data; the rest is nearly always as it was.
        if "symbol" in metric.labels:
            both.children.append((metric.kind, ours, theirs))
