"""Processes of a host that the exporter watches from outside, each by the name it was given."""

from functools import partial

from trading_ops.instrument.metric import Metric, exporter_counter, exporter_gauge

_gauge = partial(exporter_gauge, labels=("process",))

PROCESSES: tuple[Metric, ...] = (
    _gauge(
        name="trading_process_up",
        help="1 when the process runs, else 0; a zombie does not run.",
        why="Tells of what has no metrics of its own: a Freqtrade, a database, a script.",
    ),
    exporter_counter(
        name="trading_process_cpu_seconds_total",
        unit="seconds",
        labels=("process",),
        help="Processor time that the process took, without its children.",
        why="A whole processor for long is a loop that never waits.",
    ),
    _gauge(
        name="trading_process_resident_bytes",
        unit="bytes",
        help="Memory of the process that is in RAM, shared pages included.",
        why="What the kernel looks at when it must kill somebody.",
    ),
    _gauge(
        name="trading_process_unique_bytes",
        unit="bytes",
        help="Memory that belongs to the process alone, read at most once a minute.",
        why="A slope over days is a leak.",
    ),
    _gauge(
        name="trading_process_open_files",
        help="Files and connections that the process has open.",
        why="A slope is a leak of connections or files.",
    ),
    _gauge(
        name="trading_process_open_files_limit",
        help="Most files that the process may have open; absent when there is no limit.",
        why="At the limit nothing can be opened: no connection, no log.",
    ),
    _gauge(
        name="trading_process_threads",
        help="Threads of the process.",
        why="A slope is a leak of threads.",
    ),
    _gauge(
        name="trading_process_start_timestamp_seconds",
        unit="seconds",
        help="Time at which the process began, since the epoch.",
        why="Changes at every restart: crash loops show.",
    ),
)
