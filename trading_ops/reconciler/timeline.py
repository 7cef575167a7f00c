"""An incident's timeline, and its status while it is open."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from trading_ops.domain.acknowledgement import (
    ACKNOWLEDGED,
    NEW,
    SNOOZED,
    Acknowledgement,
    AcknowledgementKind,
)
from trading_ops.domain.attempt import Attempt
from trading_ops.domain.decision import GlobalLimits, Pause, Reason
from trading_ops.domain.incident import Incident
from trading_ops.store import (
    Connection,
    acknowledgements,
    attempts,
    events,
    incidents,
    maintenance,
    search,
)

BEFORE = timedelta(minutes=2)
"""Include agent monitor events from this long before the incident was opened."""

BESIDE = frozenset(
    {
        "agent_answered",
        "agent_unresponsive",
        "agent_not_stopped",
        "agent_stopped",
        "decided_wait",
        "hold_acknowledged",
        "hold_adopted",
        "hold_placed",
        "hold_release_requested",
        "hold_released",
        "hold_stored",
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
    events: tuple[events.TimelineEvent, ...]


def read_timeline(connection: Connection, *, key: str) -> Timeline | None:
    """Return the timeline of the incident with this ID (or its only match as a prefix), or None."""
    incident = incidents.find(connection, key)
    if incident is None:
        return None
    found = events.of_incident(connection, incident.id)
    if incident.target is not None:
        found += events.about_target(
            connection,
            incident.target,
            kinds=BESIDE,
            since=incident.opened_at - BEFORE,
            until=incident.closed_at,
        )
    return Timeline(
        incident=incident,
        attempts=tuple(attempts.of_incident(connection, incident.id)),
        events=tuple(sorted(found, key=lambda event: event.seq)),
    )


@dataclass(frozen=True, kw_only=True)
class IncidentStatus:
    """The status, derived from the store."""

    state: str
    """`acknowledged`, `snoozed`, `new` before the first decision, or the last decision's reason;
    `escalated` after escalation."""

    owner: str | None = None
    """Who acknowledged or snoozed it."""

    until: datetime | None = None
    """End of a snooze or a pause, or when a flapping alert counts as quiet."""

    note: str = ""
    """The operator's or the decision's note."""


def read_statuses(
    connection: Connection, incidents: Sequence[Incident], *, now: datetime
) -> dict[str, IncidentStatus]:
    """Return the status of each open one of these incidents, by id."""
    still_open = [incident for incident in incidents if incident.is_open]
    if not still_open:
        return {}
    acks = acknowledgements.active(connection)
    last = search.last_decisions(connection, [incident.id for incident in still_open])
    pause = maintenance.current_pause(connection, now=now)
    return {
        incident.id: _of_acknowledgement(acks[incident.id])
        if incident.id in acks
        else _of_decision(incident, last.get(incident.id), pause)
        for incident in still_open
    }


def _of_acknowledgement(ack: Acknowledgement) -> IncidentStatus:
    snoozed = ack.kind is AcknowledgementKind.SNOOZE
    return IncidentStatus(
        state=SNOOZED if snoozed else ACKNOWLEDGED,
        owner=ack.owner,
        until=ack.until if snoozed else None,  # an acknowledgement is renewed
        note=ack.note,
    )


def _of_decision(
    incident: Incident, last: search.LastDecision | None, pause: Pause | None
) -> IncidentStatus:
    waits = last is not None and last.kind == "decided_wait"
    if incident.escalated_at is not None and not waits:
        return IncidentStatus(state=Reason.ESCALATED.value, note=last.note if last else "")
    if last is None:
        return IncidentStatus(state=NEW)
    until = None
    if last.reason == Reason.PAUSED and pause is not None:
        until = pause.expires_at
    elif last.reason == Reason.FLAPPING and incident.quiet_since is not None:
        until = incident.quiet_since + GlobalLimits().flap_quiet
    return IncidentStatus(state=last.reason, until=until, note=last.note)
