"""The state of the fleet: how many targets fail at once, and whether that was a storm just now.

A storm is a mode: it holds until the number of failing targets has stayed at the limit or below
for a quiet time. It is not remembered but worked out from when incidents were opened and closed,
so that a restart, a second reconciler and a person who looks a minute later all see the same one.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from trading_ops.domain.incident import Incident


@dataclass(frozen=True, kw_only=True)
class Episode:
    """From when to when one target was failing."""

    target: str
    begins_at: datetime
    ends_at: datetime | None
    """None: it still is."""


def episodes(incidents: Iterable[Incident], now: datetime) -> tuple[Episode, ...]:
    """Return when targets were failing, by their incidents.

    One that is open has begun, also when the clock has stepped back since.

    One that is kept open because it flaps is not over while it is open: several may come back at
    once. Once it is closed, it ended where it went quiet.
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
    """Return the targets that fail at this moment."""
    return frozenset(
        one.target
        for one in told
        if one.begins_at <= now and (one.ends_at is None or now < one.ends_at)
    )


def peak(told: Iterable[Episode], *, since: datetime, now: datetime) -> int:
    """Return how many targets at most were failing at one moment between `since` and `now`."""
    changes: list[tuple[datetime, int, str]] = []
    for one in told:
        if one.begins_at > now or (one.ends_at is not None and one.ends_at <= since):
            continue
        changes.append((max(one.begins_at, since), 1, one.target))
        if one.ends_at is not None:
            changes.append((one.ends_at, -1, one.target))
    # At one moment, ends sort before beginnings: an episode no longer holds where it ends.
    held: Counter[str] = Counter()
    most = 0
    for _, change, target in sorted(changes):
        held[target] += change
        if not held[target]:
            del held[target]
        most = max(most, len(held))
    return most
