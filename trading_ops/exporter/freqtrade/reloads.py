"""Distinguishes a reload of Freqtrade's configuration from a restart of its process.

Its API reports a new start after both. Its log buffer is in the memory of the process, so lines
from before a start that are still listed after it show that the process did not end.
"""

from collections.abc import Iterable

from trading_ops.exporter.freqtrade.exchange_errors import Line


class Reloads:
    """Counts reloads; an ambiguous start is not counted."""

    def __init__(self) -> None:
        self.total = 0
        self._start: float | None = None
        self._newest: Line | None = None
        self._may_be_new = False
        """Whether the process may have been replaced since its last known start."""

    def see(self, lines: Iterable[Line], start: float | None) -> None:
        """Set the log's lines and the last known start, in seconds since the epoch."""
        listed = list(lines)
        if self._newest not in listed:
            self._may_be_new = True
        self._newest = max(listed, key=lambda line: line[1], default=self._newest)
        if start is None or start == self._start:
            return
        if self._start is not None and not self._may_be_new:
            self.total += 1
        self._start, self._may_be_new = start, False
