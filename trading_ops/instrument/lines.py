"""Lines of the exposition formats, for each kind of metric.

Everything except the number is stored once, in two parts: one shared by the children of a family,
one by the lines of a child. A line therefore costs three pointers and no text of its own.
"""

from collections.abc import Iterable, Sequence
from itertools import accumulate
from operator import attrgetter
from typing import Protocol, TypeVar, cast

from prometheus_client.utils import floatToGoString

from trading_ops.instrument.children import Counter, Exemplar, Gauge, Histogram
from trading_ops.instrument.labels import clean
from trading_ops.instrument.metric import Metric
from trading_ops.instrument.numbers import text_of

EXEMPLAR_LIMIT = 128
"""Maximum characters of names and values together, from the OpenMetrics specification."""

Halves = tuple[bytes, bytes]
"""A line up to its number, split so that most of it is shared. It starts with a line break."""

Child_contra = TypeVar("Child_contra", contravariant=True)
_value = attrgetter("value")
_exemplar = attrgetter("exemplar")
_sum = attrgetter("sum")


class Shape(Protocol[Child_contra]):
    """Renders one kind of metric."""

    lines_each: int
    """Number of lines of one child."""

    def lines(self, values: Sequence[str]) -> Iterable[Halves]:
        """Return the lines of a child with these label values."""
        ...

    def state(self, children: Sequence[Child_contra], *, exemplars: bool) -> list[object]:
        """Return objects; when anything has changed, at least one is a different object."""
        ...

    def numbers(self, children: Sequence[Child_contra], state: list[object]) -> list[object]:
        """Return the numbers of all lines for this state of the children."""
        ...

    def exemplars(self, children: Sequence[Child_contra], state: list[object]) -> list[bytes]:
        """Return the suffix of each line for this state of the children."""
        ...


class Single:
    """A counter or a gauge: one line."""

    lines_each = 1

    def __init__(self, metric: Metric) -> None:
        self._metric = metric
        self._head = _head(metric.name, metric.labels)

    def lines(self, values: Sequence[str]) -> Iterable[Halves]:
        """Return the line."""
        yield self._head, _tail(_written(self._metric.labels, values))

    def state(self, children: Sequence[Counter | Gauge], *, exemplars: bool) -> list[object]:
        """Return the values, followed by the last exemplars if requested."""
        values = list(map(_value, children))
        if exemplars:
            values += map(_exemplar, children)
        return values

    def numbers(self, children: Sequence[Counter | Gauge], state: list[object]) -> list[object]:
        """Return the values."""
        return state[: len(children)]

    def exemplars(self, children: Sequence[Counter | Gauge], state: list[object]) -> list[bytes]:
        """Return the last exemplar of each counter."""
        found = cast(list[Exemplar | None], state[len(children) :])
        return [exemplar_text(self._metric.exemplar, exemplar) for exemplar in found]


class Buckets:
    """A histogram: a line for each bucket, the count and the sum."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric
        self._bounds = [f'le="{bound}"' for bound in map(floatToGoString, metric.buckets)]
        self._bounds.append('le="+Inf"')
        # With negative observations the sum could decrease, which a counter must not: it is
        # omitted.
        self._has_sum = metric.buckets[0] >= 0
        self.lines_each = len(self._bounds) + 1 + self._has_sum
        self._name = f"\n{metric.name}_bucket{{".encode()
        self._heads = [self._name + bound.encode() for bound in self._bounds]
        self._tails = [_tail([bound]) for bound in self._bounds]
        self._others = [_head(f"{metric.name}_count", metric.labels)]
        if self._has_sum:
            self._others.append(_head(f"{metric.name}_sum", metric.labels))

    def lines(self, values: Sequence[str]) -> Iterable[Halves]:
        """Return the lines with sorted labels, `le` among them."""
        written = _written(self._metric.labels, values)
        before = [label for label in written if label < "le"]
        after = written[len(before) :]
        yield from self._of_buckets(before, after)
        tail = _tail(written)
        for head in self._others:
            yield head, tail

    def _of_buckets(self, before: Sequence[str], after: Sequence[str]) -> Iterable[Halves]:
        head = self._name + "".join(f"{label}," for label in before).encode()
        if not after:
            return [(head, tail) for tail in self._tails]
        tail = b"," + _tail(after)
        if not before:
            return [(shared, tail) for shared in self._heads]
        return [(head + bound.encode(), tail) for bound in self._bounds]

    def state(self, children: Sequence[Histogram], *, exemplars: bool) -> list[object]:  # noqa: ARG002
        """Return the sums: each observation replaces the sum object, as its last step."""
        return list(map(_sum, children))

    def numbers(self, children: Sequence[Histogram], state: list[object]) -> list[object]:
        """Return cumulative counts, count and sum of each child.

        The sum is read before the counts: a concurrent observation may be in the buckets only, or
        in the next scrape, but never in the sum alone.
        """
        numbers: list[object] = []
        for child, total in zip(children, state, strict=True):
            numbers += accumulate(child.counts)
            numbers.append(numbers[-1])
            if self._has_sum:
                numbers.append(total)
        return numbers

    def exemplars(self, children: Sequence[Histogram], state: list[object]) -> list[bytes]:  # noqa: ARG002
        """Return the exemplars of the buckets; count and sum have none."""
        none = [None] * len(self._bounds)
        rest = [b""] * (self.lines_each - len(self._bounds))
        label = self._metric.exemplar
        suffixes: list[bytes] = []
        for child in children:
            suffixes += [exemplar_text(label, exemplar) for exemplar in child.exemplars or none]
            suffixes += rest
        return suffixes


def _written(names: Sequence[str], values: Sequence[str]) -> list[str]:
    """Return the labels in exposition format, sorted by name."""
    pairs = sorted(zip(names, values, strict=True))
    return [f'{name}="{escape(value)}"' for name, value in pairs]


def _head(name: str, labels: Sequence[str]) -> bytes:
    return f"\n{name}{{".encode() if labels else f"\n{name}".encode()


def _tail(labels: Sequence[str]) -> bytes:
    return f"{','.join(labels)}}} ".encode() if labels else b" "


def escape(value: str) -> str:
    """Return a label value, escaped for both formats."""
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def exemplar_text(label: str, exemplar: Exemplar | None) -> bytes:
    """Return the exemplar as text; empty if there is none or if it is too long."""
    if exemplar is None:
        return b""
    identity, value, at = exemplar
    identity = clean(identity)
    if len(label) + len(identity) > EXEMPLAR_LIMIT:
        return b""
    return f' # {{{label}="{escape(identity)}"}} {text_of(value)} {at}'.encode()
