"""The whole timeline of one incident, read at one moment."""

from dataclasses import dataclass
from datetime import timedelta

from trading_ops.domain.attempt import Attempt
from trading_ops.domain.incident import Incident
from trading_ops.store import Connection, attempts, event_log, events, incidents

BEFORE = timedelta(minutes=2)
"""Include agent monitor events from this long before the incident was opened."""

BESIDE = frozenset(
    {
        "agent_answered",
        "agent_silent",
        "agent_spared",
        "agent_stopped",
        "decided_wait",
        "hold_acknowledged",
        "hold_adopted",
        "hold_laid",
        "hold_lift_asked",
        "hold_lifted",
        "hold_settled",
        "hold_withdrawn",
    }
)
"""Event kinds about a target instead of an incident: agent monitor and holds."""


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """An incident with its attempts and its events, oldest first.

    Includes events about its target from shortly before it was opened until it was closed.
    """

    incident: Incident
    attempts: tuple[Attempt, ...]
    events: tuple[events.Event, ...]


def read_timeline(connection: Connection, *, key: str) -> Timeline | None:
    """Return the timeline of the incident with this ID (or its only match as a prefix), or None."""
    incident = incidents.find(connection, key)
    if incident is None:
        return None
    told = event_log.of_incident(connection, incident.id)
    if incident.target is not None:
        told += event_log.about_target(
            connection,
            incident.target,
            kinds=BESIDE,
            since=incident.opened_at - BEFORE,
            until=incident.closed_at,
        )
    return Timeline(
        incident=incident,
        attempts=tuple(attempts.of_incident(connection, incident.id)),
        events=tuple(sorted(told, key=lambda event: event.seq)),
    )
