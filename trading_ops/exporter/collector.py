"""Runs one source again and again and remembers what it said: its figures and how it fares."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Protocol

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from trading_ops import clock, logs
from trading_ops.exporter.families import family

_log = logs.get(__name__)


class Source(Protocol):
    """Something to read figures from."""

    @property
    def name(self) -> str:
        """The value of the label `collector`."""
        ...

    @property
    def interval_seconds(self) -> float:
        """From the start of one reading to the start of the next."""
        ...

    @property
    def timeout_seconds(self) -> float:
        """After this long a reading counts as failed."""
        ...

    async def read(self) -> None:
        """Read anew; raises when it could not."""
        ...

    def families(self, *, fresh: bool) -> Iterable[Metric]:
        """Return the figures as last read; `fresh` is whether the last reading succeeded."""
        ...


class Watched:
    """One source with its own task, timeout and counters."""

    def __init__(self, source: Source) -> None:
        """Take the source; nothing is read yet."""
        self.source = source
        self.up = False
        self.last_success = 0.0
        self.failures = 0
        self.looked = asyncio.Event()
        """Set when the first reading has ended, well or not."""

    async def run(self) -> None:
        """Read at the source's interval until cancelled; no failure of the source ends this."""
        while True:
            began = clock.monotonic()
            await self.once()
            spent = clock.monotonic() - began
            await asyncio.sleep(max(0.0, self.source.interval_seconds - spent))

    async def once(self) -> None:
        """Read once and keep the score."""
        try:
            async with asyncio.timeout(self.source.timeout_seconds):
                await self.source.read()
        except Exception as error:  # noqa: BLE001 - whatever it was, the others go on
            if self.up or not self.failures:
                reason = str(error) or type(error).__name__
                _log.warning("collector_failed", collector=self.source.name, reason=reason)
            self.up = False
            self.failures += 1
        else:
            if not self.up:
                _log.info("collector_succeeded", collector=self.source.name)
            self.up = True
            self.last_success = clock.timestamp()
        finally:
            self.looked.set()

    def figures(self) -> Sequence[Metric]:
        """Return the source's figures; none when it fails at that, which counts as well."""
        try:
            return list(self.source.families(fresh=self.up))
        except Exception as error:  # noqa: BLE001 - a scrape has the others' figures too
            self.failures += 1
            _log.warning("collector_not_told", collector=self.source.name, reason=str(error))
            return ()


class Board(Collector):
    """What a scrape sees of all sources: memory only, so it never waits for one of them."""

    def __init__(self, watched: Sequence[Watched]) -> None:
        """Take the sources."""
        self._watched = watched

    def collect(self) -> Iterable[Metric]:
        """Yield each family once, with the figures of all sources that have it."""
        merged: dict[str, Metric] = {}
        for one in self._watched:
            for found in one.figures():
                if found.name in merged:
                    merged[found.name].samples.extend(found.samples)
                else:
                    merged[found.name] = found
        yield from merged.values()
        yield from self._scores()

    def _scores(self) -> Iterable[Metric]:
        prefix = "trading_exporter_collector"
        named = {one: (one.source.name,) for one in self._watched}
        yield family(f"{prefix}_up", {name: float(one.up) for one, name in named.items()})
        yield family(
            f"{prefix}_last_success_timestamp_seconds",
            {name: one.last_success for one, name in named.items()},
        )
        yield family(
            f"{prefix}_failures_total", {name: one.failures for one, name in named.items()}
        )
