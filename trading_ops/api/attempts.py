"""Attempts: actions with their times and outcomes."""

from functools import partial

import msgspec

from trading_ops.api.requests import Cursor, Key, Limit, Moment, Selected, not_found, place_of
from trading_ops.domain.attempt import Attempt, AttemptState
from trading_ops.domain.target import Registry
from trading_ops.store import search
from trading_ops.store.events import TimelineEvent
from trading_ops.store.reader import Reader
from trading_ops.store.search import PagePosition, TimeRange


class AttemptQuery(Selected, forbid_unknown_fields=True, kw_only=True):
    """Filters and page of the list."""

    incident: Key | None = None
    target: Key | None = None
    action: Key | None = None
    state: AttemptState | None = None
    since: Moment | None = None
    until: Moment | None = None
    limit: Limit = 100
    cursor: Cursor | None = None


class AttemptPage(msgspec.Struct, kw_only=True):
    """Attempts, newest first."""

    attempts: list[Attempt]
    next: str | None
    """Cursor of the next page; null: last page."""


class AttemptDetail(msgspec.Struct, kw_only=True):
    """One attempt and its events, oldest first."""

    attempt: Attempt
    events: list[TimelineEvent]


class AttemptRoutes:
    """Handlers of `attempts`."""

    def __init__(self, reader: Reader, registry: Registry) -> None:
        self._reader = reader
        self._registry = registry

    async def search(self, query: AttemptQuery) -> AttemptPage:
        """Return attempts, newest first."""
        found = await self._reader.read(
            partial(
                search.find_attempts,
                incident_id=query.incident,
                target=query.target,
                targets=query.names(self._registry),
                action=query.action,
                state=query.state,
                span=TimeRange(since=query.since, until=query.until),
                after=place_of(query.cursor),
                limit=query.limit + 1,
            )
        )
        page = found[: query.limit]
        more = len(found) > query.limit
        place = str(PagePosition(page[-1].started_at, page[-1].id)) if more else None
        return AttemptPage(attempts=page, next=place)

    async def show(self, id: str) -> AttemptDetail:  # noqa: A002 - name of the path parameter
        """Return one attempt with its events."""
        found = await self._reader.read(partial(search.find_attempt, key=id))
        if found is None:
            not_found("attempt not found")
        return AttemptDetail(attempt=found[0], events=found[1])
