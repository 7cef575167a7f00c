"""Which backups are kept: the newest ones, and one for each hour, day, week and month before."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, kw_only=True)
class Keep:
    """Number of backups to keep, by kind."""

    last: int = 12
    hourly: int = 24
    daily: int = 14
    weekly: int = 8
    monthly: int = 12


@dataclass(frozen=True, kw_only=True)
class Kept:
    """The facts about a backup that retention uses."""

    id: str
    created_at: datetime
    period: datetime | None = None
    """The time that decides for which hour, day, week and month it counts; None: `created_at`."""

    is_restorable: bool
    """Whether its last restore test passed and no check has failed since."""


_PERIODS: tuple[tuple[str, Callable[[datetime], tuple[int, ...]]], ...] = (
    ("hourly", lambda at: (at.year, at.month, at.day, at.hour)),
    ("daily", lambda at: (at.year, at.month, at.day)),
    ("weekly", lambda at: tuple(at.isocalendar()[:2])),
    ("monthly", lambda at: (at.year, at.month)),
)


def to_remove(backups: Collection[Kept], keep: Keep) -> list[str]:
    """Return the ids that retention no longer keeps, oldest first.

    Nothing is removed before a restore test has passed. The newest restorable backup always
    stays, and so does everything newer than it.
    """
    newest_first = sorted(backups, key=lambda backup: (backup.created_at, backup.id), reverse=True)
    proven = next((at for at, backup in enumerate(newest_first) if backup.is_restorable), None)
    if proven is None:
        return []
    kept = {backup.id for backup in newest_first[: max(proven + 1, keep.last)]}
    for name, period in _PERIODS:
        kept |= _first_of_each(newest_first, period, getattr(keep, name))
    return [backup.id for backup in reversed(newest_first) if backup.id not in kept]


def _first_of_each(
    newest_first: Sequence[Kept], period: Callable[[datetime], tuple[int, ...]], count: int
) -> set[str]:
    newest: dict[tuple[int, ...], str] = {}
    for backup in newest_first:
        newest.setdefault(period((backup.period or backup.created_at).astimezone(UTC)), backup.id)
    return set(list(newest.values())[:count])
