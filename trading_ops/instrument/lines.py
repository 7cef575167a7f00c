"""Lines of the exposition formats, written directly from the children.

The text around the numbers never changes, so it is built once: a block of children is one template,
filled with one `%`. Blocks are small, so that whoever writes many can pause in between.
"""

from collections.abc import Sequence
from itertools import accumulate, chain
from operator import attrgetter
from typing import Generic, Protocol, TypeVar

from prometheus_client.utils import floatToGoString

from trading_ops.instrument.children import Counter, Exemplar, Gauge, Histogram
from trading_ops.instrument.labels import clean
from trading_ops.instrument.metric import Metric
from trading_ops.instrument.numbers import printable, text_of

EXEMPLAR_LIMIT = 128
"""Characters of names and values together, by the OpenMetrics specification."""

LabelSet = tuple[tuple[str, str], ...]
Child = TypeVar("Child")
Child_contra = TypeVar("Child_contra", contravariant=True)
_value = attrgetter("value")
_sum = attrgetter("sum")


class Shape(Protocol[Child_contra]):
    """How one kind of metric is written."""

    lines_each: int
    """Lines of one child."""

    def template(self, labels: LabelSet, *, exemplars: bool) -> str:
        """Return the lines of a child, with `%s` for each number, and for each exemplar."""
        ...

    def numbers(self, children: Sequence[Child_contra], *, exemplars: bool) -> Sequence[object]:
        """Return what the children's templates are to be filled with."""
        ...


class Single:
    """A counter or a gauge: one line."""

    lines_each = 1

    def __init__(self, metric: Metric) -> None:
        """Take what it is called."""
        self._metric = metric

    def template(self, labels: LabelSet, *, exemplars: bool) -> str:
        """Return the line."""
        return line(self._metric.name, labels, "%s%s" if exemplars else "%s")

    def numbers(self, children: Sequence[Counter | Gauge], *, exemplars: bool) -> Sequence[object]:
        """Return the values, each followed by its exemplar where those are wanted."""
        values = printable(list(map(_value, children)))
        if not exemplars:
            return values
        told = (self._exemplar(child) for child in children)
        return list(chain.from_iterable(zip(values, told, strict=True)))

    def _exemplar(self, child: Counter | Gauge) -> str:
        return exemplar_text(self._metric.exemplar, getattr(child, "exemplar", None))


class Buckets:
    """A histogram: a line for each bucket, the count and the sum."""

    def __init__(self, metric: Metric) -> None:
        """Take what it is called, and its bounds."""
        self._metric = metric
        self._bounds = [*map(floatToGoString, metric.buckets), "+Inf"]
        # With negative observations the sum may fall, which no counter may: it is left out.
        self._has_sum = metric.buckets[0] >= 0
        self.lines_each = len(self._bounds) + 1 + self._has_sum

    def template(self, labels: LabelSet, *, exemplars: bool) -> str:
        """Return the lines."""
        name = self._metric.name
        number = "%s%s" if exemplars else "%d"
        written = [
            line(f"{name}_bucket", (*labels, ("le", bound)), number) for bound in self._bounds
        ]
        written.append(line(f"{name}_count", labels, "%d"))
        if self._has_sum:
            written.append(line(f"{name}_sum", labels, "%s"))
        return "".join(written)

    def numbers(self, children: Sequence[Histogram], *, exemplars: bool) -> Sequence[object]:
        """Return cumulated counts, each followed by its exemplar where wanted; count; sum."""
        # The sums first: what is observed from now on by other threads is in the buckets already
        # or comes with the next scrape, but is never in the sum alone.
        sums = printable(list(map(_sum, children)))
        numbers: list[object] = []
        for child, total in zip(children, sums, strict=True):
            cumulated = list(accumulate(child.counts))
            if exemplars:
                numbers += chain.from_iterable(zip(cumulated, self._exemplars(child), strict=True))
            else:
                numbers += cumulated
            numbers.append(cumulated[-1])
            if self._has_sum:
                numbers.append(total)
        return numbers

    def _exemplars(self, child: Histogram) -> list[str]:
        found = child.exemplars or [None] * len(self._bounds)
        return [exemplar_text(self._metric.exemplar, one) for one in found]


class Block(Generic[Child]):
    """Some children of one family, and the template of their lines.

    One thread at a time may add; any may write meanwhile, and then sees those added before.
    """

    __slots__ = ("_children", "_made", "_names", "_shape", "_values")

    def __init__(self, names: tuple[str, ...], shape: Shape[Child]) -> None:
        """Begin empty, with these label names."""
        self._names = names
        self._shape = shape
        self._values: list[tuple[str, ...]] = []
        self._children: list[Child] = []
        # By whether exemplars are wanted; template and children always fit each other.
        self._made: dict[bool, tuple[str, tuple[Child, ...]]] = {}

    def __len__(self) -> int:
        return len(self._children)

    def add(self, values: tuple[str, ...], child: Child) -> None:
        """Add a child with these label values."""
        self._values.append(values)
        self._children.append(child)

    def text(self, *, exemplars: bool) -> str:
        """Return the lines of all children as they are now."""
        made = self._made.get(exemplars)
        if made is None or len(made[1]) != len(self._children):
            made = self._made[exemplars] = self._make(exemplars=exemplars)
        template, children = made
        return template % tuple(self._shape.numbers(children, exemplars=exemplars))

    def _make(self, *, exemplars: bool) -> tuple[str, tuple[Child, ...]]:
        children = tuple(self._children)
        lines = [
            self._shape.template(tuple(zip(self._names, values, strict=True)), exemplars=exemplars)
            for values in self._values[: len(children)]
        ]
        return "".join(lines), children


def line(name: str, labels: LabelSet, number: str) -> str:
    """Return a line as a template: labels sorted by name, escaped, and `%` doubled."""
    if not labels:
        return f"{name} {number}\n"
    written = ",".join(f'{key}="{escape(value)}"' for key, value in sorted(labels))
    return f"{name}{{{written.replace('%', '%%')}}} {number}\n"


def escape(value: str) -> str:
    """Return a label value as both formats want it between quotes."""
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def exemplar_text(label: str, exemplar: Exemplar | None) -> str:
    """Return what follows the number; nothing if there is none, or if it is longer than allowed."""
    if exemplar is None:
        return ""
    identity, value, at = exemplar
    identity = clean(identity)
    if len(label) + len(identity) > EXEMPLAR_LIMIT:
        return ""
    return f' # {{{label}="{escape(identity)}"}} {text_of(value)} {at}'
