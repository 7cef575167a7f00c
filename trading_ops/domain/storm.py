"""Storm detection: how many targets fail at the same time.

A storm lasts until the number of failing targets has been at or below the limit for a quiet period.
It is computed from the times at which incidents were opened and closed, so that the result is the
same after a restart and at every reconciler.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from trading_ops.domain.incident import Incident


@dataclass(frozen=True, kw_only=True)
class Episode:
    """Period in which one target was failing."""

    target: str
    begins_at: datetime
    ends_at: datetime | None
    """None: still failing."""


def episodes(incidents: Iterable[Incident], now: datetime) -> tuple[Episode, ...]:
    """Return the periods in which targets were failing, from their incidents.

    An open incident counts as started even if the clock stepped back since. A flapping one counts
    as failing while it is open, since several may return at once; once closed, it ended when the
    alert became quiet.
    """
    return tuple(
        Episode(
            target=one.target,
            begins_at=min(one.opened_at, now) if one.is_open else one.opened_at,
            ends_at=one.closed_at and (one.quiet_since or one.closed_at),
        )
        for one in incidents
        if one.target is not None
    )


def failing(told: Iterable[Episode], now: datetime) -> frozenset[str]:
    """Return the targets that fail at this time."""
    return frozenset(
        one.target
        for one in told
        if one.begins_at <= now and (one.ends_at is None or now < one.ends_at)
    )


def peak(told: Iterable[Episode], *, since: datetime, now: datetime) -> int:
    """Return the maximum of targets failing at the same time between `since` and `now`."""
    changes: list[tuple[datetime, int, str]] = []
    for one in told:
        if one.begins_at > now or (one.ends_at is not None and one.ends_at <= since):
            continue
        changes.append((max(one.begins_at, since), 1, one.target))
        if one.ends_at is not None:
            changes.append((one.ends_at, -1, one.target))
    # At equal times, ends sort before starts: the end of an episode is exclusive.
    held: Counter[str] = Counter()
    most = 0
    for _, change, target in sorted(changes):
        held[target] += change
        if not held[target]:
            del held[target]
        most = max(most, len(held))
    return most
