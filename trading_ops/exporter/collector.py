"""Runs one source periodically and keeps its last metrics and its state."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Protocol

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from trading_ops import clock, logs
from trading_ops.instrument.families import family

_log = logs.get(__name__)


LARGEST_SERIES = 2_000
"""Maximum series of one collector; further ones are dropped and counted."""

LARGEST_FAMILIES = 200
LONGEST_LABEL = 512
LONGEST_REASON = 300
LOG_AGAIN_SECONDS = 60.0


class Source(Protocol):
    """A source of metrics."""

    @property
    def name(self) -> str:
        """Return the value of the label `collector`."""
        ...

    @property
    def interval_seconds(self) -> float:
        """Return the time between the starts of two readings."""
        ...

    @property
    def timeout_seconds(self) -> float:
        """Return the timeout of a reading."""
        ...

    async def read(self) -> None:
        """Read the source; raises if that fails."""
        ...

    def families(self, *, fresh: bool) -> Iterable[Metric]:
        """Return the metrics of the last reading; `fresh`: whether the last reading succeeded."""
        ...


class PolledSource:
    """Polls one source in its own task, with its own timeout and counters."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.up = False
        self.last_success = 0.0
        self.failures = 0
        self.duration = 0.0
        """Duration of the last reading in seconds, up to its end, failure or timeout."""

        self.problem = ""
        """Error of the last reading; empty if it succeeded."""

        self.left_out = 0
        """Series of the last result that were dropped: too many, or invalid."""

        self._unlogged = False
        self._logged, self._logged_at = "", 0.0
        self.read_once = asyncio.Event()
        """Set once the first reading has ended, successfully or not."""

    async def run(self) -> None:
        """Read at the source's interval until cancelled; no failure of the source ends this."""
        while True:
            await self.once()
            await asyncio.sleep(max(0.0, self.source.interval_seconds - self.duration))

    async def once(self) -> None:
        """Read once and record the result."""
        began = clock.monotonic()
        try:
            async with asyncio.timeout(self.source.timeout_seconds):
                await self.source.read()
        except Exception as error:  # noqa: BLE001 - the other collectors must continue
            self.problem = _reason(error, self.source.timeout_seconds)
            if self.up or not self.failures or self._should_log(began):
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
            self.read_once.set()

    def _should_log(self, now: float) -> bool:
        """Return whether the error should be logged: it is new, or was last logged a minute ago."""
        return self.problem != self._logged and now - self._logged_at >= LOG_AGAIN_SECONDS

    def figures(self) -> Sequence[Metric]:
        """Return the source's metrics; if that fails, none, and the failure is counted."""
        try:
            logged = iter(self.source.families(fresh=self.up))
            found, self.left_out = bounded(list(islice(logged, LARGEST_FAMILIES)))
            self.left_out += (
                next(logged, None) is not None
            )  # a source may yield families without end
        except Exception as error:  # noqa: BLE001 - a scrape has the others' figures too
            self.failures += 1
            if not self._unlogged:  # scrapes may come every second
                reason = _reason(error, self.source.timeout_seconds)
                _log.warning("collector_metrics_failed", collector=self.source.name, reason=reason)
            self._unlogged = True
            return ()
        self._unlogged = False
        return found


def bounded(families: Sequence[Metric]) -> tuple[Sequence[Metric], int]:
    """Drop series that are too many or invalid, so that they cannot fail the scrape.

    Returns:
        The families with their remaining series, and the number of dropped series.
    """
    room, left_out = LARGEST_SERIES, 0
    copies = []
    for metric in families:
        kept = [sample for sample in islice(metric.samples, room) if _fits(sample)]
        left_out += len(metric.samples) - len(kept)
        room -= len(kept)
        # A copy: a source may return the same family again, and a scrape merges those of several.
        copy = Metric(metric.name, metric.documentation, metric.type, metric.unit)
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


class MergedCollector(Collector):
    """The prometheus_client collector of all sources; a scrape reads memory only."""

    def __init__(self, watched: Sequence[PolledSource]) -> None:
        self._watched = watched

    def collect(self) -> Iterable[Metric]:
        """Yield each family once, with the samples of all sources that have it."""
        merged: dict[str, Metric] = {}
        for collector in self._watched:
            for found in collector.figures():
                if found.name in merged:
                    merged[found.name].samples.extend(found.samples)
                else:
                    merged[found.name] = found
        yield from merged.values()
        yield from self._states()

    def _states(self) -> Iterable[Metric]:
        for name, score in _STATES.items():
            yield family(
                f"trading_exporter_collector_{name}",
                {(collector.source.name,): score(collector) for collector in self._watched},
            )


_STATES: Mapping[str, Callable[[PolledSource], float]] = {
    "up": lambda collector: float(collector.up),
    "last_success_timestamp_seconds": lambda collector: collector.last_success,
    "failures_total": lambda collector: collector.failures,
    "duration_seconds": lambda collector: collector.duration,
    "dropped_series": lambda collector: collector.left_out,
}
