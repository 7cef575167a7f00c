"""The host's memory, disks and processors."""

import asyncio
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import TypeVar

import psutil
from prometheus_client.metrics_core import Metric

from trading_ops.errors import TradingOpsError
from trading_ops.exporter.families import family

T = TypeVar("T")


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
        self._looking: Future[tuple[Metric, ...]] | None = None

    async def read(self) -> None:
        """Read everything anew.

        Raises:
            TradingOpsError: an earlier reading still hangs; there is never more than one thread.
        """
        if self._looking is not None and not self._looking.done():
            raise TradingOpsError("an earlier reading of the host has not ended")
        self._looking = in_thread(self._look)
        self._families = await asyncio.wrap_future(self._looking)

    def families(self, *, fresh: bool) -> Iterable[Metric]:
        """Return the last figures; none when they could not be read, since old ones mislead."""
        return [_copy(one) for one in self._families] if fresh else []


def in_thread(work: Callable[[], T]) -> Future[T]:
    """Do the work in a thread that no pool waits for: one that hangs must not delay the end."""
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - whoever waits is told
            future.set_exception(error)

    threading.Thread(target=run, name="host", daemon=True).start()
    return future


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
