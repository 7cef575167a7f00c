"""Prints the timeline of one incident, in 80 columns.

Labels, notes and details come from outside: control characters are escaped.
"""

import json
import textwrap
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from trading_ops.cli.times import moment
from trading_ops.clients.reconciler_views import AttemptView, EventView, IncidentView, TimelineView
from trading_ops.domain.attempt import LAST_LINES

WIDTH = 80
INDENT = " " * 31
LOG_INDENT = " " * 5

# Shown by the lines of the attempt or incident already.
_TOLD_ELSEWHERE = frozenset({"opened", "closed", "escalated", "started"})


def tell(timeline: TimelineView) -> Iterator[str]:
    """Yield the lines of a timeline: the incident, its events and its attempts."""
    yield from _heading(timeline.incident)
    yield ""
    yield "Timeline, in seconds since it was received"
    attempts = {attempt.id for attempt in timeline.attempts}
    for event in timeline.events:
        yield from _event(event, timeline.incident.received_at, attempts)
    yield ""
    yield "Attempts" if timeline.attempts else "Attempts: none"
    for number, attempt in enumerate(timeline.attempts, 1):
        yield from _attempt(number, attempt)


def _heading(incident: IncidentView) -> Iterator[str]:
    yield plain(f"{incident.alert} on {incident.target or 'no target'}: {_state(incident)}")
    yield from _field("id", incident.id)
    labels = {key: value for key, value in incident.labels.items() if key != "alertname"}
    yield from _field("labels", _pairs(labels))
    if summary := incident.annotations.get("summary"):
        yield from _field("summary", summary)
    yield from _field("fires since", moment(incident.starts_at))
    yield from _field("opened", moment(incident.opened_at))
    if incident.escalated_at:
        yield from _field("on-call", f"since {moment(incident.escalated_at)}")
    if incident.closed_at:
        took = _length((incident.closed_at - incident.opened_at).total_seconds())
        yield from _field("closed", f"{moment(incident.closed_at)}, after {took}")


def _state(incident: IncidentView) -> str:
    if incident.closed_at:
        return f"closed ({incident.close_reason})"
    return "open, escalated" if incident.escalated_at else "open"


def _event(event: EventView, begin: datetime, attempts: set[str]) -> Iterator[str]:
    seconds = (event.at - begin).total_seconds()
    if event.kind == LAST_LINES:
        yield f"{_offset(seconds):>12}  {plain(event.kind)}"
        for line in event.note.splitlines():
            yield from _wrapped(LOG_INDENT, line, f"{LOG_INDENT}  ")
        return
    text = " ".join(filter(None, (event.reason, event.note)))
    if event.actor != "reconciler":
        text = f"{text} (by {event.actor})".strip()
    kind = plain(event.kind)
    head = f"{_offset(seconds):>12}  {kind:<16} "
    yield from _wrapped(head, text, INDENT)
    if event.kind in _TOLD_ELSEWHERE or event.attempt_id in attempts:
        return
    for prefix, values in (("was", event.before), ("now", event.after)):
        if values:
            yield from _wrapped(f"{INDENT}{prefix} ", _pairs(_decoded(values)), f"{INDENT}    ")


def _attempt(number: int, attempt: AttemptView) -> Iterator[str]:
    by = f", requested by {attempt.requested_by}" if attempt.requested_by else ""
    yield plain(f"  {number}. {attempt.action} on {attempt.target}: {attempt.state}{by}")
    yield from _field("id", attempt.id)
    runbook = f"step {attempt.step + 1} of {attempt.runbook}" if attempt.runbook else "none"
    yield from _field("runbook", f"{runbook}, {attempt.delivery}, fence {attempt.fence}")
    if attempt.params:
        yield from _field("with", _pairs(attempt.params))
    yield from _field("started", moment(attempt.started_at))
    if attempt.ended_at:
        took = _length((attempt.ended_at - attempt.started_at).total_seconds())
        yield from _field("ended", f"{moment(attempt.ended_at)}, after {took}")
    if attempt.verified_at:
        took = _length((attempt.verified_at - attempt.started_at).total_seconds())
        yield from _field("verified", f"{moment(attempt.verified_at)}, after {took}")
    if attempt.detail:
        yield from _field("detail", attempt.detail)


def _field(name: str, value: str) -> Iterator[str]:
    yield from _wrapped(f"     {name:<12}", value, " " * 17)


def _wrapped(head: str, text: str, indent: str) -> Iterator[str]:
    lines = textwrap.wrap(
        plain(text), WIDTH, initial_indent=head, subsequent_indent=indent, break_on_hyphens=False
    )
    yield from lines or [head.rstrip()]


def plain(text: str) -> str:
    """Return text with control characters escaped."""
    return "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text
    )


def _pairs(values: Mapping[str, object]) -> str:
    return " ".join(f"{key}={value}" for key, value in values.items()) or "none"


def _decoded(text: str) -> dict[str, object]:
    value = json.loads(text)
    return value if isinstance(value, dict) else {"value": value}


def _offset(seconds: float) -> str:
    """Return an offset in at most 12 columns."""
    if abs(seconds) < 10_000:  # noqa: PLR2004 - what fits
        return f"{seconds:+.3f} s"
    return f"+{_length(seconds)}"


def _length(seconds: float) -> str:
    if seconds < 120:  # noqa: PLR2004 - from two minutes on, minutes read better
        return f"{seconds:.1f} s"
    duration = timedelta(seconds=round(seconds))
    hours, rest = divmod(duration.seconds, 3600)
    days = f"{duration.days}d " if duration.days else ""
    return f"{days}{hours}:{rest // 60:02}:{rest % 60:02}"
