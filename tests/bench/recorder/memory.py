"""What a child costs to keep."""

import gc
import random
import tracemalloc
from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry

from tests.bench.recorder.registries import LINES, names, our_family, their_family
from tests.bench.say import say
from trading_ops.instrument import Exposition, MetricType


def memory() -> None:
    """Print what a child costs, all that a scrape leaves behind included."""
    say("memory: bytes a child with two labels (tracemalloc), ours, prometheus_client's")
    for kind, description in (
        (MetricType.COUNTER, "counter"),
        (MetricType.GAUGE, "gauge"),
        (MetricType.HISTOGRAM, "20-bucket histogram"),
    ):
        count = 2_000 if kind is MetricType.HISTOGRAM else 20_000
        theirs = _bytes(kind, count, their_family, scrapes=0)
        for scrapes, state in ((1, "busy"), (3, "quiet, its text kept")):
            ours = _bytes(kind, count, our_family, scrapes=scrapes)
            say(
                f"  {f'{description}, {state}':<46} {ours / count:>7.0f} {theirs / count:>8.0f}"
                f"   1/{theirs / ours:.1f}"
            )


def _bytes(
    kind: MetricType, count: int, make: Callable[[MetricType, int], Any], *, scrapes: int
) -> int:
    lines = count * LINES[kind]
    labels = names(kind, lines)
    gc.collect()
    tracemalloc.start()
    family, registry = make(kind, lines), CollectorRegistry()
    registry.register(family)
    for values in labels:
        _use(family.labels(*values), kind)
    exposition = Exposition(registry)
    for _ in range(scrapes):
        exposition.everything()
    gc.collect()
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return size


def _use(child: Any, kind: MetricType) -> None:
    match kind:
        case MetricType.COUNTER:
            child.inc(random.randrange(1000, 10**6))
        case MetricType.GAUGE:
            child.set(random.random())
        case MetricType.HISTOGRAM:
            for _ in range(10):
                child.observe(random.random() * 0.2)
