"""Holds as known to this process: in memory first, then in the database or the journal.

Nothing here waits longer than a second for either of them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from trading_ops import clock, logs
from trading_ops.domain.hold import RECONCILER, HeldState, Hold
from trading_ops.errors import StoreError
from trading_ops.store import Connection, holds
from trading_ops.store.journal import Journal
from trading_ops.store.reader import Reader
from trading_ops.store.writer import Writer

log = logs.get(__name__)

T = TypeVar("T")

STORE_SECONDS = 1.0
"""Timeout in seconds of the database, and then the journal, to store a hold."""

Stored = tuple[list[Hold], Mapping[str, int]]


class HoldMemory:
    """The holds and fences known here, and how they are persisted."""

    def __init__(self, *, writer: Writer, reader: Reader, journal: Journal) -> None:
        """Load the journal.

        Raises:
            StoreError: the journal cannot be read; its holds would be lost.
        """
        self._writer = writer
        self._reader = reader
        self._journal = journal
        # Its own thread: the shared ones may all wait for an unresponsive database.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="hold-journal")
        self._active: dict[str, Hold] = {}
        self._unsettled: dict[str, Hold] = {}
        """Not known to be stored in the database."""

        self._being_kept: set[str] = set()
        self._fences: Mapping[str, int] = {}
        self._changes = 0
        self._by_target: dict[str, list[Hold]] | None = None
        self._reading: tuple[int, asyncio.Task[Stored]] | None = None
        self._take_up_journal()

    @property
    def active(self) -> tuple[Hold, ...]:
        """Return the active holds known here; does not block."""
        return tuple((self._active | self._unsettled).values())

    @property
    def unsettled(self) -> int:
        """Return the number of holds not known to be stored in the database."""
        return len(self._unsettled)

    def of(self, target: str) -> tuple[Hold, ...]:
        """Return the holds of a target."""
        if self._by_target is None:
            self._by_target = {}
            for hold in self.active:
                self._by_target.setdefault(hold.target, []).append(hold)
        return tuple(self._by_target.get(target, ()))

    def fence(self, target: str) -> int:
        """Return the newest fence known for a target, 0 for none."""
        return self._fences.get(target, 0)

    def close(self) -> None:
        """End the journal's thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def remember(self, hold: Hold) -> None:
        """Add a hold, stored or not."""
        self._changed()
        self._unsettled[hold.id] = _stricter(hold, self._unsettled.get(hold.id))

    def drop(self, hold_id: str) -> None:
        """Remove a released hold."""
        self._changed()
        self._active.pop(hold_id, None)
        self._unsettled.pop(hold_id, None)

    async def keep(self, hold: Hold) -> tuple[bool, str]:
        """Store a hold; return whether it was stored, and where. Never raises."""
        self._being_kept.add(hold.id)
        try:
            return await self._keep(hold)
        finally:
            self._being_kept.discard(hold.id)

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Write to the database.

        Raises:
            StoreError: no success within a second; it may still be written.
        """
        try:
            return await _within(self._writer.run(work))
        except TimeoutError as error:
            raise StoreError(f"the database gave no answer within {STORE_SECONDS:g} s") from error

    async def settle(self) -> None:
        """Store journaled holds in the database, then remove them from the journal."""
        settled = set()
        for hold in tuple(self._unsettled.values()):
            if hold.id in self._being_kept:
                continue
            try:
                changed = await self.write(partial(_settle, hold=hold, now=clock.now()))
            except holds.IdTaken as error:
                log.error("hold_store_failed", hold=hold.id, error=str(error))  # noqa: TRY400
                changed = False
            except StoreError as error:
                log.warning("hold_store_failed", hold=hold.id, error=str(error))
                break
            settled.add(hold.id)
            self._settled(hold, in_force=changed)
        if settled:
            await self._forget(settled)

    async def refresh(self) -> bool:
        """Read the active holds; while the database is unreachable, keep the last known.

        Returns whether all holds that the database had at the time of the call are known.
        """
        begun_now = self._reading is None
        if self._reading is None:
            self._reading = self._changes, self._reader.start(_read)
        changes, reading = self._reading
        # Only one at a time: a hung database must not block all threads.
        await asyncio.wait({reading}, timeout=STORE_SECONDS)
        if not reading.done():
            log.warning("holds_not_read", error="too slow")
            return False
        self._reading = None
        try:
            stored, self._fences = reading.result()
        except StoreError as error:
            log.warning("holds_not_read", error=str(error))
            return False
        if changes != self._changes:  # it may be older than changes made in the meantime
            return False
        self._active = {hold.id: hold for hold in stored}
        self._by_target = None
        return begun_now

    def _changed(self) -> None:
        self._changes += 1
        self._by_target = None

    def _take_up_journal(self) -> None:
        try:
            entries = self._journal.entries()
        except OSError as error:
            raise StoreError(f"cannot read the journal of holds: {error}") from error
        for entry in entries:
            try:
                self.remember(_from_entry(entry))
            except (KeyError, TypeError, ValueError) as error:
                log.error("journal_entry_invalid", error=repr(error))  # noqa: TRY400

    async def _keep(self, hold: Hold) -> tuple[bool, str]:
        try:
            await self.write(partial(holds.place, hold=hold, now=clock.now()))
        except holds.IdTaken as error:
            self.drop(hold.id)
            return False, f"NOT STORED: {error}"
        except Exception as error:  # noqa: BLE001 - a halt must not depend on the database
            log.error("hold_not_in_database", hold=hold.id, error=str(error))  # noqa: TRY400
        else:
            self._settled(hold, in_force=True)
            return True, "Stored in the database"
        try:
            await self._on_disk(partial(self._journal.append, _as_entry(hold)))
        except (OSError, TimeoutError, RuntimeError) as error:
            why = str(error) or "too slow"
            log.error("hold_not_in_journal", hold=hold.id, error=why)  # noqa: TRY400
            return False, "NOT STORED: the database and the disk both failed"
        return True, "Stored in the journal until the database answers"

    def _settled(self, hold: Hold, *, in_force: bool) -> None:
        if self._unsettled.get(hold.id) == hold:  # otherwise a stricter one is still to be stored
            self._changed()
            del self._unsettled[hold.id]
            if in_force:
                self._active[hold.id] = hold

    async def _forget(self, ids: set[str]) -> None:
        try:
            await self._on_disk(partial(self._journal.forget, ids - self._unsettled.keys()))
        except (OSError, TimeoutError, RuntimeError) as error:  # storing again is harmless
            log.warning("journal_not_shortened", error=str(error) or "too slow")

    async def _on_disk(self, work: Callable[[], None]) -> None:
        await _within(asyncio.get_running_loop().run_in_executor(self._thread, work))


async def _within(work: Awaitable[T]) -> T:
    async with asyncio.timeout(STORE_SECONDS):
        return await work


def _read(connection: Connection) -> Stored:
    return holds.active(connection), holds.fences_seen(connection)


def _settle(connection: Connection, hold: Hold, now: datetime) -> bool:
    changed = holds.place(connection, hold, now=now)
    holds.note(
        connection,
        hold_id=hold.id,
        target=hold.target,
        kind="hold_stored",
        actor=RECONCILER,
        text="stored in the database" if changed else "already in the database",
        now=now,
    )
    return changed


def _stricter(hold: Hold, other: Hold | None) -> Hold:
    if other is None or hold.state.severity >= other.state.severity:
        return hold
    return replace(hold, state=other.state)


def _as_entry(hold: Hold) -> dict[str, str]:
    return {
        "id": hold.id,
        "target": hold.target,
        "state": hold.state.value,
        "owner": hold.owner,
        "reason": hold.reason,
        "at": hold.at.isoformat(),
    }


def _from_entry(entry: Mapping[str, Any]) -> Hold:
    at = datetime.fromisoformat(entry["at"])
    if at.tzinfo is None:
        raise ValueError("time without a time zone")
    return Hold(
        id=str(entry["id"]),
        target=str(entry["target"]),
        state=HeldState(entry["state"]),
        owner=str(entry["owner"]),
        reason=str(entry["reason"]),
        at=at,
    )
