"""What a process writes to its log."""

from trading_ops.instrument.entries.kinds import bot_counter
from trading_ops.instrument.metric import Metric

LEVELS = ("debug", "info", "warning", "error", "critical")

LOGS: tuple[Metric, ...] = (
    bot_counter(
        name="trading_log_messages_total",
        labels=("level",),
        values={"level": LEVELS},
        help="Messages logged, by level.",
        why="A burst of errors is often the first thing that a fault does.",
    ),
    bot_counter(
        name="trading_log_bytes_total",
        unit="bytes",
        labels=("level",),
        values={"level": LEVELS},
        help="Bytes of messages logged, by level.",
        why="A log that grows fast fills the disk.",
    ),
    bot_counter(
        name="trading_log_lines_dropped_total",
        help="Lines that were never written: the disk was full or too slow for what waited.",
        why="What happened meanwhile is in no log; the events in the records still tell it.",
    ),
)
