"""The stages of a drill, as a value that can be printed or stored."""

from dataclasses import dataclass
from datetime import datetime

from trading_ops.clients.reconciler_views import TimelineView


@dataclass(frozen=True, kw_only=True)
class Mark:
    """One stage that was reached."""

    stage: str
    seconds: float
    """Seconds since the injection."""

    note: str = ""


STAGES = (
    "injected",
    "detected",
    "fired",
    "received",
    "decided",
    "acted",
    "done",
    "verified",
    "closed",
)
KINDS = {
    "received": "received",
    "decided_run": "decided",
    "started": "acted",
    "succeeded": "done",
    "failed": "failed",
    "unverified": "unverified",
    "verified": "verified",
    "escalated": "escalated",
    "closed": "closed",
}


def marks(injected: datetime, detected: datetime | None, timeline: TimelineView) -> list[Mark]:
    """Return the stages in chronological order, from the incident timeline."""

    def mark(stage: str, at: datetime, note: str = "") -> Mark:
        return Mark(stage=stage, seconds=(at - injected).total_seconds(), note=note)

    found = [mark("injected", injected)]
    if detected is not None:
        found.append(mark("detected", detected, "Prometheus: pending"))
    found.append(mark("fired", timeline.incident.starts_at, "Prometheus: firing"))
    for event in timeline.events:
        stage = KINDS.get(event.kind)
        if stage is not None:
            note = f"{event.reason} {event.note}".strip() if event.reason else event.note
            found.append(mark(stage, event.at, note))
    return sorted(found, key=lambda step: (step.seconds, _rank(step.stage)))


def _rank(stage: str) -> int:
    return STAGES.index(stage) if stage in STAGES else len(STAGES)
