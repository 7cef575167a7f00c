"""The whole story of one incident, read at one moment."""

from dataclasses import dataclass

from trading_ops.domain.attempt import Attempt
from trading_ops.domain.incident import Incident
from trading_ops.store import Connection, attempts, events, incidents


@dataclass(frozen=True, kw_only=True)
class Story:
    """An incident with its attempts and its events, oldest first."""

    incident: Incident
    attempts: tuple[Attempt, ...]
    events: tuple[events.Event, ...]


def read_story(connection: Connection, *, key: str) -> Story | None:
    """Return the story of the incident with this id (or the only one that begins so), or None."""
    incident = incidents.find(connection, key)
    if incident is None:
        return None
    return Story(
        incident=incident,
        attempts=tuple(attempts.of_incident(connection, incident.id)),
        events=tuple(events.of_incident(connection, incident.id)),
    )
