"""Our record of one firing episode of one alert, and how many targets fail at the same time.

A storm lasts until the number of failing targets has been at or below the limit for a quiet period.
It is computed from the times at which incidents were opened and closed, so that the result is the
same after a restart and at every reconciler.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from trading_ops.domain.alert import Fingerprint


@dataclass(frozen=True, kw_only=True)
class Incident:
    """An incident; at most one per fingerprint is open."""

    id: str
    fingerprint: Fingerprint
    alert: str
    """The alert's name: which runbook applies."""

    target: str | None
    """The registered target; None if the label matches none."""

    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    starts_at: datetime
    """When the alert started firing, according to its source."""

    received_at: datetime
    """When the alert was first received."""

    opened_at: datetime
    resolved_at: datetime | None = None
    """The latest end reported by Alertmanager; a hint, not proof."""

    quiet_since: datetime | None = None
    """Since when the alert is absent, while the incident stays open because of flapping."""

    escalated_at: datetime | None = None
    closed_at: datetime | None = None
    close_reason: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether it is open: at most one incident per fingerprint is."""
        return self.closed_at is None


@dataclass(frozen=True, kw_only=True)
class FailingEpisode:
    """Period in which one target was failing."""

    target: str
    begins_at: datetime
    ends_at: datetime | None
    """None: still failing."""


def failing_episodes(incidents: Iterable[Incident], now: datetime) -> tuple[FailingEpisode, ...]:
    """Return the periods in which targets were failing, from their incidents.

    An open incident counts as started even if the clock stepped back since. A flapping one counts
    as failing while it is open, since several may return at once; once closed, it ended when the
    alert became quiet.
    """
    return tuple(
        FailingEpisode(
            target=incident.target,
            begins_at=min(incident.opened_at, now) if incident.is_open else incident.opened_at,
            ends_at=incident.closed_at and (incident.quiet_since or incident.closed_at),
        )
        for incident in incidents
        if incident.target is not None
    )


def failing_targets(episodes: Iterable[FailingEpisode], now: datetime) -> frozenset[str]:
    """Return the targets that fail at this time."""
    return frozenset(
        episode.target
        for episode in episodes
        if episode.begins_at <= now and (episode.ends_at is None or now < episode.ends_at)
    )


def most_failing(episodes: Iterable[FailingEpisode], *, since: datetime, now: datetime) -> int:
    """Return the maximum of targets failing at the same time between `since` and `now`."""
    changes: list[tuple[datetime, int, str]] = []
    for episode in episodes:
        if episode.begins_at > now or (episode.ends_at is not None and episode.ends_at <= since):
            continue
        changes.append((max(episode.begins_at, since), 1, episode.target))
        if episode.ends_at is not None:
            changes.append((episode.ends_at, -1, episode.target))
    # At equal times, ends sort before starts: the end of an episode is exclusive.
    held: Counter[str] = Counter()
    most = 0
    for _, change, target in sorted(changes):
        held[target] += change
        if not held[target]:
            del held[target]
        most = max(most, len(held))
    return most
