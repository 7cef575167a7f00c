"""Log messages of a process."""

from typing import TYPE_CHECKING

from trading_ops.instrument.metric import Metric, bot_counter

if TYPE_CHECKING:
    from trading_ops.instrument.recorder import Recorder

LEVELS = ("debug", "info", "warning", "error", "critical")

LOGS: tuple[Metric, ...] = (
    bot_counter(
        name="trading_log_messages_total",
        labels=("level",),
        values={"level": LEVELS},
        help="Messages logged, by level.",
        why="A burst of errors is often the first sign of a fault.",
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
        help="Lines dropped because the disk was full or too slow.",
        why="The log has a gap; the event log is still complete.",
    ),
)


class LogMetrics:
    """Records a bot's log messages; `LogCount` does so for Python's `logging`."""

    def log_message(self, level: str, size: int) -> None:
        """Count a message and its bytes; the level is, for example, `warning`."""
        written = max(
            0, size
        )  # computed first: a call within the addition would allow a thread switch
        self._log_messages.labels(level).value += 1
        self._log_bytes.labels(level).value += written

    def log_lines_dropped(self, lines: int) -> None:
        """Count lines that were not written."""
        lost = max(0, lines)
        self._log_dropped.value += lost

    def _register_logs(self, recorder: "Recorder") -> None:
        self._log_messages = recorder.counter("trading_log_messages_total")
        self._log_bytes = recorder.counter("trading_log_bytes_total")
        self._log_dropped = recorder.counter("trading_log_lines_dropped_total").labels()
