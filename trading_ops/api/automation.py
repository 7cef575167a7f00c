"""What people order of automation itself: pause it, resume it, reset a target's budgets."""

from datetime import datetime, timedelta
from functools import partial
from typing import Annotated

import msgspec

from trading_ops import clock, logs
from trading_ops.api.identity import Identity
from trading_ops.api.problems import not_found
from trading_ops.api.request_parsing import Count, Person, Words
from trading_ops.domain.decision import Pause
from trading_ops.domain.target import Registry
from trading_ops.reconciler.metrics import ReconcilerMetrics
from trading_ops.store import attempts, pauses
from trading_ops.store.reader import Reader
from trading_ops.store.writer import Writer

log = logs.get(__name__)


class PauseOrder(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Why automation pauses, and for how long: at most a day."""

    owner: Person | None = None
    reason: Words
    seconds: Annotated[float, msgspec.Meta(gt=0, le=86400)]


class ResumeQuery(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Which pause is lifted, all by default, and by whom."""

    owner: Person | None = None
    id: Count | None = None


class Order(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Who orders it, and why."""

    owner: Person | None = None
    reason: Words


class PauseView(msgspec.Struct, kw_only=True):
    """A pause in force."""

    owner: str
    reason: str
    expires_at: datetime


class PauseState(msgspec.Struct, kw_only=True):
    """The pause in force, or null."""

    pause: PauseView | None


class Paused(msgspec.Struct, kw_only=True):
    """The pause that was begun, and the id by which it alone can be lifted."""

    pause: PauseView
    id: int


class Resumed(msgspec.Struct, kw_only=True):
    """How many pauses were lifted, and one that is still in force."""

    lifted: int
    pause: PauseView | None


class BudgetReset(msgspec.Struct, kw_only=True):
    """The target whose budgets start anew."""

    target: str


class Automation:
    """Orders about automation itself."""

    def __init__(
        self, writer: Writer, reader: Reader, registry: Registry, metrics: ReconcilerMetrics
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._registry = registry
        self._metrics = metrics

    async def show(self) -> PauseState:
        """Return the pause in force, or null."""
        return PauseState(pause=await self._current())

    async def pause(self, identity: Identity, body: PauseOrder) -> Paused:
        """Stop all automatic steps until the given time; what is under way comes to its end."""
        now = clock.now()
        pause = Pause(
            owner=identity.actor(body.owner),
            reason=body.reason,
            expires_at=now + timedelta(seconds=body.seconds),
        )
        key = await self._writer.run(partial(pauses.begin, pause=pause, now=now))
        self._metrics.paused.set(1)
        log.info("automation_paused", owner=pause.owner, reason=pause.reason)
        return Paused(pause=pause_view(pause), id=key)

    async def resume(self, identity: Identity, query: ResumeQuery) -> Resumed:
        """Lift every pause, or with `id` only that one."""
        owner = identity.actor(query.owner)
        lift = partial(pauses.lift, owner=owner, now=clock.now(), only=query.id)
        lifted = await self._writer.run(lift)
        left = await self._current()
        self._metrics.paused.set(left is not None)
        log.info("automation_resumed", owner=owner, lifted=lifted)
        return Resumed(lifted=lifted, pause=left)

    async def reset_budget(self, identity: Identity, name: str, body: Order) -> BudgetReset:
        """Let a target's attempt budgets and cooldowns start anew."""
        target = self._registry.find(name)
        if target is None:
            not_found("targets.yml has no target of this name")
        order = partial(
            attempts.reset_budget,
            target=target.name,
            owner=identity.actor(body.owner),
            reason=body.reason,
            now=clock.now(),
        )
        await self._writer.run(order)
        return BudgetReset(target=target.name)

    async def _current(self) -> PauseView | None:
        found = await self._reader.read(partial(pauses.current, now=clock.now()))
        return None if found is None else pause_view(found)


def pause_view(pause: Pause) -> PauseView:
    """Return a pause as the API shows it."""
    return PauseView(owner=pause.owner, reason=pause.reason, expires_at=pause.expires_at)
