"""Log files as the exporter sees them.

The label `log` is the name in the exporter's configuration: files that belong together.
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
        help="Bytes that the files have gained, over rotations and truncations.",
        why="A log that grows fast fills the disk; one that stops growing is a bot that stands.",
    ),
    _counter(
        name="trading_log_file_unread_bytes_total",
        unit="bytes",
        help="Bytes of those whose lines were not counted, because they were too many at once.",
        why="While it grows, the lines by level are too few.",
    ),
    exporter_counter(
        name="trading_log_file_lines_total",
        labels=("log", "level"),
        values={"level": LINE_LEVELS},
        help="Lines that were written, by the level that they name as JSON.",
        why="A burst of errors is often the first thing that a fault does.",
    ),
    _counter(
        name="trading_log_file_rotations_total",
        help="Times that a file was replaced by a new one or cut short.",
        why="None for long: rotation does not run, and the disk fills.",
    ),
    _gauge(
        name="trading_log_file_matched",
        help="Files that fit the patterns and are read.",
        why="None: the bot writes elsewhere, or not at all.",
    ),
    exporter_gauge(
        name="trading_log_file_dropped",
        labels=("log", "reason"),
        values={"reason": LEFT_OUT},
        help="Files that fit the patterns and are not read, by reason.",
        why="What is in them raises no alarm.",
    ),
    _gauge(
        name="trading_log_file_folder_size_bytes",
        unit="bytes",
        help="Size of all files in the folders, rotated and compressed ones as well.",
        why="Rotated files that nobody deletes fill the disk.",
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
        help="Time at which a file was last written, since the epoch.",
        why="A log that is silent: its process hangs, or lost its file.",
    ),
)
