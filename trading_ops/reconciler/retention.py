"""Retention: every hour, removes rows older than their setting, in small transactions.

The SQL, and what is never removed, is in `store.retention`. To not delay intake and API requests,
each transaction removes few rows, and the writer is free in between.
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
"""Rows per transaction."""

PAUSE_SECONDS = 0.1
"""Seconds between transactions."""

CLOCK_STEP = timedelta(days=1)
"""Maximum clock step: a larger step forward would make everything old."""


class Remove(Protocol):
    """Removes rows from before a time; returns the number."""

    def __call__(
        self, connection: Connection, *, before: datetime, now: datetime, limit: int
    ) -> int:
        """Remove at most `limit` rows."""


@dataclass(kw_only=True)
class Retention:
    """Removes old rows of one reconciler's database."""

    writer: Writer
    audit_key: bytes
    """The writer's key."""

    notifications_kept: timedelta
    incidents_kept: timedelta
    messages_kept: timedelta
    events_kept: timedelta
    bot_events_kept: timedelta
    bot_events_kept_rows: int
    """Of each bot."""

    pause_seconds: float = PAUSE_SECONDS
    now: Callable[[], datetime] = clock.now
    _ahead: timedelta = field(init=False)
    """Wall clock minus time since boot."""

    def __post_init__(self) -> None:
        """Record the offset of the wall clock."""
        self._ahead = self._wall_clock_ahead()

    async def run_once(self) -> None:
        """Remove all old rows; a failing kind does not stop the others."""
        if self._wall_clock_ahead() - self._ahead > CLOCK_STEP:
            fix = "correct the clock, then restart the reconciler"
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
        await self._remove_excess()
        await self._remove("events", remove_events, self.events_kept)

    async def _remove(self, what: str, remove: Remove, kept: timedelta) -> None:
        now = self.now()
        # By whole days, to add one checkpoint per day to the chain, not per hour.
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

    async def _remove_excess(self) -> None:
        """Remove the oldest events of each bot that has too many."""
        try:
            excess = await self.writer.run(
                partial(bot_events.excess, rows=self.bot_events_kept_rows)
            )
            for bot, count in excess.items():
                for done in range(0, count, LIMIT):
                    limit = min(LIMIT, count - done)
                    await self.writer.run(partial(bot_events.prune_oldest, bot=bot, limit=limit))
                    await asyncio.sleep(self.pause_seconds)
                log.info("retention_removed", what="bot_events", bot=bot, rows=count)
        except StoreError as error:
            log.warning("retention_failed", what="bot_events", error=str(error))

    def _wall_clock_ahead(self) -> timedelta:
        return timedelta(seconds=self.now().timestamp() - clock.boottime())
