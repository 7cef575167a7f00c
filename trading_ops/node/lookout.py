"""Looks at every unit of the node regularly: proof that the node works, and the units' health.

systemd's watchdog depends on it. A service manager that does not answer is a completed look as
well: a restart of the node would not help, and several would end in the unit's start limit.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping

from prometheus_client import CollectorRegistry

from trading_ops import clock, logs
from trading_ops.instrument.families import gauge
from trading_ops.node.unit import UNKNOWN, NodeUnit
from trading_ops.services.manager import UnitStatus

_log = logs.get(__name__)

EVERY_SECONDS = 5.0
WITHIN_SECONDS = 20.0
"""For one unit; longer than the timeouts of every service manager together."""

STALE_SECONDS = 45.0
"""Without a completed look for this long, the node does not work; less than WatchdogSec."""


class Lookout:
    """Looks at the units; one loop at a time."""

    def __init__(
        self,
        units: Mapping[str, NodeUnit],
        registry: CollectorRegistry,
        now: Callable[[], float] = clock.monotonic,
    ) -> None:
        self._units = units
        self._unhealthy = gauge("trading_ops_node_unit_unhealthy", registry)
        self._now = now
        self._completed = now()

    def works(self) -> bool:
        """Whether the last look at all units was completed recently."""
        return self._now() - self._completed < STALE_SECONDS

    async def look(self) -> None:
        """Look at every unit once, at the same time."""
        found = await asyncio.gather(*(_look(unit) for unit in self._units.values()))
        self._unhealthy.clear()  # of a unit that is unknown or stopped nothing is exported
        for name, status in zip(self._units, found, strict=True):
            if status.running:
                self._unhealthy.labels(name).set(status.unhealthy)
        self._completed = self._now()

    @contextlib.asynccontextmanager
    async def looking(self) -> AsyncIterator[None]:
        """Look at the units again and again during the block."""
        task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            try:
                await self.look()
            except Exception:  # noqa: BLE001 - the watchdog notices if this goes on
                _log.exception("look_failed")
            await asyncio.sleep(EVERY_SECONDS)


async def _look(unit: NodeUnit) -> UnitStatus:
    try:
        async with asyncio.timeout(WITHIN_SECONDS):
            return await unit.look()
    except TimeoutError:
        return UNKNOWN
