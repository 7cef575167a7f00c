"""Limits repeated log messages, so that they cannot fill a log."""

from trading_ops import clock

MOST = 64
"""Maximum number of keys; further ones are suppressed until one of these expires."""


class Seldom:
    """Allows each key once per time span."""

    def __init__(self, seconds: float = 60.0) -> None:
        self._seconds = seconds
        self._last: dict[str, float] = {}

    def is_due(self, key: str) -> bool:
        """Return whether the key was not used within the span, and record it as used now."""
        now = clock.monotonic()
        for old in [key for key, at in self._last.items() if now - at >= self._seconds]:
            del self._last[old]
        if key in self._last or len(self._last) >= MOST:
            return False
        self._last[key] = now
        return True
