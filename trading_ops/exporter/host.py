"""The host's memory, disks and processors."""

import asyncio
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import psutil
from prometheus_client.metrics_core import Metric

from trading_ops.exporter.families import family


class Host:
    """Reads the host through psutil, in a thread: a dead network disk can hang a reading."""

    name = "host"
    interval_seconds = 5.0
    timeout_seconds = 3.0

    def __init__(self, paths: Sequence[Path]) -> None:
        """Take the folders whose file systems are watched."""
        self._paths = paths
        self._families: tuple[Metric, ...] = ()

    async def read(self) -> None:
        """Read everything anew."""
        self._families = await asyncio.to_thread(_read, self._paths)

    def families(self, *, fresh: bool) -> Iterable[Metric]:
        """Return the last figures; none when they could not be read, since old ones mislead."""
        return [_copy(one) for one in self._families] if fresh else []


def _read(paths: Sequence[Path]) -> tuple[Metric, ...]:
    usage = {(str(path),): psutil.disk_usage(str(path)) for path in paths}
    return (
        family("trading_host_memory_available_bytes", {(): psutil.virtual_memory().available}),
        family("trading_host_disk_free_bytes", {path: use.free for path, use in usage.items()}),
        family("trading_host_disk_size_bytes", {path: use.total for path, use in usage.items()}),
        family(
            "trading_host_cpu_seconds_total",
            {(mode,): seconds for mode, seconds in psutil.cpu_times()._asdict().items()},
        ),
        family("trading_host_load1", {(): os.getloadavg()[0]}),
    )


def _copy(metric: Metric) -> Metric:
    """Return a family that the reader of a scrape may extend."""
    copied = Metric(metric.name, metric.documentation, metric.type, metric.unit)
    copied.samples = list(metric.samples)
    return copied
