"""Maintenance windows, in which automation does not act on a target or the fleet."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

LONGEST = timedelta(days=7)
"""Maximum length, so that a forgotten window does not disable remediation permanently."""

FURTHEST = timedelta(days=366)
"""Maximum time ahead; a later start is probably a typo."""


@dataclass(frozen=True, kw_only=True)
class Maintenance:
    """A scheduled or open window, from `begins_at` (inclusive) to `ends_at` (exclusive)."""

    id: int = 0
    """Assigned by the store; 0: not stored yet."""

    target: str | None
    """None: the whole fleet."""

    owner: str
    reason: str
    begins_at: datetime
    ends_at: datetime
    ended_by: str | None = None
    """Who ended it early, or cancelled it."""

    def covers(self, target: str | None, now: datetime) -> bool:
        """Whether it applies to this target at this time."""
        concerns = self.target is None or self.target == target
        return concerns and self.begins_at <= now < self.ends_at


@dataclass(frozen=True, kw_only=True)
class RecurringWindow:
    """A recurring window that an operator created."""

    id: int = 0
    """Assigned by the store; 0: not stored yet."""

    target: str | None
    """None: the whole fleet."""

    owner: str
    reason: str
    every: str
    """As typed, such as `Sun 02:00`."""

    zone: str
    seconds: int
    """Length of each window."""

    created_at: datetime

    @property
    def owner_of_windows(self) -> str:
        """Return the owner of its windows: no other one has windows of this owner."""
        return f"{self.owner} (recurring {self.id})"


def covering(
    windows: Iterable[Maintenance], target: str | None, now: datetime
) -> Maintenance | None:
    """Return the active window of this target, the one that ends last if there are several."""
    return max(
        (window for window in windows if window.covers(target, now)),
        key=lambda window: window.ends_at,
        default=None,
    )


def outlasts(windows: Iterable[Maintenance], target: str, at: datetime, now: datetime) -> bool:
    """Whether what was placed on a target in a window is left over: its maintenance has ended.

    A window that begins before another one ends extends it. A later one, such as the next of a
    recurring window, does not hide what is left, or it would be reported again after each one.

    Args:
        windows: of any target; past ones too.
        target: the target.
        at: when it was placed.
        now: the time.
    """
    end: datetime | None = None
    for window in sorted(windows, key=lambda window: window.begins_at):
        if window.target not in {None, target} or window.ends_at <= at:
            continue
        if window.begins_at <= at or (end is not None and window.begins_at <= end):
            end = window.ends_at if end is None else max(end, window.ends_at)
    return end is not None and end <= now


def problem(window: Maintenance, now: datetime) -> str | None:
    """Return the problem with a new window, or None."""
    if window.ends_at <= window.begins_at:
        return "a window must end after it begins"
    if window.ends_at <= now:
        return "this window has already ended"
    if window.ends_at - max(window.begins_at, now) > LONGEST:
        return f"a window can last at most {LONGEST.days} days"
    if window.begins_at - now > FURTHEST:
        return f"a window must begin within {FURTHEST.days} days"
    return None
