"""Suppression by operators: why no action, not even a safe one, may run on a target."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from trading_ops import clock, logs
from trading_ops.domain.decision import Pause
from trading_ops.domain.gates import Suppressed, by_maintenance, by_observe_only, by_pause
from trading_ops.domain.maintenance import Maintenance, covering
from trading_ops.domain.target import Target
from trading_ops.errors import StoreError
from trading_ops.store import Connection, maintenance
from trading_ops.store.reader import Reader

log = logs.get(__name__)

READ_SECONDS = 1.0

Current = tuple[Pause | None, list[Maintenance]]


@dataclass(kw_only=True)
class Suppression:
    """Pauses, maintenance and observe-only; the last known while the database is unreachable."""

    reader: Reader
    observe_only: bool
    now: Callable[[], datetime] = clock.now
    _pause: Pause | None = None
    _windows: list[Maintenance] = field(default_factory=list)
    _reading: asyncio.Task[Current] | None = None

    async def refresh(self) -> None:
        """Read pauses and windows; returns within a second."""
        if self._reading is None:
            self._reading = self.reader.start(partial(_read, now=self.now()))
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

    def why(self, target: Target, now: datetime) -> Suppressed | None:
        """Return why no action may run; None: actions may run."""
        return (
            by_pause(self._pause, now)
            or by_observe_only(
                everywhere=self.observe_only,
                target=target.name if target.observe_only else None,
            )
            or by_maintenance(covering(self._windows, target.name, now))
        )


def _read(connection: Connection, *, now: datetime) -> Current:
    return maintenance.current_pause(connection, now=now), maintenance.current(connection, now=now)
