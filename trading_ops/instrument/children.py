"""Counter, gauge and histogram of one label set, in plain Python.

No lock is taken, and no count is lost between threads, on CPython with its GIL. CPython 3.11 to
3.13 switch threads only at the start of a function, at a backward jump and after a call; never
between the load and the store of `x.value += n` or `counts[i] += 1`, as long as `n` is an int or a
float (an `__add__` written in Python would be called in between). This is a property of the
implementation and not guaranteed by the language: `require_gil` refuses to start without a GIL, and
the storm test verifies the property.

A reader in another thread may see a histogram whose sum lacks the observation that its buckets
already include; buckets and count always agree, because the count is their sum.
"""

import sys
import time
from bisect import bisect_left
from collections.abc import Sequence

Exemplar = tuple[str, float, float]
"""ID of an order or a trace, value, and time in seconds since the epoch."""


def require_gil(*, enabled: bool | None = None) -> None:
    """Refuse an interpreter on which counts could be lost.

    Args:
        enabled: whether the interpreter has a GIL; by default it is detected.

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
    """A number that only grows. In a hot path, `counter.value += 1` is equivalent and faster."""

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
            raise ValueError("a counter cannot decrease")
        self.value += amount

    def inc_for(self, identity: str) -> None:
        """Add one, with this ID as the exemplar."""
        self.value += 1
        self.exemplar = (identity, 1.0, time.time())


class Gauge:
    """A number that can go up and down. `gauge.value = 1.5` is the fastest way to set it."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0

    def set(self, value: float) -> None:
        """Set the value."""
        self.value = value

    def inc(self, amount: float = 1) -> None:
        """Add an amount."""
        self.value += amount

    def dec(self, amount: float = 1) -> None:
        """Subtract an amount."""
        self.value -= amount


class Histogram:
    """Counts of observations by bucket, and their sum."""

    __slots__ = ("bounds", "counts", "exemplars", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        """Start with ascending upper bounds, without infinity; the last count is for values above.

        The sequence is kept, not copied: thousands of histograms share one.
        """
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum: float = 0.0
        self.exemplars: list[Exemplar | None] | None = None

    def observe(self, value: float) -> None:
        """Count a value.

        NaN is ignored: it fits no bucket, and the sum would stay NaN.
        """
        if value != value:  # noqa: PLR0124 - true for NaN only, and a third of isnan()'s cost
            return
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def observe_for(self, value: float, identity: str) -> None:
        """Count a value, with this ID as the exemplar of its bucket."""
        if value != value:  # noqa: PLR0124 - as above
            return
        index = bisect_left(self.bounds, value)
        self.counts[index] += 1
        if self.exemplars is None:
            self.exemplars = [None] * len(self.counts)
        self.exemplars[index] = (identity, value, time.time())
        self.sum += value  # last: a scrape detects the change by the sum
