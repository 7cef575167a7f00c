"""The host that the exporter runs on."""

from trading_ops.instrument.entries.kinds import exporter_counter, exporter_gauge
from trading_ops.instrument.metric import Metric

HOST: tuple[Metric, ...] = (
    exporter_gauge(
        name="trading_host_memory_available_bytes",
        unit="bytes",
        help="Memory that can be had without swapping.",
        why="Near zero the kernel kills a process, often the bot.",
    ),
    exporter_gauge(
        name="trading_host_disk_free_bytes",
        unit="bytes",
        labels=("path",),
        help="Bytes that an unprivileged process can still write to the file system of the path.",
        why="A full disk stops databases and logs.",
    ),
    exporter_gauge(
        name="trading_host_disk_size_bytes",
        unit="bytes",
        labels=("path",),
        help="Size of the file system of the path.",
        why="The base for the share that is free.",
    ),
    exporter_counter(
        name="trading_host_cpu_seconds_total",
        unit="seconds",
        labels=("mode",),
        help="Time that all processors of the host spent in each mode.",
        why="A starved host makes everything late.",
    ),
    exporter_gauge(
        name="trading_host_load1",
        help="Load average of the host over one minute.",
        why="More than the processors: work is waiting.",
    ),
)
