"""Maintenance windows: list, begin and end, once or recurring."""

from datetime import datetime, timedelta
from functools import partial
from typing import Annotated

import msgspec

from trading_ops import clock, logs
from trading_ops.api.auth import Identity
from trading_ops.api.requests import GREATEST, Key, Moment, Person, Text, invalid, not_found
from trading_ops.domain.maintenance import LONGEST, Maintenance, RecurringWindow
from trading_ops.domain.target import Registry
from trading_ops.errors import ConfigError
from trading_ops.jobs.windows import ordered
from trading_ops.store import Connection, maintenance
from trading_ops.store.reader import Reader
from trading_ops.store.writer import Writer

log = logs.get(__name__)


class WindowRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Target, reason, start (default: now) and duration."""

    target: Key | None = None
    """None: the whole fleet."""

    reason: Text
    begins_at: Moment | None = None
    seconds: Annotated[float, msgspec.Meta(gt=0, le=LONGEST // timedelta(seconds=1))]
    owner: Person | None = None


class RecurringRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Target, reason, schedule and duration."""

    target: Key | None = None
    """None: the whole fleet."""

    reason: Text
    every: Text
    """`Sun 02:00`, `Mon-Fri 06:30`, `day 04:00`, or a cron expression."""

    zone: Text = "UTC"
    """IANA time zone of `every`."""

    seconds: Annotated[int, msgspec.Meta(gt=0, le=LONGEST // timedelta(seconds=1))]
    owner: Person | None = None


class HistoryQuery(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Which windows, and how many."""

    target: Key | None = None
    """Only windows of this target and of the fleet."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 50


class EndQuery(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Operator who ends it."""

    owner: Person | None = None


class WindowPage(msgspec.Struct, kw_only=True):
    """Open and scheduled windows, next one first; and what recurs."""

    maintenance: list[Maintenance]
    recurring: list[RecurringWindow]
    """Created by operators; those of maintenance.yml are not listed, but their windows are."""


class HistoryPage(msgspec.Struct, kw_only=True):
    """Past and cancelled windows, newest first."""

    maintenance: list[Maintenance]


class MaintenanceRoutes:
    """Handlers of `maintenance`."""

    def __init__(self, writer: Writer, reader: Reader, registry: Registry) -> None:
        self._writer = writer
        self._reader = reader
        self._registry = registry

    async def show(self) -> WindowPage:
        """Return the open, scheduled and recurring windows."""
        return await self._reader.read(partial(_page, now=clock.now()))

    async def history(self, query: HistoryQuery) -> HistoryPage:
        """Return the windows that have ended or were cancelled, newest first."""
        read = partial(maintenance.history, target=query.target, limit=query.limit, now=clock.now())
        return HistoryPage(maintenance=await self._reader.read(read))

    async def begin(self, identity: Identity, body: WindowRequest) -> Maintenance:
        """Begin or schedule a window: automation does not act on the target during it."""
        self._check(body.target)
        now = clock.now()
        begins_at = body.begins_at or now
        try:
            ends_at = begins_at + timedelta(seconds=body.seconds)
        except OverflowError:
            invalid("`begins_at` is out of range")
        window = Maintenance(
            target=body.target,
            owner=identity.actor(body.owner),
            reason=body.reason,
            begins_at=begins_at,
            ends_at=ends_at,
        )
        stored = await self._writer.run(partial(maintenance.begin, window=window, now=now))
        log.info("maintenance_created", id=stored.id, target=stored.target, owner=stored.owner)
        return stored

    async def end(self, identity: Identity, id: str, query: EndQuery) -> Maintenance:  # noqa: A002
        """End a window early, or cancel a scheduled one."""
        owner = identity.actor(query.owner)
        change = partial(maintenance.end, key=_number(id), owner=owner, now=clock.now())
        ended = await self._writer.run(change)
        if ended is None:
            not_found("this window has already ended")
        log.info("maintenance_ended", id=ended.id, target=ended.target, owner=owner)
        return ended

    async def recur(self, identity: Identity, body: RecurringRequest) -> RecurringWindow:
        """Create a recurring window; its next window is always scheduled."""
        self._check(body.target)
        now = clock.now()
        order = RecurringWindow(
            target=body.target,
            owner=identity.actor(body.owner),
            reason=body.reason,
            every=body.every,
            zone=body.zone,
            seconds=body.seconds,
            created_at=now,
        )
        try:
            ordered(order)
        except ConfigError as error:
            name = "seconds" if error.key == "for" else error.key
            invalid(f"`{name}`: {error.problem}; {error.fix}")
        stored = await self._writer.run(partial(_recur, order=order, now=now))
        log.info(
            "recurring_maintenance_created", id=stored.id, target=stored.target, owner=stored.owner
        )
        return stored

    async def end_recurring(
        self,
        identity: Identity,
        id: str,  # noqa: A002
        query: EndQuery,
    ) -> RecurringWindow:
        """End a recurring window, with its open and scheduled windows."""
        owner = identity.actor(query.owner)
        change = partial(maintenance.end_recurring, key=_number(id), owner=owner, now=clock.now())
        ended = await self._writer.run(change)
        if ended is None:
            not_found("this recurring window has already ended")
        log.info("recurring_maintenance_ended", id=ended.id, target=ended.target, owner=owner)
        return ended

    def _check(self, target: str | None) -> None:
        if target is not None and self._registry.find(target) is None:
            invalid("`target` must be a name in targets.yml, or omitted for the whole fleet")


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < len(str(GREATEST))):
        not_found("window not found")
    return int(text)


def _page(connection: Connection, *, now: datetime) -> WindowPage:
    return WindowPage(
        maintenance=maintenance.planned(connection, now=now),
        recurring=maintenance.recurring(connection),
    )


def _recur(connection: Connection, *, order: RecurringWindow, now: datetime) -> RecurringWindow:
    """Store it with its first window, which the scheduler would plan in its next pass."""
    stored = maintenance.order_recurring(connection, order)
    if (window := ordered(stored).next(now)) is not None:
        maintenance.begin_once(connection, window, now=now)
    return stored
