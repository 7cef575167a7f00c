"""Runs one source periodically and keeps its last metrics and its state."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Protocol

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from trading_ops import clock, logs
from trading_ops.exporter.families import family

_log = logs.get(__name__)


LARGEST_SERIES = 2_000
"""Of one collector; what it has beyond that is left out and counted."""

LARGEST_FAMILIES = 200
LONGEST_LABEL = 512
LONGEST_REASON = 300
LOG_AGAIN_SECONDS = 60.0


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
        """Read again; raises if that fails."""
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
        self.duration = 0.0
        """Seconds that the last reading took, up to its failure or timeout."""

        self.problem = ""
        """What was wrong with the last reading; empty when nothing was."""

        self.left_out = 0
        """Series of the last result that were dropped: too many, or invalid."""

        self._untold = False
        self._logged, self._logged_at = "", 0.0
        self.looked = asyncio.Event()
        """Set when the first reading has ended, well or not."""

    async def run(self) -> None:
        """Read at the source's interval until cancelled; no failure of the source ends this."""
        while True:
            await self.once()
            await asyncio.sleep(max(0.0, self.source.interval_seconds - self.duration))

    async def once(self) -> None:
        """Read once and keep the score."""
        began = clock.monotonic()
        try:
            async with asyncio.timeout(self.source.timeout_seconds):
                await self.source.read()
        except Exception as error:  # noqa: BLE001 - the other collectors must continue
            self.problem = _reason(error, self.source.timeout_seconds)
            if self.up or not self.failures or self._is_news(began):
                self._logged, self._logged_at = self.problem, began
                _log.warning("collector_failed", collector=self.source.name, reason=self.problem)
            self.up = False
            self.failures += 1
        else:
            if not self.up:
                _log.info("collector_succeeded", collector=self.source.name)
            self.up, self.problem = True, ""
            self.last_success = clock.timestamp()
        finally:
            self.duration = clock.monotonic() - began
            self.looked.set()

    def _is_news(self, now: float) -> bool:
        """Whether it fails for another reason than the one in the log, which is a minute old."""
        return self.problem != self._logged and now - self._logged_at >= LOG_AGAIN_SECONDS

    def figures(self) -> Sequence[Metric]:
        """Return the source's figures; none when it fails at that, which counts as well."""
        try:
            told = iter(self.source.families(fresh=self.up))
            found, self.left_out = bounded(list(islice(told, LARGEST_FAMILIES)))
            self.left_out += next(told, None) is not None  # there may be no end to them
        except Exception as error:  # noqa: BLE001 - a scrape has the others' figures too
            self.failures += 1
            if not self._untold:  # a scrape may come every second
                reason = _reason(error, self.source.timeout_seconds)
                _log.warning("collector_not_told", collector=self.source.name, reason=reason)
            self._untold = True
            return ()
        self._untold = False
        return found


def bounded(families: Sequence[Metric]) -> tuple[Sequence[Metric], int]:
    """Drop series that are too many or invalid, so that they cannot fail the scrape.

    Returns:
        The families with their remaining series, and the number of dropped series.
    """
    room, left_out = LARGEST_SERIES, 0
    copies = []
    for one in families:
        kept = [sample for sample in islice(one.samples, room) if _fits(sample)]
        left_out += len(one.samples) - len(kept)
        room -= len(kept)
        # A copy: a source may return the same family again, and a scrape merges those of several.
        copy = Metric(one.name, one.documentation, one.type, one.unit)
        copy.samples = kept
        copies.append(copy)
    return copies, left_out


def _fits(sample: Sample) -> bool:
    value: object = sample.value
    return isinstance(value, int | float) and all(map(_is_text, sample.labels.values()))


def _is_text(value: object) -> bool:
    if not isinstance(value, str) or len(value) > LONGEST_LABEL:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:  # a lone surrogate, as in a file name that is not UTF-8
        return False
    return True


def _reason(error: Exception, timeout_seconds: float) -> str:
    if isinstance(error, TimeoutError) and not str(error):
        return f"not done within {timeout_seconds:g} s"
    return (str(error) or type(error).__name__)[:LONGEST_REASON]


class Board(Collector):
    """What a scrape sees of all sources: memory only, so it never waits for one of them."""

    def __init__(self, watched: Sequence[Watched]) -> None:
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
        for name, score in _SCORES.items():
            yield family(
                f"trading_exporter_collector_{name}",
                {(one.source.name,): score(one) for one in self._watched},
            )


_SCORES: Mapping[str, Callable[[Watched], float]] = {
    "up": lambda one: float(one.up),
    "last_success_timestamp_seconds": lambda one: one.last_success,
    "failures_total": lambda one: one.failures,
    "duration_seconds": lambda one: one.duration,
    "dropped_series": lambda one: one.left_out,
}
