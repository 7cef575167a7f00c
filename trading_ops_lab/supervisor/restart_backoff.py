"""Pauses before automatic restarts of a process. Pure: times are arguments."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class RestartPauses:
    """Exponential backoff between automatic restarts in a window, up to a maximum.

    The number of restarts is not limited: a cause such as a full disk may last hours.
    """

    count: int = 5
    """After this many restarts in the window, a process is failing: its state is `backoff`."""

    window_seconds: float = 600.0
    first_pause_seconds: float = 0.5
    """Before the second restart in the window; the first one is immediate."""

    longest_pause_seconds: float = 60.0


DEFAULT_PAUSES = RestartPauses()


def is_failing(starts: Sequence[float], now: float, pauses: RestartPauses = DEFAULT_PAUSES) -> bool:
    """Return whether a process that exited again was restarted too often.

    Args:
        starts: when the process was restarted automatically, in seconds on any one clock.
        now: on the same clock.
        pauses: how many restarts, in which window, are too many.
    """
    return _recent(starts, now, pauses) >= pauses.count


def pause_before(
    starts: Sequence[float], now: float, pauses: RestartPauses = DEFAULT_PAUSES
) -> float:
    """Return the seconds to wait before the next restart: 0 for the first one, then doubling."""
    count = _recent(starts, now, pauses)
    if not count:
        return 0.0
    return min(pauses.first_pause_seconds * 2.0 ** (count - 1), pauses.longest_pause_seconds)


def _recent(starts: Sequence[float], now: float, pauses: RestartPauses) -> int:
    return sum(now - start < pauses.window_seconds for start in starts)
