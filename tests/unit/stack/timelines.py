"""Incident timelines, and a fake reconciler that returns them."""

from collections.abc import Sequence
from datetime import UTC, datetime

from trading_ops.clients.reconciler_views import AttemptView, IncidentView, TimelineView

AT = datetime(2026, 5, 4, tzinfo=UTC)


def attempt(action: str, delivery: str = "one_shot") -> AttemptView:
    """Return one attempt."""
    return AttemptView(
        id="1",
        action=action,
        target="alpha",
        state="failed",
        started_at=AT,
        ended_at=AT,
        verified_at=None,
        detail="",
        delivery=delivery,
    )


def timeline(alert: str, *attempts: AttemptView) -> TimelineView:
    """Return an incident with its attempts."""
    incident = IncidentView(
        id=alert,
        alert=alert,
        target="alpha",
        labels={},
        starts_at=AT,
        received_at=AT,
        opened_at=AT,
        escalated_at=None,
        closed_at=None,
        close_reason=None,
    )
    return TimelineView(incident=incident, attempts=list(attempts), events=[])


class StoredTimelines:
    """A fake reconciler with incidents."""

    def __init__(self, timelines: Sequence[TimelineView]) -> None:
        """Take them."""
        self._timelines = {view.incident.id: view for view in timelines}

    async def incidents(self, **filters: str) -> list[IncidentView]:
        """Return those of the target."""
        assert filters["target"] == "alpha"
        return [view.incident for view in self._timelines.values()]

    async def timeline(self, key: str) -> TimelineView:
        """Return one."""
        return self._timelines[key]
