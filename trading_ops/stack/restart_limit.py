"""How often a process is restarted before the supervisor gives it up. Pure: time comes in."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class RestartLimit:
    """So many automatic restarts in so long a window, with pauses that double."""

    count: int = 5
    window_seconds: float = 600.0
    first_pause_seconds: float = 0.5
    """Before the second restart in the window; the first one is immediate."""


DEFAULT_LIMIT = RestartLimit()


def restart_allowed(
    starts: Sequence[float], now: float, limit: RestartLimit = DEFAULT_LIMIT
) -> bool:
    """Say whether one more automatic restart is allowed.

    Args:
        starts: when the process was restarted automatically, in seconds on any one clock.
        now: on the same clock.
        limit: how many in which window.
    """
    return len(recent(starts, now, limit)) < limit.count


def pause_before(starts: Sequence[float], now: float, limit: RestartLimit = DEFAULT_LIMIT) -> float:
    """Return the seconds to wait before the next restart: 0 for the first one, then doubling."""
    count = len(recent(starts, now, limit))
    return limit.first_pause_seconds * 2.0 ** (count - 1) if count else 0.0


def recent(
    starts: Sequence[float], now: float, limit: RestartLimit = DEFAULT_LIMIT
) -> tuple[float, ...]:
    """Return those restarts that are still inside the window."""
    return tuple(start for start in starts if now - start < limit.window_seconds)
