"""The host's memory, disks and processors."""

import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

import psutil
from prometheus_client.metrics_core import Metric

from trading_ops.exporter.families import family
from trading_ops.exporter.thread import OneAtATime


class Host:
    """Reads the host through psutil, in a thread: a dead network disk can hang a reading."""

    name = "host"
    interval_seconds = 5.0
    timeout_seconds = 3.0

    def __init__(
        self,
        paths: Sequence[Path],
        look: Callable[[Sequence[Path]], tuple[Metric, ...]] | None = None,
    ) -> None:
        """Take the folders whose file systems are watched, and how to look at all of it."""
        self._look = partial(look or _read, paths)
        self._families: tuple[Metric, ...] = ()
        self._thread = OneAtATime[tuple[Metric, ...]](self.name)

    async def read(self) -> None:
        """Read everything anew.

        Raises:
            TradingOpsError: an earlier reading still hangs; there is never more than one thread.
        """
        self._families = await self._thread.do(self._look)

    def families(self, *, fresh: bool) -> Iterable[Metric]:
        """Return the last figures; none when they could not be read, since old ones mislead."""
        return self._families if fresh else ()


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
