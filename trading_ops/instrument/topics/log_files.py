"""Log files, read by the exporter.

The label `log` is the name of a group of files in the exporter's configuration.
"""

from functools import partial

from trading_ops.instrument.metric import Metric, exporter_counter, exporter_gauge

LINE_LEVELS = ("debug", "info", "warning", "error", "critical", "other")
LEFT_OUT = ("not_regular", "unreadable", "too_many")

_gauge = partial(exporter_gauge, labels=("log",))
_counter = partial(exporter_counter, labels=("log",))
_of_file = partial(exporter_gauge, labels=("log", "path"))

LOG_FILES: tuple[Metric, ...] = (
    _counter(
        name="trading_log_file_written_bytes_total",
        unit="bytes",
        help="Bytes appended to the files, across rotations and truncations.",
        why="A fast-growing log fills the disk; a log without growth means a stalled bot.",
    ),
    _counter(
        name="trading_log_file_unread_bytes_total",
        unit="bytes",
        help="Bytes skipped because too many were written at once; their lines are not counted.",
        why="While it grows, the counts of lines are too low.",
    ),
    exporter_counter(
        name="trading_log_file_lines_total",
        labels=("log", "level"),
        values={"level": LINE_LEVELS},
        help="Lines written, by JSON log level.",
        why="A burst of errors is often the first sign of a fault.",
    ),
    _counter(
        name="trading_log_file_rotations_total",
        help="Rotations and truncations of the files.",
        why="None for long: rotation does not work, and the disk fills up.",
    ),
    _gauge(
        name="trading_log_file_matched",
        help="Files that match the patterns and are read.",
        why="0: the bot writes elsewhere or not at all.",
    ),
    exporter_gauge(
        name="trading_log_file_dropped",
        labels=("log", "reason"),
        values={"reason": LEFT_OUT},
        help="Files that match the patterns but are not read, by reason.",
        why="Errors in them raise no alert.",
    ),
    _gauge(
        name="trading_log_file_folder_size_bytes",
        unit="bytes",
        help="Size of all files in the folders, including rotated and compressed ones.",
        why="Rotated files that are not deleted fill the disk.",
    ),
    _of_file(
        name="trading_log_file_size_bytes",
        unit="bytes",
        help="Size of a file.",
        why="Shows which one grows.",
    ),
    _of_file(
        name="trading_log_file_modified_timestamp_seconds",
        unit="seconds",
        help="Last modification time of a file, Unix time.",
        why="A silent log: the process is hung or lost its file.",
    ),
)
