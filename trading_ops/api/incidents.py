"""Incidents: list, timeline, acknowledgements, and resolving by hand."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Annotated, Literal

import msgspec

from trading_ops import clock
from trading_ops.api.auth import Identity
from trading_ops.api.automation import AutomationRequest
from trading_ops.api.requests import (
    Cursor,
    Key,
    Limit,
    Moment,
    Note,
    Person,
    Selected,
    invalid,
    not_found,
    place_of,
)
from trading_ops.domain.acknowledgement import SNOOZED_AT_MOST, AcknowledgementKind
from trading_ops.domain.decision import Close, Reason
from trading_ops.domain.incident import Incident
from trading_ops.domain.observation import AlertSnapshot, why_not_resolvable
from trading_ops.domain.target import Registry
from trading_ops.errors import RequestRefused
from trading_ops.reconciler.acknowledgements import Acknowledged, AcknowledgementSync
from trading_ops.reconciler.timeline import IncidentStatus, Timeline, read_statuses, read_timeline
from trading_ops.store import Connection, incidents, search
from trading_ops.store.reader import Reader
from trading_ops.store.search import PagePosition, TimeRange
from trading_ops.store.writer import Writer

UNKNOWN = "no incident matches this ID, or the prefix is ambiguous"


class IncidentQuery(Selected, forbid_unknown_fields=True, kw_only=True):
    """Filters and page of the list."""

    open: bool = False
    target: Key | None = None
    alertname: Key | None = None
    since: Moment | None = None
    until: Moment | None = None
    limit: Limit = 100
    cursor: Cursor | None = None


class IncidentPage(msgspec.Struct, kw_only=True):
    """Incidents, newest first."""

    incidents: list[Incident]
    next: str | None
    """Cursor of the next page; null: last page."""

    statuses: dict[str, IncidentStatus] = {}
    """Status of the open incidents by id: who acknowledged it, or why automation waits."""


class AcknowledgeRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Who acknowledges it; a snooze also needs a duration."""

    kind: Literal["acknowledge", "snooze"] = "acknowledge"
    seconds: (
        Annotated[float, msgspec.Meta(gt=0, le=SNOOZED_AT_MOST // timedelta(seconds=1))] | None
    ) = None
    note: Note = ""
    owner: Person | None = None


class WithdrawQuery(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Operator who removes the acknowledgement."""

    owner: Person | None = None


class AcknowledgementView(msgspec.Struct, kw_only=True):
    """An acknowledgement."""

    id: int
    incident_id: str
    kind: AcknowledgementKind
    owner: str
    note: str
    at: datetime
    until: datetime
    ended_at: datetime | None
    silence_id: str | None
    trouble: str | None
    """Why Alertmanager does not have its silence yet; null: it does."""


class IncidentRoutes:
    """Handlers of `incidents`."""

    def __init__(
        self,
        reader: Reader,
        writer: Writer,
        registry: Registry,
        acknowledging: AcknowledgementSync,
        snapshot: Callable[[], AlertSnapshot | None],
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._registry = registry
        self._acknowledging = acknowledging
        self._snapshot = snapshot

    async def search(self, query: IncidentQuery) -> IncidentPage:
        """Return incidents, newest first."""
        find = partial(
            search.find_incidents,
            only_open=query.open,
            target=query.target,
            targets=query.names(self._registry),
            alert=query.alertname,
            span=TimeRange(since=query.since, until=query.until),
            after=place_of(query.cursor),
            limit=query.limit + 1,
        )

        def read(connection: Connection) -> IncidentPage:
            page = incident_page(find(connection), query.limit)
            page.statuses = read_statuses(connection, page.incidents, now=clock.now())
            return page

        return await self._reader.read(read)

    async def show(self, id: str) -> Timeline:  # noqa: A002 - name of the path parameter
        """Return one incident with its attempts and events."""
        timeline = await self._reader.read(partial(read_timeline, key=id))
        if timeline is None:
            not_found(UNKNOWN)
        return timeline

    async def acknowledge(
        self,
        identity: Identity,
        id: str,  # noqa: A002
        body: AcknowledgeRequest,
    ) -> AcknowledgementView:
        """Acknowledge or snooze an incident: pages and automatic steps stop for it."""
        kind = AcknowledgementKind(body.kind)
        if kind is AcknowledgementKind.SNOOZE and body.seconds is None:
            invalid("`seconds` is missing: a snooze needs a duration")
        if kind is AcknowledgementKind.ACKNOWLEDGE and body.seconds is not None:
            invalid("`seconds` is only for a snooze: an acknowledgement lasts until it is removed")
        done = await self._acknowledging.acknowledge(
            (await self._find(id)).id,
            kind=kind,
            owner=identity.actor(body.owner),
            note=body.note,
            for_=None if body.seconds is None else timedelta(seconds=body.seconds),
        )
        return _view(done)

    async def unacknowledge(
        self,
        identity: Identity,
        id: str,  # noqa: A002
        query: WithdrawQuery,
    ) -> AcknowledgementView:
        """Remove the acknowledgement of an incident: pages and automatic steps continue."""
        found = await self._find(id)
        owner = identity.actor(query.owner)
        return _view(await self._acknowledging.unacknowledge(found.id, owner=owner))

    async def resolve(
        self,
        identity: Identity,
        id: str,  # noqa: A002
        body: AutomationRequest,
    ) -> Incident:
        """Close an incident whose alert no longer fires in Prometheus.

        Refused while the alert is pending or firing, and while an attempt is running. If the alert
        fires again, a new incident opens.
        """
        found = await self._find(id)
        if not found.is_open:
            raise RequestRefused(f"incident {found.id} is already closed")
        if refusal := why_not_resolvable(found, self._snapshot()):
            raise RequestRefused(f"incident {found.id} cannot be resolved: {refusal}")
        decision = Close(reason=Reason.RESOLVED_BY_OPERATOR, note=body.reason)
        actor, now = identity.actor(body.owner), clock.now()
        close = partial(incidents.close, key=found.id, decision=decision, now=now, actor=actor)
        if not await self._writer.run(close):
            raise RequestRefused(
                f"incident {found.id} cannot be resolved: an attempt is running, or it was just "
                "closed; see its timeline and retry"
            )
        return await self._find(found.id)

    async def _find(self, key: str) -> Incident:
        found = await self._reader.read(partial(incidents.find, key=key))
        if found is None:
            not_found(UNKNOWN)
        return found


def incident_page(found: list[Incident], limit: int) -> IncidentPage:
    """Return a page, given one incident more than fits if there is a next page."""
    page = found[:limit]
    more = len(found) > limit
    place = str(PagePosition(page[-1].opened_at, page[-1].id)) if more else None
    return IncidentPage(incidents=page, next=place)


def _view(done: Acknowledged) -> AcknowledgementView:
    ack = done.acknowledgement
    return AcknowledgementView(
        id=ack.id,
        incident_id=ack.incident_id,
        kind=ack.kind,
        owner=ack.owner,
        note=ack.note,
        at=ack.at,
        until=ack.until,
        ended_at=ack.ended_at,
        silence_id=ack.silence_id,
        trouble=done.error,
    )
