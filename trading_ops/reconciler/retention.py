"""Retention: once an hour, removes what is older than its setting, in small transactions.

The SQL, and what is never removed, is in `store.retention`. Beside intake and orders it must not
be noticed: each transaction removes some rows only, and the writer is free between two.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

from trading_ops import clock, logs
from trading_ops.errors import StoreError
from trading_ops.store import Connection, bot_events, messages, notifications, retention
from trading_ops.store.notifications import State
from trading_ops.store.writer import Writer

log = logs.get(__name__)

LIMIT = 500
"""Rows in one transaction."""

PAUSE_SECONDS = 0.1
"""Between two transactions."""

CLOCK_STEP = timedelta(days=1)
"""A clock that was set forward by more than this would make everything old."""


class Remove(Protocol):
    """Removes rows from before a moment; returns how many."""

    def __call__(
        self, connection: Connection, *, before: datetime, now: datetime, limit: int
    ) -> int:
        """Remove at most `limit` rows."""


@dataclass(kw_only=True)
class Retention:
    """Removes old rows of one reconciler's database."""

    writer: Writer
    audit_key: bytes
    """That the writer uses."""

    notifications_kept: timedelta
    incidents_kept: timedelta
    messages_kept: timedelta
    events_kept: timedelta
    bot_events_kept: timedelta
    pause_seconds: float = PAUSE_SECONDS
    now: Callable[[], datetime] = clock.now
    _ahead: timedelta = field(init=False)
    """Of the wall clock, before the time since boot."""

    def __post_init__(self) -> None:
        """Note by how much the wall clock is ahead."""
        self._ahead = self._wall_clock_ahead()

    async def run_once(self) -> None:
        """Remove everything that is old; a kind that cannot be removed does not stop the others."""
        if self._wall_clock_ahead() - self._ahead > CLOCK_STEP:
            fix = "set the clock right, then restart the reconciler"
            log.warning("retention_stopped", reason="the clock was set forward", fix=fix)
            return
        remove_events = partial(retention.remove_events, key=self.audit_key)
        quarantined = partial(notifications.prune, state=State.QUARANTINED)
        await self._remove("notifications", notifications.prune, self.notifications_kept)
        await self._remove("quarantined", quarantined, self.incidents_kept)
        await self._remove("incidents", retention.remove_incidents, self.incidents_kept)
        await self._remove("orders", retention.remove_orders, self.incidents_kept)
        await self._remove("messages", messages.prune, self.messages_kept)
        await self._remove("bot_events", bot_events.prune, self.bot_events_kept)
        await self._remove("events", remove_events, self.events_kept)

    async def _remove(self, what: str, remove: Remove, kept: timedelta) -> None:
        now = self.now()
        # By whole days, so that each day adds one checkpoint to the chain, not each hour.
        before = (now - kept).replace(hour=0, minute=0, second=0, microsecond=0)
        total = 0
        try:
            while count := await self.writer.run(
                partial(remove, before=before, now=now, limit=LIMIT)
            ):
                total += count
                await asyncio.sleep(self.pause_seconds)
        except StoreError as error:
            log.warning("retention_failed", what=what, error=str(error))
        if total:
            log.info("retention_removed", what=what, rows=total, before=before.isoformat())

    def _wall_clock_ahead(self) -> timedelta:
        return timedelta(seconds=self.now().timestamp() - clock.boottime())
