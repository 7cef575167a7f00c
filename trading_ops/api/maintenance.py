"""Maintenance windows: list, begin and end."""

from datetime import timedelta
from functools import partial
from typing import Annotated

import msgspec

from trading_ops import clock, logs
from trading_ops.api.requests import GREATEST, Key, Moment, Person, Text, invalid, not_found
from trading_ops.api.tokens import Identity
from trading_ops.domain.maintenance import LONGEST, Maintenance
from trading_ops.domain.target import Registry
from trading_ops.store import maintenance
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


class EndQuery(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Operator who ends it."""

    owner: Person | None = None


class WindowPage(msgspec.Struct, kw_only=True):
    """Open and scheduled windows, next one first."""

    maintenance: list[Maintenance]


class MaintenanceRoutes:
    """Handlers of `maintenance`."""

    def __init__(self, writer: Writer, reader: Reader, registry: Registry) -> None:
        self._writer = writer
        self._reader = reader
        self._registry = registry

    async def show(self) -> WindowPage:
        """Return the open and scheduled windows."""
        found = await self._reader.read(partial(maintenance.planned, now=clock.now()))
        return WindowPage(maintenance=found)

    async def begin(self, identity: Identity, body: WindowRequest) -> Maintenance:
        """Begin or schedule a window: automation does not act on the target during it."""
        if body.target is not None and self._registry.find(body.target) is None:
            invalid("`target` must be a name in targets.yml, or omitted for the whole fleet")
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
        log.info("maintenance_ordered", id=stored.id, target=stored.target, owner=stored.owner)
        return stored

    async def end(self, identity: Identity, id: str, query: EndQuery) -> Maintenance:  # noqa: A002
        """End a window early, or cancel a scheduled one."""
        known = id.isascii() and id.isdecimal() and len(id) < len(str(GREATEST))
        if not known:
            not_found("window not found")
        owner = identity.actor(query.owner)
        change = partial(maintenance.end, key=int(id), owner=owner, now=clock.now())
        ended = await self._writer.run(change)
        if ended is None:
            not_found("this window has already ended")
        log.info("maintenance_ended", id=ended.id, target=ended.target, owner=owner)
        return ended
