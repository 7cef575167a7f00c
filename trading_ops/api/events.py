"""The event log: search and counts; and recovery times."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import msgspec

from trading_ops import clock
from trading_ops.api.requests import Count, Key, Limit, Moment, invalid
from trading_ops.errors import StoreError
from trading_ops.store import Connection, search
from trading_ops.store.events import TimelineEvent
from trading_ops.store.reader import Reader
from trading_ops.store.search import EventCount, TimeRange

DAY = timedelta(days=1)
MONTH = timedelta(days=30)
KEEP_SECONDS = 10.0
"""Seconds for which recovery times are cached: they read a month of incidents."""


class EventQuery(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Filters and page; with `after`, events after that number, oldest first."""

    kind: Key | None = None
    reason: Key | None = None
    incident: Key | None = None
    attempt: Key | None = None
    actor: Key | None = None
    target: Key | None = None
    since: Moment | None = None
    until: Moment | None = None
    after: Count | None = None
    before: Count | None = None
    limit: Limit = 100


class EventPage(msgspec.Struct, kw_only=True):
    """Events, newest first; with `after` oldest first."""

    events: list[TimelineEvent]
    next: int | None
    """`before` (or `after`) of the next page; null: last page."""


class SpanQuery(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Period; by default the last day, or for recovery the last 30 days."""

    since: Moment | None = None
    until: Moment | None = None


class EventSummary(msgspec.Struct, kw_only=True):
    """Number of events by kind and reason, most frequent first."""

    since: datetime
    until: datetime
    total: int
    counts: list[EventCount]


class SpreadView(msgspec.Struct, kw_only=True):
    """Distribution of durations in seconds; all null without data."""

    count: int
    mean_seconds: float | None
    median_seconds: float | None
    p95_seconds: float | None
    worst_seconds: float | None


class AlertTimesView(msgspec.Struct, kw_only=True):
    """The incidents of one alert: MTTA is `first_response`, MTTR is `close`."""

    alert: str
    incidents: int
    open: int
    remediated: int
    """Closed after a verified attempt, without paging on-call."""

    escalated: int
    first_response: SpreadView
    close: SpreadView


class RecoveryView(msgspec.Struct, kw_only=True):
    """Incidents opened in a period: in total and by alert."""

    since: datetime
    until: datetime
    total: AlertTimesView
    alerts: list[AlertTimesView]


class EventRoutes:
    """Handlers of `events` and `recovery`, except the stream."""

    def __init__(self, reader: Reader, recovery_times: Callable[..., Any]) -> None:
        """Set `reports.recovery_times`, whose values `RecoveryView` shows."""
        self._reader = reader
        self._recovery_times = recovery_times
        self._recovery: asyncio.Task[RecoveryView] | None = None
        self._recovery_at = 0.0

    async def search(self, query: EventQuery) -> EventPage:
        """Return events: what was received, decided, done or requested."""
        if query.after is not None and query.before is not None:
            invalid("`after` and `before` are mutually exclusive")
        found = await self._reader.read(
            partial(
                search.find_events,
                kind=query.kind,
                reason=query.reason,
                incident_id=query.incident,
                attempt_id=query.attempt,
                actor=query.actor,
                target=query.target,
                span=TimeRange(since=query.since, until=query.until),
                after=query.after,
                before=query.before,
                limit=query.limit + 1,
            )
        )
        page = found[: query.limit]
        more = len(found) > query.limit
        return EventPage(events=page, next=page[-1].seq if more else None)

    async def summary(self, query: SpanQuery) -> EventSummary:
        """Return the number of events by kind and reason."""
        since, until = _span(query, DAY)
        span = TimeRange(since=since, until=until)
        counts = await self._reader.read(partial(search.count_events, span=span))
        total = sum(count.count for count in counts)
        return EventSummary(since=since, until=until, total=total, counts=counts)

    async def recovery(self, query: SpanQuery) -> RecoveryView:
        """Return the times to first response and to close, by alert (MTTA, MTTR)."""
        if query.since is not None or query.until is not None:
            return await self._read_recovery(query)
        # Cached: it reads every incident of a month.
        if self._recovery is None or clock.monotonic() - self._recovery_at > KEEP_SECONDS:
            self._recovery_at = clock.monotonic()
            self._recovery = asyncio.create_task(self._read_recovery(query))
        reading = self._recovery
        try:
            return await asyncio.shield(reading)
        except StoreError:
            if self._recovery is reading:
                self._recovery = None
            raise

    async def _read_recovery(self, query: SpanQuery) -> RecoveryView:
        since, until = _span(query, MONTH)

        def recovery(connection: Connection) -> Any:
            return self._recovery_times(connection, since=since, until=until)

        times = await self._reader.read(recovery)
        return msgspec.convert(times, RecoveryView, from_attributes=True)


def _span(query: SpanQuery, length: timedelta) -> tuple[datetime, datetime]:
    until = query.until or clock.now()
    try:
        since = query.since or until - length
    except OverflowError:
        invalid("`until` is out of range")
    if since > until:
        invalid("`since` must be before `until`")
    return since, until
