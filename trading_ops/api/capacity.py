"""Capacity: usage, growth and forecast of each resource."""

import asyncio

import msgspec

from trading_ops import clock
from trading_ops.api.requests import Key, invalid, not_found
from trading_ops.capacity.plan import CapacityView
from trading_ops.capacity.read import Capacity
from trading_ops.domain.target import BOTS, Registry
from trading_ops.errors import ConfigError

KEPT_SECONDS = 60.0
"""Seconds for which a plan is cached: it reads a month of data."""


class CapacityQuery(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Filter by bot."""

    bot: Key | None = None


class CapacityRoutes:
    """Handler of `capacity`."""

    def __init__(self, capacity: Capacity, registry: Registry) -> None:
        self._capacity = capacity
        self._registry = registry
        self._one_at_a_time = asyncio.Lock()
        self._kept: dict[str | None, tuple[float, CapacityView]] = {}

    async def show(self, query: CapacityQuery) -> CapacityView:
        """Return usage, growth and forecast of every resource, and the bottlenecks."""
        if query.bot is not None:
            target = self._registry.find(query.bot)
            if target is None or target.kind not in BOTS:
                not_found("unknown bot: no such name in targets.yml")
        async with self._one_at_a_time:
            made, plan = self._kept.get(query.bot, (0.0, None))
            if plan is None or clock.monotonic() - made > KEPT_SECONDS:
                plan = await self._plan(query.bot)
                self._kept = {
                    bot: kept
                    for bot, kept in self._kept.items()
                    if clock.monotonic() - kept[0] <= KEPT_SECONDS
                }
                self._kept[query.bot] = clock.monotonic(), plan
            return plan

    async def _plan(self, bot: str | None) -> CapacityView:
        try:
            return await self._capacity.plan(now=clock.now(), bot=bot)
        except ConfigError as error:
            invalid(str(error))
