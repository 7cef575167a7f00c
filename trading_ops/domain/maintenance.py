"""A maintenance window: while it lasts, the machine leaves a target, or the whole fleet, alone."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

LONGEST = timedelta(days=7)
"""A window that somebody forgot must not switch recovery off for good."""

FURTHEST = timedelta(days=366)
"""Planned further ahead than this is a slip of the pen."""


@dataclass(frozen=True, kw_only=True)
class Maintenance:
    """Planned or under way; from `begins_at` on, and no longer at `ends_at`."""

    id: int = 0
    """Given by the store; 0: not stored yet."""

    target: str | None
    """None: the whole fleet."""

    owner: str
    reason: str
    begins_at: datetime
    ends_at: datetime

    def covers(self, target: str | None, now: datetime) -> bool:
        """Whether this target is being worked on at this moment."""
        concerns = self.target is None or self.target == target
        return concerns and self.begins_at <= now < self.ends_at


def covering(
    windows: Iterable[Maintenance], target: str | None, now: datetime
) -> Maintenance | None:
    """Return the window that holds this target now; the one that lasts longest, if several do."""
    return max(
        (window for window in windows if window.covers(target, now)),
        key=lambda window: window.ends_at,
        default=None,
    )


def problem(window: Maintenance, now: datetime) -> str | None:
    """Say what is wrong with a window that somebody orders; None: nothing."""
    if window.ends_at <= window.begins_at:
        return "a window ends after it begins"
    if window.ends_at <= now:
        return "this window is already over"
    if window.ends_at - max(window.begins_at, now) > LONGEST:
        return f"a window lasts at most {LONGEST.days} days"
    if window.begins_at - now > FURTHEST:
        return f"a window begins within {FURTHEST.days} days"
    return None
