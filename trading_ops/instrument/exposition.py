"""The bytes that a scrape gets: everything, the vital few, or everything but those.

Vital metrics are scraped and evaluated every second, the rest every 15 s; excluding the vital ones
from the slow scrape keeps each series at one interval.
"""

from collections.abc import Iterable, Iterator
from typing import Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from trading_ops.instrument.catalogue import CATALOGUE

VITAL_FAMILIES = frozenset(metric.family for metric in CATALOGUE if metric.vital)
VITAL_SAMPLES = frozenset(
    sample for metric in CATALOGUE if metric.vital for sample in metric.sample_names
)


class Families(Protocol):
    """Anything that yields metric families."""

    def collect(self) -> Iterable[Family]:
        """Return the families as they are now."""
        ...


class Without(Collector):
    """A view of a source that leaves some families out."""

    def __init__(self, source: Families, families: frozenset[str]) -> None:
        """Take the source and the names to leave out, counters without their `_total`."""
        self._source = source
        self._families = families

    def collect(self) -> Iterator[Family]:
        """Yield the families that are not left out."""
        return (family for family in self._source.collect() if family.name not in self._families)


class Sorted(Collector):
    """A view of a source in the order of names, so that two scrapes can be compared."""

    def __init__(self, source: Families) -> None:
        """Take the source."""
        self._source = source

    def collect(self) -> Iterator[Family]:
        """Yield the families in the order of their names."""
        return iter(sorted(self._source.collect(), key=lambda family: family.name))


class Exposition:
    """Renders one registry in the format that the scraper asks for."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Take the registry; it is read anew at each call."""
        self._registry = registry

    def everything(self, accept: str = "") -> tuple[bytes, str]:
        """Return the body and the Content-Type for this Accept header, with all metrics."""
        return _render(self._registry, accept)

    def vital(self, accept: str = "") -> tuple[bytes, str]:
        """Return body and Content-Type with the vital metrics only.

        Only their own collectors run: a scrape a second does not read /proc.
        """
        return _render(Sorted(self._registry.restricted_registry(VITAL_SAMPLES)), accept)

    def without_vital(self, accept: str = "") -> tuple[bytes, str]:
        """Return body and Content-Type with everything but the vital metrics."""
        return _render(Without(self._registry, VITAL_FAMILIES), accept)


def _render(source: Collector, accept: str) -> tuple[bytes, str]:
    encode, content_type = choose_encoder(accept)
    return encode(source), content_type
