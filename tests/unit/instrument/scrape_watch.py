"""Scrapes while others record, and says what was wrong with any of them."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle

from prometheus_client.metrics_core import Metric as Family
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from prometheus_client.samples import Sample

from trading_ops.instrument import Exposition, View

OPENMETRICS = "application/openmetrics-text;version=1.0.0"
EVERY_SECONDS = 0.01

Series = tuple[str, tuple[tuple[str, str], ...]]


class Watch:
    """Reads one exposition again and again, in both formats by turns."""

    def __init__(self, exposition: Exposition) -> None:
        self._exposition = exposition
        self.scrapes = 0
        self.faults: list[str] = []

    @contextmanager
    def from_a_thread(self) -> Iterator[None]:
        """Scrape at once, from a thread of its own, while the block runs."""
        done = threading.Event()

        def scrape() -> None:
            before: dict[Series, float] = {}
            for accept in cycle(("", OPENMETRICS)):
                before = self._seen(self._exposition.everything(accept)[0], accept, before)
                if done.wait(EVERY_SECONDS):
                    return

        thread = threading.Thread(target=scrape)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    async def from_the_loop(self) -> None:
        """Scrape in slices, until cancelled."""
        before: dict[Series, float] = {}
        for accept in cycle(("", OPENMETRICS)):
            body, _ = await self._exposition.sliced(View.EVERYTHING, accept)
            before = self._seen(body, accept, before)
            await asyncio.sleep(EVERY_SECONDS)

    def _seen(self, body: bytes, accept: str, before: dict[Series, float]) -> dict[Series, float]:
        """Look at one scrape beside the one before; return what only grows in it."""
        try:
            found = families(body, accept)
        except ValueError as error:
            self.faults.append(f"not to be parsed: {error}")
            return before
        grows = growing(found)
        self.faults += [
            f"{series} fell" for series, value in before.items() if grows[series] < value
        ]
        for family in found:
            if family.type == "histogram":
                self.faults += histogram_faults(family)
        self.scrapes += 1
        return grows


def families(body: bytes, accept: str) -> list[Family]:
    """Return what prometheus_client's parser finds.

    Raises:
        ValueError: it finds something wrong.
    """
    parse = parse_openmetrics if accept else parse_text
    return list(parse(body.decode()))


def growing(found: list[Family]) -> dict[Series, float]:
    """Return all series that may never fall."""
    return {
        series(sample): sample.value
        for family in found
        if family.type in ("counter", "histogram")
        for sample in family.samples
    }


def series(sample: Sample) -> Series:
    """Return what tells a series from all others."""
    return sample.name, tuple(sorted(sample.labels.items()))


def histogram_faults(family: Family) -> list[str]:
    """Return what no scrape of a histogram may show: buckets that fall, a count beside them."""
    highest: dict[Series, float] = {}
    faults = []
    for sample in family.samples:
        labels = {name: value for name, value in sample.labels.items() if name != "le"}
        of = (family.name, tuple(sorted(labels.items())))
        if sample.name.endswith("_bucket"):
            if sample.value < highest.get(of, 0.0):
                faults.append(f"{sample} is below the bucket before it")
            highest[of] = sample.value
        if sample.name.endswith("_count") and sample.value != highest[of]:
            faults.append(f"{sample} is not the last bucket, {highest[of]}")
    return faults
