"""Memory and memory pressure."""

from collections.abc import Iterator
from pathlib import Path

import psutil
from prometheus_client.metrics_core import Metric

from trading_ops.instrument.families import family

PROC = Path("/proc")
RESOURCES = ("cpu", "io", "memory")


def memory() -> Iterator[Metric]:
    """Yield total and available memory, swap, and OOM kills."""
    found, swap = psutil.virtual_memory(), psutil.swap_memory()
    yield family("trading_host_memory_size_bytes", {(): found.total})
    yield family("trading_host_memory_available_bytes", {(): found.available})
    yield family("trading_host_swap_size_bytes", {(): swap.total})
    yield family("trading_host_swap_used_bytes", {(): swap.used})
    for line in (PROC / "vmstat").read_text(encoding="ascii").splitlines():
        name, _, value = line.partition(" ")
        if name == "oom_kill":
            yield family("trading_host_oom_kills_total", {(): int(value)})


def pressure(proc: Path = PROC) -> Iterator[Metric]:
    """Yield the time that tasks waited for a resource (PSI); nothing without kernel support."""
    waited: dict[tuple[str, ...], float] = {}
    for resource in RESOURCES:
        try:
            text = (proc / "pressure" / resource).read_text(encoding="ascii")
        except OSError:  # an old kernel, or PSI is disabled
            continue
        for line in text.splitlines():
            kind, *fields = line.split()
            total = dict(field.split("=", 1) for field in fields)["total"]
            waited[resource, kind] = int(total) / 1e6
    if waited:
        yield family("trading_host_pressure_seconds_total", waited)
