"""One metric with the children of all its label sets; prometheus_client sees it as a collector."""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import product
from typing import Generic, TypeVar

from prometheus_client.metrics_core import Metric as PeerMetric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from trading_ops.instrument.block import Block
from trading_ops.instrument.children import Counter, Gauge, Histogram
from trading_ops.instrument.labels import Bounds, clean
from trading_ops.instrument.lines import Shape
from trading_ops.instrument.metric import Metric
from trading_ops.instrument.samples import samples_of

LINES_A_BLOCK = 400
"""Rendering a block of this size takes a fraction of a millisecond."""

Child = TypeVar("Child", Counter, Gauge, Histogram)


class Family(Collector, Generic[Child]):
    """The children of one metric, by their label values.

    `labels()` may be called on each event, but keeping the child is faster. Children exist as long
    as the family.
    """

    def __init__(
        self,
        metric: Metric,
        new: Callable[[], Child],
        shape: Shape[Child],
        *,
        declared: Mapping[str, Iterable[str]] | None = None,
        limit: int = 0,
        at_once: bool = True,
        refused: Callable[[], None] = lambda: None,
    ) -> None:
        """Start with the declared label sets.

        Args:
            metric: its catalogue entry.
            new: creates a child.
            shape: renders its lines.
            declared: label values that are known in advance, by label name.
            limit: how many further values each label may have; beyond, they become `other`.
            at_once: create the children of all declared values now, so that they are exported as
                zero. False if zero would be wrong, for example for a balance that was not read yet.
            refused: called each time a value becomes `other`.
        """
        self.metric = metric
        self._new: Callable[[], Child] = new
        self._shape: Shape[Child] = shape
        self._bounds = Bounds(metric.labels, declared or {}, limit)
        self._refused = refused
        self._lock = threading.Lock()
        self._children: dict[tuple[str, ...], Child] = {}
        self._blocks: list[Block[Child]] = []
        # By whether the format is OpenMetrics.
        self._heads = (_head(metric, openmetrics=False), _head(metric, openmetrics=True))
        if at_once:
            for values in product(*self._bounds.declared()):
                self.labels(*values)

    def labels(self, *values: str) -> Child:
        """Return the child of these label values, in the order of the metric's labels.

        Raises:
            ValueError: the number of values is not the number of labels.
        """
        try:
            return self._children[values]
        except KeyError:
            return self._make(values)

    def has(self, *values: str) -> bool:
        """Return whether there is a child with exactly these label values."""
        return values in self._children

    def children(self) -> list[tuple[tuple[str, ...], Child]]:
        """Return all label values with their children, in order of creation."""
        with self._lock:
            return list(self._children.items())

    def _make(self, requested: tuple[str, ...]) -> Child:
        requested = tuple(map(clean, requested))
        with self._lock:
            values = self._bounds.within(requested)
            child = self._children.get(values)
            if child is None:
                child = self._children[values] = self._new()
                self._block().add(values, child)
        if values != requested:
            self._refused()
        return child

    def _block(self) -> Block[Child]:
        """Return the block that the next child goes to."""
        if not self._blocks or len(self._blocks[-1]) * self._shape.lines_each >= LINES_A_BLOCK:
            self._blocks.append(Block(self._shape))
        return self._blocks[-1]

    # For our own exposition

    def parts(self, *, openmetrics: bool) -> Iterator[bytes]:
        """Yield the family's lines in blocks of a few hundred; the first block has the header."""
        exemplars = openmetrics and self.metric.exemplar != ""
        head = self._heads[openmetrics]
        for block in tuple(self._blocks):
            yield head + block.text(exemplars=exemplars)
            head = b""
        if head:
            yield head

    # For prometheus_client

    def collect(self) -> Iterable[PeerMetric]:
        """Return the family for prometheus_client; its samples are read on access."""
        return (LiveFamily(self),)

    def describe(self) -> Iterable[PeerMetric]:
        """Yield the family without samples; the registry takes the names from it."""
        yield PeerMetric(self.metric.family, self.metric.help, self.metric.kind)

    def samples(self) -> list[Sample]:
        """Return all current samples."""
        return [
            sample
            for values, child in self.children()
            for sample in samples_of(self.metric, values, child)
        ]


def _head(metric: Metric, *, openmetrics: bool) -> bytes:
    help_text = metric.help.replace("\\", r"\\").replace("\n", r"\n")
    name = metric.name
    if openmetrics:
        help_text = help_text.replace('"', r"\"")
        name = metric.family
    return f"# HELP {name} {help_text}\n# TYPE {name} {metric.kind}\n".encode()


class LiveFamily(PeerMetric):
    """A family as prometheus_client's registry returns it to collectors.

    Our exposition uses `family` and never `samples`; other collectors use `samples`.
    """

    def __init__(self, family: "Family[Counter] | Family[Gauge] | Family[Histogram]") -> None:
        # Skips the parent's checks: the catalogue did them, and this runs at each scrape.
        self.family = family
        self.name = family.metric.family
        self.documentation = family.metric.help
        self.type = family.metric.kind.value
        self.unit = ""

    def __getattr__(self, name: str) -> list[Sample]:
        """Read the samples, once."""
        if name != "samples":
            raise AttributeError(name)
        self.samples = self.family.samples()
        return self.samples

    def _restricted_metric(self, names: set[str]) -> PeerMetric | None:
        """Return itself: a registry restricted to its names needs all of it."""
        if names.issuperset(self.family.metric.sample_names):
            return self
        return super()._restricted_metric(names)  # type: ignore[no-untyped-call, no-any-return]
