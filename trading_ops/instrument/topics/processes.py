"""Processes of a host that the exporter monitors, by configured name."""

from functools import partial

from trading_ops.instrument.metric import Metric, exporter_counter, exporter_gauge

_gauge = partial(exporter_gauge, labels=("process",))

PROCESSES: tuple[Metric, ...] = (
    _gauge(
        name="trading_process_up",
        help="1 if the process is running, else 0; a zombie counts as not running.",
        why="Covers processes without metrics: a Freqtrade, a database, a script.",
    ),
    exporter_counter(
        name="trading_process_cpu_seconds_total",
        unit="seconds",
        labels=("process",),
        help="CPU time of the process, without its children.",
        why="One full CPU for long is a busy loop.",
    ),
    exporter_counter(
        name="trading_process_cpu_wait_seconds_total",
        unit="seconds",
        labels=("process",),
        help="Time in which threads of the process could run and waited for a CPU; absent if the "
        "kernel does not count it.",
        why="Shows which processes suffer when another one uses the host's CPUs.",
    ),
    _gauge(
        name="trading_process_resident_bytes",
        unit="bytes",
        help="Resident memory (RSS) of the process, including shared pages.",
        why="The OOM killer uses it to select a process.",
    ),
    _gauge(
        name="trading_process_unique_bytes",
        unit="bytes",
        help="Unique set size (USS) of the process, read at most once a minute.",
        why="A slope over days is a leak.",
    ),
    _gauge(
        name="trading_process_open_files",
        help="Open file descriptors of the process.",
        why="A slope is a leak of connections or files.",
    ),
    _gauge(
        name="trading_process_open_files_limit",
        help="Maximum open file descriptors of the process; absent if unlimited.",
        why="At the limit the process cannot open files or connections.",
    ),
    _gauge(
        name="trading_process_threads",
        help="Threads of the process.",
        why="A slope is a leak of threads.",
    ),
    _gauge(
        name="trading_process_start_timestamp_seconds",
        unit="seconds",
        help="Start time of the process, Unix time.",
        why="Changes at every restart: shows crash loops.",
    ),
)
