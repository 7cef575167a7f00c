"""Recommends tuning, from the incidents of a period."""

import statistics
from collections import defaultdict
from collections.abc import Sequence

from trading_ops.notify.rendering import duration
from trading_ops.store.search import IncidentTimes

FEWEST = 3
"""Incidents of an alert from which a suggestion is made."""

OFTEN = 10
"""Successful remediations of one alert that point to a fault of their own."""


def suggestions(found: Sequence[IncidentTimes]) -> tuple[str, ...]:
    """Return a sentence for each alert that should be tuned, by name."""
    by_alert: dict[str, list[IncidentTimes]] = defaultdict(list)
    for incident in found:
        by_alert[incident.alert].append(incident)
    made = (_suggestion(alert, by_alert[alert]) for alert in sorted(by_alert))
    return tuple(incident for incident in made if incident)


def _suggestion(alert: str, found: Sequence[IncidentTimes]) -> str:
    count = len(found)
    if count < FEWEST:
        return ""
    if all(_ended_alone(incident) for incident in found):
        seconds = statistics.median(
            (incident.closed_at - incident.opened_at).total_seconds()
            for incident in found
            if incident.closed_at
        )
        return (
            f"{alert}: all {count} incidents ended without an action or an acknowledgement, after "
            f"a median of {duration(seconds)}. Raise the rule's `for`."
        )
    attempted = [incident for incident in found if incident.attempted_at is not None]
    helped = sum(incident.verified for incident in attempted)
    if len(attempted) >= FEWEST and helped < len(attempted) / 2:
        return (
            f"{alert}: its steps helped in {helped} of {len(attempted)} incidents. Change the "
            "steps of the runbook."
        )
    if helped >= OFTEN:
        return f"{alert}: remediated {helped} times. Fix the recurring cause."
    return ""


def _ended_alone(incident: IncidentTimes) -> bool:
    answered = (incident.attempted_at, incident.acknowledged_at, incident.escalated_at)
    return incident.closed_at is not None and all(at is None for at in answered)
