"""Tells of what repeats whether it is time to say it again, so that it cannot fill a log."""

from trading_ops import clock

MOST = 64
"""Keys that are known at a time; others are passed over until one of these is old."""


class Seldom:
    """Once for each key in a span of time."""

    def __init__(self, seconds: float = 60.0) -> None:
        """Take the span."""
        self._seconds = seconds
        self._said: dict[str, float] = {}

    def is_due(self, key: str) -> bool:
        """Whether a key was not due within the span; it is then noted as said now."""
        now = clock.monotonic()
        for old in [one for one, at in self._said.items() if now - at >= self._seconds]:
            del self._said[old]
        if key in self._said or len(self._said) >= MOST:
            return False
        self._said[key] = now
        return True
