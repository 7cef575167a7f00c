"""The response to a scrape: all metrics, the vital ones, or all but the vital ones.

Vital metrics are scraped and evaluated every second, the rest every 15 s; excluding the vital ones
from the slow scrape keeps each series at one interval.

Families of our own recorder are written directly, all others in the registry by prometheus_client.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from copy import copy
from enum import StrEnum
from typing import Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from trading_ops.instrument.catalogue import CATALOGUE
from trading_ops.instrument.family import LiveFamily
from trading_ops.instrument.negotiation import negotiated

VITAL_FAMILIES = frozenset(metric.family for metric in CATALOGUE if metric.vital)
VITAL_SAMPLES = frozenset(
    sample for metric in CATALOGUE if metric.vital for sample in metric.sample_names
)

WITH_CREATED = frozenset({"counter", "histogram", "summary"})

SLICE_SECONDS = 0.001
"""Maximum time that a scrape renders before it yields."""

PAUSE_SECONDS = 0.0002
"""Long enough for another thread to acquire the GIL; a plain yield is not."""

LARGE_BYTES = 1 << 20
"""Above this size, joining the parts takes milliseconds, and CPython releases the GIL for it."""

_END = b"# EOF\n"


class View(StrEnum):
    """Which metrics a scrape contains."""

    EVERYTHING = "everything"
    VITAL = "vital"
    WITHOUT_VITAL = "without_vital"


class Families(Protocol):
    """Anything that yields metric families."""

    def collect(self) -> Iterable[Family]:
        """Return the current families."""
        ...


class Without(Collector):
    """A view of a source that leaves some families out."""

    def __init__(self, source: Families, families: frozenset[str]) -> None:
        self._source = source
        self._families = families

    def collect(self) -> Iterator[Family]:
        """Yield the families that are not left out."""
        return (family for family in self._source.collect() if family.name not in self._families)


class Sorted(Collector):
    """A view of a source, sorted by name so that two scrapes can be compared."""

    def __init__(self, source: Families) -> None:
        self._source = source

    def collect(self) -> Iterator[Family]:
        """Yield the families in the order of their names."""
        return iter(sorted(self._source.collect(), key=lambda family: family.name))


class One(Collector):
    """A source of a single family, without prometheus_client's `_created` samples.

    They would add a series to each counter and histogram. prometheus_client's own switch is global:
    it would change the metrics of the program that imports us.
    """

    def __init__(self, family: Family) -> None:
        self._family = family

    def collect(self) -> Iterator[Family]:
        """Yield the family."""
        family = self._family
        if family.type in WITH_CREATED:
            created = f"{family.name}_created"
            family = copy(family)
            family.samples = [sample for sample in family.samples if sample.name != created]
        yield family


class Exposition:
    """Renders one registry in the format that the scraper requests."""

    def __init__(
        self, registry: CollectorRegistry, *, slice_seconds: float = SLICE_SECONDS
    ) -> None:
        """Set up the exposition; the registry is read at each call.

        Args:
            registry: the registry to render.
            slice_seconds: how long `sliced` renders before it yields.
        """
        self._registry = registry
        self._slice_seconds = slice_seconds

    def everything(self, accept: str = "") -> tuple[bytes, str]:
        """Return the body and the Content-Type for this Accept header, with all metrics."""
        return self._at_once(View.EVERYTHING, accept)

    def vital(self, accept: str = "") -> tuple[bytes, str]:
        """Return body and Content-Type with the vital metrics only.

        Only their own collectors run: a scrape a second does not read /proc.
        """
        return self._at_once(View.VITAL, accept)

    def without_vital(self, accept: str = "") -> tuple[bytes, str]:
        """Return body and Content-Type with all metrics except the vital ones."""
        return self._at_once(View.WITHOUT_VITAL, accept)

    async def sliced(self, view: View, accept: str = "") -> tuple[bytes, str]:
        """Return body and Content-Type, yielding to the loop and other threads in between.

        With a hundred thousand series, rendering takes tens of milliseconds; this blocks others for
        a few at most. The series of one scrape may then differ by some milliseconds in age.
        """
        parts, content_type = _written(self._source(view), accept)
        written = []
        began = time.perf_counter()
        for part in parts:
            written.append(part)
            if time.perf_counter() - began > self._slice_seconds:
                await asyncio.sleep(PAUSE_SECONDS)
                began = time.perf_counter()
        if sum(map(len, written)) > LARGE_BYTES:
            return await asyncio.to_thread(b"".join, written), content_type
        return b"".join(written), content_type

    def _at_once(self, view: View, accept: str) -> tuple[bytes, str]:
        parts, content_type = _written(self._source(view), accept)
        return b"".join(parts), content_type

    def _source(self, view: View) -> Collector:
        if view is View.EVERYTHING:
            return self._registry
        if view is View.VITAL:
            return Sorted(self._registry.restricted_registry(VITAL_SAMPLES))
        return Without(self._registry, VITAL_FAMILIES)


def _written(source: Collector, accept: str) -> tuple[Iterator[bytes], str]:
    """Return the parts of the body, each rendered when it is consumed, and the Content-Type."""
    encode, content_type = negotiated(accept)
    openmetrics = content_type.startswith("application/openmetrics-text")
    return _parts(source, encode, openmetrics=openmetrics), content_type


def _parts(
    source: Families, encode: Callable[[Collector], bytes], *, openmetrics: bool
) -> Iterator[bytes]:
    for family in source.collect():
        if isinstance(family, LiveFamily):
            yield from family.family.parts(openmetrics=openmetrics)
        else:
            yield encode(One(family)).removesuffix(_END)
    if openmetrics:
        yield _END
