"""Recovery times per alert: to the first response (MTTA) and to the end (MTTR).

The first response is the first attempt or acknowledgement, whichever came first. Both times are
counted from when the incident was opened; the end is when it was closed.
"""

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from trading_ops.store import Connection, search
from trading_ops.store.search import IncidentTimes


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Statistics of some durations in seconds; all None if there are none."""

    count: int
    mean_seconds: float | None
    median_seconds: float | None
    p95_seconds: float | None
    """By the nearest-rank method, so a measured value."""

    worst_seconds: float | None


@dataclass(frozen=True, kw_only=True)
class AlertTimes:
    """The incidents of one alert."""

    alert: str
    incidents: int
    open: int
    remediated: int
    """Closed after a verified attempt, without escalation."""

    escalated: int
    first_response: Spread
    """MTTA of the incidents with a response."""

    close: Spread
    """MTTR of the closed incidents."""


@dataclass(frozen=True, kw_only=True)
class RecoveryTimes:
    """The incidents that were opened in a period."""

    since: datetime
    until: datetime
    total: AlertTimes
    """All alerts together, with an empty name."""

    alerts: tuple[AlertTimes, ...]
    """By name."""


def recovery_times(connection: Connection, *, since: datetime, until: datetime) -> RecoveryTimes:
    """Return the times of all incidents opened from `since` until before `until`."""
    found = search.response_times(connection, since=since, until=until)
    by_alert: dict[str, list[IncidentTimes]] = defaultdict(list)
    for incident in found:
        by_alert[incident.alert].append(incident)
    return RecoveryTimes(
        since=since,
        until=until,
        total=_times("", found),
        alerts=tuple(_times(alert, by_alert[alert]) for alert in sorted(by_alert)),
    )


def _times(alert: str, found: Sequence[IncidentTimes]) -> AlertTimes:
    return AlertTimes(
        alert=alert,
        incidents=len(found),
        open=sum(incident.closed_at is None for incident in found),
        remediated=sum(_remediated(incident) for incident in found),
        escalated=sum(incident.escalated_at is not None for incident in found),
        first_response=spread(
            (answered - incident.opened_at).total_seconds()
            for incident in found
            if (answered := _first_response(incident)) is not None
        ),
        close=spread(
            (incident.closed_at - incident.opened_at).total_seconds()
            for incident in found
            if incident.closed_at is not None
        ),
    )


def _remediated(incident: IncidentTimes) -> bool:
    return incident.closed_at is not None and incident.escalated_at is None and incident.verified


def _first_response(incident: IncidentTimes) -> datetime | None:
    given = [
        moment for moment in (incident.attempted_at, incident.acknowledged_at) if moment is not None
    ]
    return min(given, default=None)


def spread(durations: Iterable[float]) -> Spread:
    """Return mean, median, 95th percentile and maximum of some durations in seconds."""
    ordered = sorted(durations)
    if not ordered:
        return Spread(
            count=0, mean_seconds=None, median_seconds=None, p95_seconds=None, worst_seconds=None
        )
    return Spread(
        count=len(ordered),
        mean_seconds=statistics.fmean(ordered),
        median_seconds=statistics.median(ordered),
        p95_seconds=ordered[math.ceil(0.95 * len(ordered)) - 1],
        worst_seconds=ordered[-1],
    )
