"""Creates messages from events and maintenance windows.

Each message has a key derived from its source only, so that it is stored once, even if several
replicas find it.
"""

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from trading_ops.domain.approval import ApprovalState
from trading_ops.domain.attempt import Attempt
from trading_ops.domain.message import Message, MessageKind, Severity
from trading_ops.notify.rendering import duration
from trading_ops.reconciler.timeline import Timeline, read_timeline
from trading_ops.store import Connection, approvals, events, holds, maintenance, search
from trading_ops.store.search import TimeRange

SOURCE = "events"
AT_ONCE = 500
"""Events per transaction."""

FRESH = timedelta(hours=24)
"""Maximum age: older events are not announced, for example after messages were off."""


def read_messages(
    connection: Connection, was: int | None, *, now: datetime
) -> tuple[int, list[Message]]:
    """Return the position after reading, and the messages about the new events.

    Args:
        connection: to read from.
        was: the previous position; None: start with new events only.
        now: the current time; much older events are skipped.
    """
    if was is None:
        return events.head(connection), []
    found = events.since(connection, was, limit=AT_ONCE)
    made = [
        message
        for event in found
        if now - event.at <= FRESH and (message := _announced(connection, event)) is not None
    ]
    return (found[-1].seq if found else was), made


def window_messages(connection: Connection, *, since: datetime, now: datetime) -> list[Message]:
    """Return messages about windows that started or ended since a time; these have no events."""
    found = []
    for window in maintenance.touching(connection, since=since, until=now):
        bounds = (("begins", window.begins_at), ("ends", window.ends_at))
        for change, at in bounds:
            if not since < at <= now or window.ends_at <= window.begins_at:
                continue
            where = window.target or "the whole fleet"
            found.append(
                Message(
                    key=f"maintenance:{window.id}:{change}",
                    kind=MessageKind.MAINTENANCE,
                    severity=Severity.INFO,
                    bot=window.target,
                    at=at,
                    subject=f"Maintenance {change}: {where}",
                    facts={
                        "Target": where,
                        "Reason": window.reason,
                        "Owner": window.owner,
                        "From": window.begins_at,
                        "Until": window.ends_at,
                    },
                )
            )
    return found


def _announced(connection: Connection, event: events.TimelineEvent) -> Message | None:
    make = _MAKERS.get(event.kind)
    return None if make is None else make(connection, event)


def _closed(connection: Connection, event: events.TimelineEvent) -> Message | None:
    timeline = read_timeline(connection, key=event.incident_id or "-")
    if timeline is None or timeline.incident.closed_at is None:
        return None
    incident = timeline.incident
    ended = incident.closed_at or event.at
    seconds = max(0.0, (ended - incident.starts_at).total_seconds())
    name = f"{incident.target}: {incident.alert}" if incident.target else incident.alert
    return Message(
        key=f"closed:{incident.id}",
        kind=MessageKind.RECOVERY,
        severity=_severity(incident.labels.get("severity", "")),
        bot=incident.target,
        at=event.at,
        subject=f"{name} ended after {duration(seconds)}",
        facts={
            "alert": incident.alert,
            "target": incident.target,
            "summary": incident.annotations.get("summary", ""),
            "began": incident.starts_at,
            "ended": ended,
            "seconds": seconds,
            "reason": incident.close_reason or "",
            "steps": [_step(attempt) for attempt in timeline.attempts],
            "open": _still_open(connection, timeline),
            "incident": incident.id[:8],
        },
    )


def _step(attempt: Attempt) -> str:
    took = ""
    if attempt.ended_at is not None:
        took = f" after {duration((attempt.ended_at - attempt.started_at).total_seconds())}"
    detail = f": {attempt.detail}" if attempt.detail else ""
    return f"{attempt.action} on {attempt.target}: {attempt.state}{took}{detail}"


def _still_open(connection: Connection, timeline: Timeline) -> list[str]:
    """Return what is still open: holds of the target, and its other open incidents."""
    incident = timeline.incident
    if incident.target is None:
        return []
    held = [
        f"{hold.target} is {hold.state} by {hold.owner}: {hold.reason}"
        for hold in holds.active(connection, incident.target)
    ]
    others = search.find_incidents(
        connection, only_open=True, target=incident.target, span=TimeRange(), limit=10
    )
    return held + [f"incident {other.alert} ({other.id[:8]})" for other in others]


