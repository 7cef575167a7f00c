"""Backoff between retries of failed requests, and a limit on repeated log messages."""

from datetime import timedelta

from trading_ops import clock

FIRST_SECONDS = 1.0
LONGEST_SECONDS = 5.0


class Backoff:
    """Waits 1, 2, 4 and then 5 s between requests that time out.

    Each unanswered request stays in the listener's backlog, and a process that continues after a
    freeze handles them all at once. A refused connection is not queued, so it does not count.
    """

    def __init__(self) -> None:
        self._wait = 0.0
        self._not_before = 0.0

    @property
    def is_waiting(self) -> bool:
        """Return whether the last request timed out and it is too early for the next one."""
        return self.remaining > 0

    @property
    def is_mute(self) -> bool:
        """Return whether the last request timed out."""
        return self._wait > 0

    @property
    def remaining(self) -> float:
        """Return the seconds until the next request; 0: due now."""
        return max(0.0, self._not_before - clock.monotonic()) if self._wait else 0.0

    def timed_out(self) -> None:
        """Double the wait."""
        self._wait = min(self._wait * 2 or FIRST_SECONDS, LONGEST_SECONDS)
        self._not_before = clock.monotonic() + self._wait

    def answered(self) -> None:
        """Return to the normal rate; a refusal also counts as an answer."""
        self._wait = 0.0


def full_jitter(attempt: int, *, base: timedelta, cap: timedelta, fraction: float) -> timedelta:
    """Return a wait between zero and min(cap, base * 2^attempt).

    Args:
        attempt: number of failed tries, from 0.
        base: the maximum of the first wait.
        cap: the maximum of every wait.
        fraction: a random number in [0, 1); an argument so that the function stays pure.

    Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015: full jitter spreads
    clients best with the least total work.
    """
    doublings = min(attempt, 32)  # beyond this, the cap is reached
    ceiling: timedelta = min(cap, base * (1 << doublings))
    return ceiling * fraction


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
