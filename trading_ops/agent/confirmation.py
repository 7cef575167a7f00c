"""After a start, orders are denied until the reconciler has confirmed the holds of this process.

The bot's own file of holds may have been deleted, restored from an old backup, or written before a
hold was placed on the dead bot. Without a reconciler the wait ends after a limit.
"""

import logging

from trading_ops import clock

WAIT_SECONDS = 10.0

_logger = logging.getLogger(__name__)


class HoldsConfirmation:
    """Whether the holds of this process are confirmed; may be read from any thread."""

    def __init__(self, wait_seconds: float = WAIT_SECONDS) -> None:
        """Start waiting; with 0 seconds, do not wait."""
        self._wait = wait_seconds
        self._until = clock.monotonic() + wait_seconds
        self._ended = wait_seconds <= 0

    @property
    def is_awaited(self) -> bool:
        """Return whether orders have to wait."""
        if not self._ended and clock.monotonic() >= self._until:
            self._ended = True
            _logger.info("holds_not_confirmed waited_seconds=%g", self._wait)
        return not self._ended

    def confirm(self) -> None:
        """End the wait: the reconciler's holds are in force here."""
        if not self._ended:
            _logger.info("holds_confirmed")
        self._ended = True
