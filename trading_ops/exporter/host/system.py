"""CPUs, load, open files, processes and the clock."""

import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

import psutil
from prometheus_client.metrics_core import Metric

from trading_ops.instrument.families import family

PROC = Path("/proc")
STA_UNSYNC = 0x0040
MICROSECOND = 1e-6


def processors() -> Iterator[Metric]:
    """Yield CPU time by mode, number of CPUs, load and boot time."""
    modes = psutil.cpu_times()._asdict()
    yield family(
        "trading_host_cpu_seconds_total", {(mode,): seconds for mode, seconds in modes.items()}
    )
    yield family("trading_host_cpus", {(): os.cpu_count() or 1})
    for minutes, load in zip((1, 5, 15), os.getloadavg(), strict=True):
        yield family(f"trading_host_load{minutes}", {(): load})
    yield family("trading_host_boot_timestamp_seconds", {(): psutil.boot_time()})


def open_files() -> Iterator[Metric]:
    """Yield the number of open files of the host, and the kernel's limit."""
    used, _, limit = (PROC / "sys/fs/file-nr").read_text(encoding="ascii").split()
    yield family("trading_host_open_files", {(): int(used)})
    yield family("trading_host_open_files_limit", {(): int(limit)})


def process_counts(proc: Path = PROC) -> Iterator[Metric]:
    """Yield the numbers of processes, threads and zombies."""
    processes = zombies = 0
    for folder in proc.iterdir():
        if not folder.name.isdigit():
            continue
        try:
            stat = (folder / "stat").read_bytes()
        except OSError:  # the process has ended
            continue
        processes += 1
        # The name in parentheses may itself contain parentheses; the state is the next field.
        zombies += stat.rpartition(b")")[2].split(maxsplit=1)[:1] == [b"Z"]
    threads = (proc / "loadavg").read_text(encoding="ascii").split()[3].partition("/")[2]
    yield family("trading_host_processes", {(): processes})
    yield family("trading_host_threads", {(): int(threads)})
    yield family("trading_host_zombies", {(): zombies})


class _Timex(ctypes.Structure):
    """The start of Linux's `struct timex`; the rest is space for the kernel's output."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_long * 32),
    )


def clock_state() -> Iterator[Metric]:
    """Yield whether the clock is synchronized; nothing if the kernel does not allow the query."""
    timex = _Timex()  # modes 0: only read
    adjtimex = getattr(ctypes.CDLL(None), "adjtimex", None)
    if adjtimex is None or adjtimex(ctypes.byref(timex)) < 0:  # a container may forbid it
        return
    synchronized = not timex.status & STA_UNSYNC
    yield family("trading_host_clock_synchronized", {(): float(synchronized)})
    yield family("trading_host_clock_error_bound_seconds", {(): timex.maxerror * MICROSECOND})