def _approval(connection: Connection, event: events.TimelineEvent) -> Message | None:
    request = approvals.find(connection, str(_after(event).get("id", "-")))
    if request is None or request.state is not ApprovalState.PENDING:
        return None
    return Message(
        key=f"approval:{request.id}",
        kind=MessageKind.APPROVAL,
        severity=Severity.CRITICAL,
        bot=request.target,
        at=event.at,
        subject=f"Approval waiting: {request.action} on {request.target}",
        facts={
            "id": request.id[:8],
            "action": request.action,
            "target": request.target,
            "params": " ".join(f"{key}={value}" for key, value in request.params.items()) or "none",
            "requested_by": request.requested_by,
            "expires": request.expires_at,
        },
    )


def _hold(_connection: Connection, event: events.TimelineEvent) -> Message:
    after = _after(event)
    target = str(after.get("target", ""))
    released = event.kind == "hold_released"
    return Message(
        key=f"event:{event.seq}",
        kind=MessageKind.HOLD,
        severity=Severity.INFO if released else Severity.WARNING,
        bot=target or None,
        at=event.at,
        subject=f"Hold {'released' if released else 'placed'}: {event.note}",
        facts={"Target": target, "By": event.actor, "Hold": event.note},
    )


def _pause(_connection: Connection, event: events.TimelineEvent) -> Message:
    begins = event.kind == "paused"
    change = "paused" if begins else "resumed"
    facts: dict[str, Any] = {"By": event.actor}
    if begins:
        facts |= {"Reason": event.note, "Until": _moment(_after(event).get("expires_at"))}
    return Message(
        key=f"event:{event.seq}",
        kind=MessageKind.PAUSE,
        severity=Severity.WARNING if begins else Severity.INFO,
        bot=None,
        at=event.at,
        subject=f"Automation {change} by {event.actor}",
        facts=facts,
    )


def _planned(_connection: Connection, event: events.TimelineEvent) -> Message:
    after = _after(event)
    return Message(
        key=f"event:{event.seq}",
        kind=MessageKind.MAINTENANCE,
        severity=Severity.INFO,
        bot=after.get("target"),
        at=event.at,
        subject=f"Maintenance planned: {event.note}",
        facts={
            "Target": event.note,
            "Reason": event.reason,
            "Owner": event.actor,
            "From": _moment(after.get("begins_at")),
            "Until": _moment(after.get("ends_at")),
        },
    )


def _readiness(_connection: Connection, event: events.TimelineEvent) -> Message:
    after = _after(event)
    severity, what = _READINESS[event.kind]
    return Message(
        key=f"event:{event.seq}",
        kind=MessageKind.READINESS,
        severity=severity,
        bot=after.get("bot"),
        at=event.at,
        subject=f"Readiness {what}: {event.note}",
        facts={
            "Target": after.get("bot"),
            "Stage and evidence": event.note,
            "State": after.get("state"),
            "Hours": after.get("hours"),
        },
    )


_READINESS = {
    "readiness_restarted": (Severity.WARNING, "hours start again"),
    "readiness_stepped_back": (Severity.CRITICAL, "stepped back"),
    "readiness_advanced": (Severity.INFO, "stage passed"),
    "readiness_passed": (Severity.INFO, "stage passed"),
}

_MAKERS: Mapping[str, Callable[[Connection, events.TimelineEvent], Message | None]] = {
    "closed": _closed,
    "approval_requested": _approval,
    "hold_placed": _hold,
    "hold_adopted": _hold,
    "hold_reapplied": _hold,
    "hold_released": _hold,
    "paused": _pause,
    "unpaused": _pause,
    "maintenance_planned": _planned,
    **dict.fromkeys(_READINESS, _readiness),
}


def _after(event: events.TimelineEvent) -> dict[str, Any]:
    found = json.loads(event.after) if event.after else {}
    return found if isinstance(found, dict) else {}


def _severity(label: str) -> Severity:
    return Severity(label) if label in set(Severity) else Severity.WARNING


def _moment(text: Any) -> datetime | str:
    return datetime.fromisoformat(text) if text else "not set"
