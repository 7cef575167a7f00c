"""Suppression by operators: why no action, not even a safe one, may run on a target."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from trading_ops import clock, logs
from trading_ops.domain.attempt import Delivery
from trading_ops.domain.decision import AlertState, GlobalLimits, History, Pause, Reason, World
from trading_ops.domain.gates import maintenance as maintenance_window
from trading_ops.domain.gates import observe_only, paused
from trading_ops.domain.maintenance import Maintenance, covering
from trading_ops.domain.manual import manual_input
from trading_ops.domain.runbook import Step
from trading_ops.domain.target import Target
from trading_ops.errors import StoreError
from trading_ops.store import Connection, maintenance, pauses
from trading_ops.store.reader import Reader

log = logs.get(__name__)

READ_SECONDS = 1.0

HALT = Step(
    action="halt_trading",
    timeout=timedelta(0),
    verify_within=timedelta(0),
    delivery=Delivery.SAFE_DIRECTION,
)
GATES = (observe_only, paused, maintenance_window)

Words = tuple[Pause | None, list[Maintenance]]


@dataclass(kw_only=True)
class Suppression:
    """Pauses, maintenance and observe-only; the last known while the database is unreachable."""

    reader: Reader
    observe_only: bool
    _pause: Pause | None = None
    _windows: list[Maintenance] = field(default_factory=list)
    _reading: asyncio.Task[Words] | None = None

    async def refresh(self) -> None:
        """Read pauses and windows; returns within a second."""
        if self._reading is None:
            self._reading = self.reader.start(_read)
        # Only one at a time: a hung database must not block all threads.
        await asyncio.wait({self._reading}, timeout=READ_SECONDS)
        if not self._reading.done():
            return
        reading, self._reading = self._reading, None
        try:
            self._pause, self._windows = reading.result()
        except StoreError as error:
            log.warning("pauses_not_read", error=str(error))

    def window(self, target: Target, now: datetime) -> Maintenance | None:
        """Return the maintenance window of the target, if one is open."""
        return covering(self._windows, target.name, now)

    def why(self, target: Target, now: datetime) -> tuple[Reason, str] | None:
        """Return the reason and who set it, or None if actions may run."""
        pause = self._pause
        world = World(
            view=AlertState.FIRING,
            observe_only=self.observe_only,
            target_observe_only=target.observe_only,
            pause=pause if pause is not None and now < pause.expires_at else None,
            maintenance=covering(self._windows, target.name, now),
        )
        wanted = manual_input(HALT, target.name, History(), world, GlobalLimits(), now)
        closed = next((one for gate in GATES if (one := gate(wanted)) is not None), None)
        return None if closed is None else (closed.reason, closed.note)


def _read(connection: Connection) -> Words:
    now = clock.now()
    return pauses.current(connection, now=now), maintenance.current(connection, now=now)
