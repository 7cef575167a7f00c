"""What counts: a counter, a gauge and a histogram of one label set, in plain Python.

No lock is taken, and still no count is lost between threads, on CPython with its GIL. This rests
on how CPython 3.11 to 3.13 hand over the GIL: only at the start of a function, at a jump backwards
and after a call; never between the load and the store of `x.value += n` or `counts[i] += 1`, as
long as `n` is an int or a float (an object whose `__add__` is written in Python would be called in
between). It is a property of the implementation, no promise of the language: `require_gil` refuses
to start where it does not hold, and the storm test shows that it does hold.

A reader in another thread may see a histogram whose sum lacks the observation that its buckets
already have; buckets and count always agree, for the count is their sum.
"""

import sys
import time
from bisect import bisect_left
from collections.abc import Sequence

Exemplar = tuple[str, float, float]
"""Identity (an order's or a trace's), value, and time in seconds since the epoch."""


def require_gil(*, enabled: bool | None = None) -> None:
    """Refuse an interpreter on which counts could be lost.

    Args:
        enabled: whether it has a GIL; by default it is asked.

    Raises:
        RuntimeError: it is free-threaded.
    """
    if enabled is None:
        enabled = getattr(sys, "_is_gil_enabled", lambda: True)()
    if not enabled:
        raise RuntimeError(
            "counts could be lost: this interpreter runs without the GIL. "
            "Fix: start it with PYTHON_GIL=1, or use the ordinary build of CPython"
        )


class Counter:
    """A number that only grows. Where nanoseconds count, `counter.value += 1` is as good."""

    __slots__ = ("exemplar", "value")

    def __init__(self) -> None:
        self.value: float = 0
        self.exemplar: Exemplar | None = None

    def inc(self, amount: float = 1) -> None:
        """Add an amount.

        Raises:
            ValueError: it is negative.
        """
        if amount < 0:
            raise ValueError("a counter never falls")
        self.value += amount

    def inc_for(self, identity: str) -> None:
        """Add one and remember for whom, as an exemplar."""
        self.value += 1
        self.exemplar = (identity, 1.0, time.time())


class Gauge:
    """A number that is as it is. `gauge.value = 1.5` is the fastest way to set it."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0

    def set(self, value: float) -> None:
        """Take this value."""
        self.value = value

    def inc(self, amount: float = 1) -> None:
        """Add an amount."""
        self.value += amount

    def dec(self, amount: float = 1) -> None:
        """Take an amount away."""
        self.value -= amount


class Histogram:
    """How many observations fell between which bounds, and their sum."""

    __slots__ = ("bounds", "counts", "exemplars", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        """Take the upper bounds, ascending, without infinity; the last count is for what is above.

        The sequence is kept, not copied: thousands of histograms share one.
        """
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum: float = 0.0
        self.exemplars: list[Exemplar | None] | None = None

    def observe(self, value: float) -> None:
        """Count a value.

        NaN is left out: no bucket is right for it, and the sum would be NaN for ever after.
        """
        if value != value:  # noqa: PLR0124 - true for NaN only, and a third of isnan()'s cost
            return
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def observe_for(self, value: float, identity: str) -> None:
        """Count a value and remember whose it was, as its bucket's exemplar."""
        if value != value:  # noqa: PLR0124 - as above
            return
        index = bisect_left(self.bounds, value)
        self.counts[index] += 1
        if self.exemplars is None:
            self.exemplars = [None] * len(self.counts)
        self.exemplars[index] = (identity, value, time.time())
        self.sum += value  # last: by it, a scrape sees that there is something new
