"""Configured processes of this host."""

from collections.abc import Iterable, Sequence
from contextlib import suppress

import psutil
from prometheus_client.metrics_core import Metric

from trading_ops import clock
from trading_ops.exporter.config import ProcessEntry
from trading_ops.exporter.cpu_wait import CpuWait
from trading_ops.exporter.process_finder import Finder
from trading_ops.exporter.threaded_source import ThreadedSource
from trading_ops.instrument.families import family

UNIQUE_INTERVAL_SECONDS = 60.0
"""Reading the USS takes milliseconds, more for large processes."""

Figures = dict[str, dict[tuple[str, ...], float]]
"""Values by metric name without `trading_process_` and by label values."""


def processes_source(entries: Sequence[ProcessEntry]) -> ThreadedSource:
    """Return the collector `processes`. A missing process is down, which is not a failure."""
    subjects = [_Subject(entry) for entry in entries]

    def look() -> Iterable[Metric]:
        figures: Figures = {"up": {}}
        for subject in subjects:
            subject.look(figures)
        return [family(f"trading_process_{name}", values) for name, values in figures.items()]

    return ThreadedSource("processes", look, interval_seconds=5.0, timeout_seconds=4.0)


class _Subject:
    """One process across restarts."""

    def __init__(self, entry: ProcessEntry) -> None:
        self._label = (entry.name,)
        self._finder = Finder(entry)
        self._unique: float | None = None
        self._unique_due = 0.0
        self._unique_of: psutil.Process | None = None
        self._wait_of: psutil.Process | None = None

    def look(self, figures: Figures) -> None:
        """Add the readable values: other users' processes show fewer."""
        process = self._finder.find()
        with suppress(psutil.NoSuchProcess):
            if process is not None and process.status() != psutil.STATUS_ZOMBIE:
                found = self._read(process)
                found["up"] = 1.0
                for name, value in found.items():
                    figures.setdefault(name, {})[self._label] = value
                return
        figures["up"][self._label] = 0.0

    def _read(self, process: psutil.Process) -> dict[str, float]:
        with process.oneshot():
            times = process.cpu_times()
            found = {
                "cpu_seconds_total": times.user + times.system,
                "resident_bytes": float(process.memory_info().rss),
                "threads": float(process.num_threads()),
                "start_timestamp_seconds": process.create_time(),
            }
            with suppress(psutil.AccessDenied):
                found["open_files"] = float(process.num_fds())
        with suppress(psutil.AccessDenied, ValueError):
            limit = process.rlimit(psutil.RLIMIT_NOFILE)[0]
            if limit != psutil.RLIM_INFINITY:
                found["open_files_limit"] = float(limit)
        if process is not self._wait_of:
            self._wait, self._wait_of = CpuWait(process.pid), process
        if (waited := self._wait.read()) is not None:
            found["cpu_wait_seconds_total"] = waited
        self._read_unique(process)
        if self._unique is not None:
            found["unique_bytes"] = self._unique
        return found

    def _read_unique(self, process: psutil.Process) -> None:
        """Read the USS of the process when it is due."""
        if process is self._unique_of and clock.monotonic() < self._unique_due:
            return
        self._unique_of, self._unique_due = process, clock.monotonic() + UNIQUE_INTERVAL_SECONDS
        self._unique = None
        with suppress(psutil.AccessDenied):
            self._unique = float(process.memory_full_info().uss)
