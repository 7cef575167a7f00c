"""Counts a bot's log messages, from any logging library.

logging.basicConfig(...)
count_log(metrics)

The formatter counts, not a separate handler: it sees the final text, traceback included, and
formats each message only once.
"""

import contextlib
import logging
from bisect import bisect_right

from trading_ops.instrument.topics.logs import LEVELS, LogMetrics

_NUMBERS = (logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL)


class LogCount(logging.Formatter):
    """Wraps a formatter, and counts the messages and bytes that it returns."""

    def __init__(self, metrics: LogMetrics, inner: logging.Formatter | None = None) -> None:
        super().__init__()
        self._metrics = metrics
        self.inner = inner or logging.Formatter()

    def format(self, record: logging.LogRecord) -> str:
        """Format a record and count it."""
        text = self.inner.format(record)
        # The message must be written even if counting fails.
        with contextlib.suppress(Exception):
            self._metrics.log_message(level_of(record.levelno), size_of(text))
        return text


def count_log(metrics: LogMetrics, handler: logging.Handler | None = None) -> None:
    """Count the messages of a handler; by default the first one of the root logger.

    Count only one of several handlers, or each message is counted several times. A second call for
    the same handler replaces the first.

    Raises:
        ValueError: the root logger has no handler yet.
    """
    if handler is None:
        if not (handlers := logging.getLogger().handlers):
            raise ValueError("the root logger has no handler. Fix: set up logging before count_log")
        handler = handlers[0]
    inner = handler.formatter
    if isinstance(inner, LogCount):
        inner = inner.inner
    handler.setFormatter(LogCount(metrics, inner))


def level_of(number: int) -> str:
    """Return the name of a level; a number in between counts as the level below."""
    return LEVELS[bisect_right(_NUMBERS, number)]


def size_of(text: str) -> int:
    """Return the bytes of a message in UTF-8, including the line end."""
    if text.isascii():
        return len(text) + 1
    return len(text.encode(errors="replace")) + 1
