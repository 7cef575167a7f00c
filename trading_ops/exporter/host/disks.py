"""File systems and block devices."""

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
from prometheus_client.metrics_core import Metric

from trading_ops.instrument.families import family

DEVICES = Path("/sys/block")
NOT_DISKS = ("loop", "ram", "zram", "sr", "fd", "nbd")
LARGEST_COUNT = 32
MILLISECOND = 1e-3


def file_system(path: Path) -> Iterator[Metric]:
    """Yield the space of the path's file system, and whether it is read-only.

    Raises:
        OSError: the path does not exist.
    """
    stat = os.statvfs(path)
    label = (str(path),)
    yield family("trading_host_disk_free_bytes", {label: stat.f_bavail * stat.f_frsize})
    yield family("trading_host_disk_size_bytes", {label: stat.f_blocks * stat.f_frsize})
    read_only = bool(stat.f_flag & os.ST_RDONLY)
    yield family("trading_host_disk_read_only", {label: float(read_only)})
    if stat.f_files:  # some file systems create inodes on demand
        yield family("trading_host_disk_inodes_free", {label: stat.f_favail})
        yield family("trading_host_disk_inodes", {label: stat.f_files})


def devices() -> Iterator[Metric]:
    """Yield bytes read and written, and busy time of each disk."""
    disks = {device.name for device in DEVICES.iterdir() if not device.name.startswith(NOT_DISKS)}
    counters = psutil.disk_io_counters(perdisk=True, nowrap=False)
    names = sorted(disks & counters.keys())[:LARGEST_COUNT]
    for metric, value in _OF_DEVICE.items():
        values: dict[tuple[str, ...], float] = {(name,): value(counters[name]) for name in names}
        if values:
            yield family(f"trading_host_disk_{metric}_total", values)


_OF_DEVICE: Mapping[str, Callable[[Any], float]] = {
    "read_bytes": lambda counters: counters.read_bytes,
    "written_bytes": lambda counters: counters.write_bytes,
    "busy_seconds": lambda counters: counters.busy_time * MILLISECOND,
}
