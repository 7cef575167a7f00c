"""Counts what a bot writes to its log, whichever library writes it.

logging.basicConfig(...)
count_log(metrics)

The count sits at the formatter and not in a handler of its own: there each message is the text that
is written, traceback included, and is made once.
"""

import contextlib
import logging
from bisect import bisect_right

from trading_ops.instrument.topics.logs import LEVELS, LogMetrics

_NUMBERS = (logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL)


class LogCount(logging.Formatter):
    """Formats as another one does, and counts the messages and bytes that come of it."""

    def __init__(self, metrics: LogMetrics, inner: logging.Formatter | None = None) -> None:
        """Take where to count, and what formats; by default logging's own."""
        super().__init__()
        self._metrics = metrics
        self.inner = inner or logging.Formatter()

    def format(self, record: logging.LogRecord) -> str:
        """Return the text, and count it."""
        text = self.inner.format(record)
        # The message must be written even if counting fails.
        with contextlib.suppress(Exception):
            self._metrics.log_message(level_of(record.levelno), size_of(text))
        return text


def count_log(metrics: LogMetrics, handler: logging.Handler | None = None) -> None:
    """Count what a handler writes; by default the first of the root logger.

    Of several handlers one is counted, or each message would be several. A second call for the
    same handler replaces the first.

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
    """Return the name of a level; one in between is the level below it."""
    return LEVELS[bisect_right(_NUMBERS, number)]


def size_of(text: str) -> int:
    """Return the bytes of a message as UTF-8, its line end included."""
    if text.isascii():
        return len(text) + 1
    return len(text.encode(errors="replace")) + 1
