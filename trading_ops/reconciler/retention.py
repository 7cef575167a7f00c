"""Retention: every hour, removes rows older than their setting, in small transactions.

The SQL, and what is never removed, is in `store.retention`. To not delay intake and API requests,
each transaction removes few rows, and the writer is free in between. Events, incidents and orders
are in the archive, on disk, before the transaction that removes them begins: a crash in between
leaves them in both, and the next run continues.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

from trading_ops import clock, logs
from trading_ops.errors import StoreError
from trading_ops.store import (
    Connection,
    audit_chain,
    bot_events,
    messages,
    notifications,
    retention,
)
from trading_ops.store.archive import PAGE, Archive, EventFile, Rows
from trading_ops.store.notifications import NotificationState
from trading_ops.store.reader import Reader
from trading_ops.store.writer import Writer

log = logs.get(__name__)

LIMIT = 500
"""Rows per transaction."""

FILE_EVENTS = 20_000
"""Events per file of the archive, which is written in one read of the database."""

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


KINDS = (
    "notifications",
    "quarantined",
    "incidents",
    "orders",
    "messages",
    "bot_events",
    "excess_bot_events",
    "events",
)
"""The kinds of records, in the order of removal."""


class Find(Protocol):
    """Returns rows from before a time, by table."""

    def __call__(self, connection: Connection, *, before: datetime, limit: int) -> Rows:
        """Return at most `limit` rows of each kind."""


class RemoveArchived(Protocol):
    """Removes rows that are in a file of the archive; returns the number."""

    def __call__(
        self, connection: Connection, *, rows: Rows, before: datetime, now: datetime, archive: str
    ) -> int:
        """Remove these rows, as far as they are still old."""


@dataclass(kw_only=True)
class Retention:
    """Removes old rows of one reconciler's database."""

    writer: Writer
    reader: Reader
    archive: Archive
    """With the writer's key first."""

    on_result: Callable[[str, str], None] = lambda _kind, _problem: None
    """Called with each of `KINDS`, and why its old rows could not be removed, or ""."""

    notifications_kept: timedelta
    incidents_kept: timedelta
    messages_kept: timedelta
    events_kept: timedelta
    bot_events_kept: timedelta
    bot_events_kept_rows: int
    """Maximum events of each bot."""

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
            why = "the clock was set forward"
            log.warning("retention_stopped", reason=why, fix=fix)
            for kind in KINDS:
                self.on_result(kind, why)
            return
        quarantined = partial(notifications.prune, state=NotificationState.QUARANTINED)
        work = {
            "notifications": self._remove(notifications.prune, self.notifications_kept),
            "quarantined": self._remove(quarantined, self.incidents_kept),
            "incidents": self._archive_and_remove(
                retention.old_incidents, retention.remove_incidents
            ),
            "orders": self._archive_and_remove(retention.old_attempts, retention.remove_attempts),
            "messages": self._remove(messages.prune, self.messages_kept),
            "bot_events": self._remove(bot_events.prune, self.bot_events_kept),
            "excess_bot_events": self._remove_excess(),
            "events": self._archive_and_remove_events(),
        }
        for kind, removing in work.items():
            total = 0
            try:
                async for count in removing:
                    total += count
                    await asyncio.sleep(self.pause_seconds)
                self.on_result(kind, "")
            except (StoreError, OSError) as error:
                log.warning("retention_failed", what=kind, error=str(error))
                self.on_result(kind, str(error))
            if total:
                log.info("retention_removed", what=kind, rows=total)

    def _before(self, kept: timedelta) -> datetime:
        # By whole days, to add one checkpoint per day to the chain, not per hour.
        return (self.now() - kept).replace(hour=0, minute=0, second=0, microsecond=0)

    async def _remove(self, remove: Remove, kept: timedelta) -> AsyncIterator[int]:
        """Remove rows that are not archived; yield the number of each transaction."""
        step = partial(remove, before=self._before(kept), now=self.now(), limit=LIMIT)
        while count := await self.writer.run(step):
            yield count

    async def _archive_and_remove(self, find: Find, remove: RemoveArchived) -> AsyncIterator[int]:
        """Archive some rows, then remove them, until none is old."""
        before = self._before(self.incidents_kept)
        while any(
            (rows := await self.reader.read(partial(find, before=before, limit=LIMIT))).values()
        ):
            file = await asyncio.to_thread(self.archive.write_records, rows, day=before)
            step = partial(remove, rows=rows, before=before, now=self.now(), archive=file.name)
            count = await self.writer.run(step)
            if not count:
                return  # none of them is old any longer: something has started since
            yield count

    async def _archive_and_remove_events(self) -> AsyncIterator[int]:
        """Archive a part of the chain, then remove it in portions, until no event is old."""
        before, now = self._before(self.events_kept), self.now()
        find = partial(retention.old_events, before=before, now=now, limit=FILE_EVENTS)
        while (span := await self.reader.read(find)) is not None:
            first, last = span
            file = await asyncio.to_thread(self.archive.covering, first)
            if file is None:
                file = await self.reader.read(partial(self._archive_events, first, last))
            step = partial(
                retention.remove_events,
                key=self.archive.keys[0],
                before=before,
                now=now,
                limit=LIMIT,
                file=file,
            )
            removed = 0
            while count := await self.writer.run(step):
                removed += count
                yield count
            if not removed:
                return  # they are not old any longer: something has started since

    def _archive_events(self, first: int, last: int, connection: Connection) -> EventFile:
        pages = audit_chain.pages(connection, first=first, last=last, size=PAGE)
        return self.archive.write_events(pages)

    async def _remove_excess(self) -> AsyncIterator[int]:
        """Remove the oldest events of each bot that has too many."""
        excess = await self.writer.run(partial(bot_events.excess, rows=self.bot_events_kept_rows))
        for bot, count in excess.items():
            for done in range(0, count, LIMIT):
                limit = min(LIMIT, count - done)
                await self.writer.run(partial(bot_events.prune_oldest, bot=bot, limit=limit))
                yield limit

    def _wall_clock_ahead(self) -> timedelta:
        return timedelta(seconds=self.now().timestamp() - clock.boottime())
