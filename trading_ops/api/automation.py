"""What people order: pause and resume automation, forgive a target's budgets."""

from datetime import timedelta
from functools import partial
from typing import Annotated

import msgspec
from aiohttp import web

from trading_ops import clock, logs
from trading_ops.api.body import answer, read_json
from trading_ops.domain.decision import Pause
from trading_ops.domain.target import Registry
from trading_ops.reconciler.metrics import ReconcilerMetrics
from trading_ops.store import attempts, pauses
from trading_ops.store.reader import Reader
from trading_ops.store.writer import Writer

log = logs.get(__name__)

Words = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class PauseOrder(msgspec.Struct, forbid_unknown_fields=True):
    """Who pauses automation, why, and for how long: at most a day."""

    owner: Words
    reason: Words
    seconds: Annotated[float, msgspec.Meta(gt=0, le=86400)]


class Order(msgspec.Struct, forbid_unknown_fields=True):
    """Who orders it, and why."""

    owner: Words
    reason: Words


class Automation:
    """Orders about automation itself."""

    def __init__(
        self, writer: Writer, reader: Reader, registry: Registry, metrics: ReconcilerMetrics
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._registry = registry
        self._metrics = metrics

    async def show(self, request: web.Request) -> web.Response:
        """Return the pause in force, or null."""
        del request
        return answer({"pause": await self._reader.read(partial(pauses.current, now=clock.now()))})

    async def pause(self, request: web.Request) -> web.Response:
        """Stop all automatic steps until the given time; what is under way comes to its end."""
        order = await read_json(request, PauseOrder)
        now = clock.now()
        pause = Pause(
            owner=order.owner,
            reason=order.reason,
            expires_at=now + timedelta(seconds=order.seconds),
        )
        key = await self._writer.run(partial(pauses.begin, pause=pause, now=now))
        self._metrics.paused.set(1)
        log.info("automation_paused", owner=order.owner, reason=order.reason)
        return answer({"pause": pause, "id": key}, status=201)

    async def resume(self, request: web.Request) -> web.Response:
        """Lift every pause, or with `id` only that one; `owner` says who lifts it."""
        owner, given = request.query.get("owner", ""), request.query.get("id")
        if not owner or (given is not None and not given.isdecimal()):
            raise web.HTTPUnprocessableEntity(text="owner is needed, and id is a whole number")
        lift = partial(
            pauses.lift, owner=owner, now=clock.now(), only=None if given is None else int(given)
        )
        lifted = await self._writer.run(lift)
        left = await self._reader.read(partial(pauses.current, now=clock.now()))
        self._metrics.paused.set(left is not None)
        log.info("automation_resumed", owner=owner, lifted=lifted)
        return answer({"lifted": lifted, "pause": left})

    async def forgive(self, request: web.Request) -> web.Response:
        """Let a target's attempt budgets and cooldowns start anew."""
        target = self._registry.find(request.match_info["name"])
        if target is None:
            raise web.HTTPNotFound(text="targets.yml has no target of this name")
        order = await read_json(request, Order)
        await self._writer.run(
            partial(
                attempts.forgive,
                target=target.name,
                owner=order.owner,
                reason=order.reason,
                now=clock.now(),
            )
        )
        return answer({"target": target.name})
