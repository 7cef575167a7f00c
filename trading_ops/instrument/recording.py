"""Shared code of the topics: recording times, and showing one of several states."""

import math

from trading_ops.instrument.children import Counter, Gauge, Histogram
from trading_ops.instrument.family import Family


def observe(histogram: Histogram, seconds: float, identity: str = "") -> None:
    """Observe a duration, a negative one as 0; an identity becomes the exemplar."""
    if seconds < 0.0:  # noqa: PLR1730 - max() takes longer than all the rest
        seconds = 0.0
    if identity:
        histogram.observe_for(seconds, identity)
    else:
        histogram.observe(seconds)


def only(family: Family[Gauge], value: str) -> None:
    """Set 1 for this value of the family's only label, and 0 for all others."""
    holds = family.labels(value)
    for _, gauge in family.children():
        gauge.value = 1 if gauge is holds else 0


def put(family: Family[Gauge], value: str, amount: float, refused: Family[Counter]) -> None:
    """Set an amount for this value of the family's only label.

    A value that is not finite is counted as refused and the last amount stays: NaN would disable
    every rule that reads it.
    """
    if math.isfinite(amount):
        family.labels(value).value = amount
    else:
        refused.labels(family.metric.name).inc()
