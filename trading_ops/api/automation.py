"""Automation: pause, resume, and reset a target's budgets."""

from datetime import datetime, timedelta
from functools import partial
from typing import Annotated

import msgspec

from trading_ops import clock, logs
from trading_ops.api.auth import Identity
from trading_ops.api.requests import Count, Person, Text, not_found
from trading_ops.domain.decision import Pause
from trading_ops.domain.target import Registry
from trading_ops.reconciler.metrics import ReconcilerMetrics
from trading_ops.store import attempts, maintenance
from trading_ops.store.reader import Reader
from trading_ops.store.writer import Writer

log = logs.get(__name__)


class PauseRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Reason and duration of a pause: at most 24 h."""

    owner: Person | None = None
    reason: Text
    seconds: Annotated[float, msgspec.Meta(gt=0, le=86400)]


class ResumeQuery(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Which pause to end, by default all, and who ends it."""

    owner: Person | None = None
    id: Count | None = None


class AutomationRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Operator and reason."""

    owner: Person | None = None
    reason: Text


class PauseView(msgspec.Struct, kw_only=True):
    """An active pause."""

    owner: str
    reason: str
    expires_at: datetime


class PauseState(msgspec.Struct, kw_only=True):
    """The active pause, or null."""

    pause: PauseView | None


class Paused(msgspec.Struct, kw_only=True):
    """The new pause, with its id for ending only this one."""

    pause: PauseView
    id: int


class Resumed(msgspec.Struct, kw_only=True):
    """Number of ended pauses, and a pause that is still active."""

    ended: int
    pause: PauseView | None


class BudgetReset(msgspec.Struct, kw_only=True):
    """The target whose budgets were reset."""

    target: str


class AutomationRoutes:
    """Handlers of `automation`."""

    def __init__(
        self, writer: Writer, reader: Reader, registry: Registry, metrics: ReconcilerMetrics
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._registry = registry
        self._metrics = metrics

    async def show(self) -> PauseState:
        """Return the active pause, or null."""
        return PauseState(pause=await self._current())

    async def pause(self, identity: Identity, body: PauseRequest) -> Paused:
        """Pause all automatic remediation; running attempts finish."""
        now = clock.now()
        pause = Pause(
            owner=identity.actor(body.owner),
            reason=body.reason,
            expires_at=now + timedelta(seconds=body.seconds),
        )
        key = await self._writer.run(partial(maintenance.begin_pause, pause=pause, now=now))
        self._metrics.paused.set(1)
        log.info("automation_paused", owner=pause.owner, reason=pause.reason)
        return Paused(pause=pause_view(pause), id=key)

    async def resume(self, identity: Identity, query: ResumeQuery) -> Resumed:
        """Resume: end every pause, or with `id` only that one."""
        owner = identity.actor(query.owner)
        end = partial(maintenance.end_pause, owner=owner, now=clock.now(), only=query.id)
        ended = await self._writer.run(end)
        left = await self._current()
        self._metrics.paused.set(left is not None)
        log.info("automation_resumed", owner=owner, ended=ended)
        return Resumed(ended=ended, pause=left)

    async def reset_budget(
        self, identity: Identity, name: str, body: AutomationRequest
    ) -> BudgetReset:
        """Reset a target's attempt budgets and cooldowns."""
        target = self._registry.find(name)
        if target is None:
            not_found("unknown target: no such name in targets.yml")
        change = partial(
            attempts.reset_budget,
            target=target.name,
            owner=identity.actor(body.owner),
            reason=body.reason,
            now=clock.now(),
        )
        await self._writer.run(change)
        return BudgetReset(target=target.name)

    async def _current(self) -> PauseView | None:
        found = await self._reader.read(partial(maintenance.current_pause, now=clock.now()))
        return None if found is None else pause_view(found)


def pause_view(pause: Pause) -> PauseView:
    """Return a pause as the API shows it."""
    return PauseView(owner=pause.owner, reason=pause.reason, expires_at=pause.expires_at)
