"""The host's collectors, independent so that a dead network disk affects only its own."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from trading_ops.exporter.config import ExporterConfig
from trading_ops.exporter.host.disks import devices, file_system
from trading_ops.exporter.host.memory import memory, pressure
from trading_ops.exporter.host.network import network
from trading_ops.exporter.host.system import clock_state, open_files, process_counts, processors
from trading_ops.exporter.threaded_source import Look, ThreadedSource, all_of


def host_sources(config: ExporterConfig) -> list[ThreadedSource]:
    """Return the collectors `host`, `host_processes` and one `disk:…` for each watched path."""
    light: dict[str, Look] = {
        "memory": memory,
        "pressure": pressure,
        "processors": processors,
        "devices": devices,
        "network": partial(network, config.interfaces),
        "open files": open_files,
        "clock": clock_state,
    }
    return [
        ThreadedSource("host", partial(all_of, light), interval_seconds=5.0, timeout_seconds=3.0),
        # Reads a file for each process of the host.
        ThreadedSource(
            "host_processes", process_counts, interval_seconds=60.0, timeout_seconds=20.0
        ),
        *disk_sources(config.paths),
    ]


def disk_sources(paths: Sequence[Path]) -> list[ThreadedSource]:
    """Return a collector for each path's file system; one that hangs does not affect the others."""
    return [
        ThreadedSource(
            f"disk:{path}", partial(file_system, path), interval_seconds=5.0, timeout_seconds=3.0
        )
        for path in paths
    ]
