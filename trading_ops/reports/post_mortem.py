"""Drafts a post-mortem: the facts of one incident, and headings for the analysis."""

from datetime import datetime

from trading_ops.clients.reconciler_views import TimelineView
from trading_ops.domain.message import one_line

ADD = "_To be written._"
CELL_LIMIT = 300


def draft(timeline: TimelineView) -> str:
    """Return Markdown; labels and notes are escaped."""
    incident = timeline.incident
    end = incident.closed_at
    received = _after(incident.starts_at, incident.received_at)
    lines = [
        f"# Post-mortem: {_cell(incident.alert)}"
        + (f" on {_cell(incident.target)}" if incident.target else ""),
        "",
        "| | |",
        "|---|---|",
        f"| Incident | `{incident.id}` |",
        f"| Severity | {_cell(incident.labels.get('severity', 'none'))} |",
        f"| Alert began | {_moment(incident.starts_at)} |",
        f"| Received | {_moment(incident.received_at)}, {received} after it began |",
        f"| Resolved | {_moment(incident.resolved_at)} |",
        f"| Closed | {_moment(end)}{f', {_cell(incident.close_reason)}' if end else ''} |",
        f"| Duration | {_after(incident.opened_at, end) if end else 'still open'} |",
        f"| On-call paged | {_moment(incident.escalated_at) if incident.escalated_at else 'no'} |",
        "",
        "## Summary",
        "",
        _cell(incident.annotations.get("summary", "")) or ADD,
        "",
        "## Impact",
        "",
        ADD,
        "",
        "## Actions taken",
        "",
        *_attempts(timeline),
        "",
        "## Timeline (UTC)",
        "",
        "| time | event | reason | note | by |",
        "|---|---|---|---|---|",
        *(
            f"| {_moment(event.at)} | {_cell(event.kind.replace('_', ' '))}"
            f" | {_cell(event.reason.replace('_', ' '))} | {_cell(event.note)}"
            f" | {_cell(event.actor)} |"
            for event in timeline.events
        ),
    ]
    for heading in ("Root cause", "What went well", "What went wrong", "Action items"):
        lines += ["", f"## {heading}", "", ADD]
    return "\n".join(lines) + "\n"


def _attempts(timeline: TimelineView) -> list[str]:
    if not timeline.attempts:
        return ["No action was started."]
    rows = [
        f"| {_moment(attempt.started_at)} | {_cell(attempt.action)} | {_cell(attempt.target)}"
        f" | {_cell(attempt.state)} | {_cell(attempt.detail)} |"
        for attempt in timeline.attempts
    ]
    return ["| started | action | target | outcome | detail |", "|---|---|---|---|---|", *rows]


def _moment(at: datetime | None) -> str:
    return "-" if at is None else f"{at:%Y-%m-%d %H:%M:%S}"


def _after(begin: datetime, end: datetime) -> str:
    return f"{(end - begin).total_seconds():.1f} s"


def _cell(text: str | None) -> str:
    """Escape text for a cell of a Markdown table."""
    cell = one_line(text or "", CELL_LIMIT)
    for mark in "\\`*_[]<>|":
        cell = cell.replace(mark, f"\\{mark}")
    return cell
