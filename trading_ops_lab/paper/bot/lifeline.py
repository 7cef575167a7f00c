"""Writes this life down: its start, each heartbeat of work done now and then, and its ordered end.

One small row, changed in place. What the strategy must know again after a restart goes with it, in
the same transaction.
"""

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from trading_ops import __version__, clock, logs
from trading_ops.botkit.failpoints import Failpoint, reached
from trading_ops.botkit.records.events import Event, EventKind, add_events
from trading_ops.botkit.records.facts import get_fact, set_fact
from trading_ops.botkit.records.sql import Session
from trading_ops.botkit.records.store import Store
from trading_ops.botkit.runs import FACT, End, LastRun, Run, assess_at_start
from trading_ops.errors import StoreError, TradingOpsError
from trading_ops.instrument import BotMetrics
from trading_ops_lab.paper.bot.signals.memory import SIGNALS_FACT, Remembered

log = logs.get(__name__)

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Lifeline:
    """This life's row in the records."""

    def __init__(
        self,
        metrics: BotMetrics,
        store: Store,
        *,
        interval_seconds: float,
        beat_at: Callable[[], float | None],
        remembered: Callable[[], Remembered],
    ) -> None:
        """Take what is written down.

        Args:
            metrics: of the bot.
            store: the records.
            interval_seconds: between two heartbeats that are written down.
            beat_at: when the last whole pass was done.
            remembered: what the signals know.
        """
        self._metrics = metrics
        self._store = store
        self._interval = interval_seconds
        self._beat_at = beat_at
        self._remembered = remembered
        self._life: Run | None = None
        self._task: asyncio.Task[None] | None = None
        self.before = LastRun(end=End.UNKNOWN)
        """How the life before this one ended; known after `begin`."""

    async def begin(self) -> None:
        """Judge the life before this one, write this one down, and go on doing so.

        Raises:
            StoreError: the records cannot be read or written.
        """
        now = clock.timestamp()
        new = Run(
            started_at=now,
            version=__version__,
            python=sys.executable,
            pid=os.getpid(),
            boot_id=_boot_id(),
        )
        self.before, self._life = await self._store.transact(
            lambda session: _begin(session, new, now), statement="set_fact"
        )
        self._tell()
        self._task = asyncio.create_task(self._keep(), name="lifeline")

    async def signals(self) -> Remembered | None:
        """Return what the signals of an earlier life knew; None when there is nothing to go by.

        Raises:
            StoreError: the records cannot be read.
        """
        try:
            return await self._store.fact(SIGNALS_FACT, Remembered)
        except StoreError as error:  # they begin anew; the next heartbeat writes the fact again
            log.warning("signals_unreadable", error=str(error))
            return None

    async def end(self, *, left_open: int) -> None:
        """Write down that this life ended in order; nothing may be submitted after it.

        Raises:
            TradingOpsError: it could not be written down, and will count as a crash.
        """
        await self.drop()
        if self._life is None:
            return
        ended = msgspec.structs.replace(
            self._life,
            beat_at=self._beat_at(),
            ended_at=clock.timestamp(),
            left_open=left_open,
        )
        reached(Failpoint.RUN_END_STORING)
        await self._write(ended)
        reached(Failpoint.RUN_END_STORED)

    async def drop(self) -> None:
        """Write nothing down any more."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def _tell(self) -> None:
        end, life = self.before.end, self._life
        self._metrics.previous_end(end.value, unclean=life.unclean_starts if life else 0)
        if end is End.CRASHED and self.before.run is not None:
            last = self.before.run
            log.warning(
                "crash_found",
                pid=last.pid,
                version=last.version,
                last_seen_at=last.seen_at,
                away_seconds=self.before.age_seconds,
            )

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            beat_at = self._beat_at()
            if self._life is None or beat_at is None or beat_at == self._life.beat_at:
                continue  # no work was done: that is what the age tells
            life = msgspec.structs.replace(self._life, beat_at=beat_at)
            try:
                await self._write(life)
            except TradingOpsError as error:
                log.warning("heartbeat_not_stored", error=str(error))
            else:
                self._life = life

    async def _write(self, life: Run) -> None:
        now, remembered = clock.timestamp(), self._remembered()

        def write(session: Session) -> None:
            set_fact(session, FACT, life, now)
            set_fact(session, SIGNALS_FACT, remembered, now)

        await self._store.transact(write, statement="set_fact")


def last_life(session: Session) -> Run | None:
    """Return the last life on record, or None.

    Raises:
        StoreError: it is damaged.
    """
    return get_fact(session, FACT, Run)


def _begin(session: Session, new: Run, now: float) -> tuple[LastRun, Run]:
    try:
        last = last_life(session)
    except StoreError as error:  # it must not keep the bot from recovering
        log.warning("last_life_unreadable", error=str(error))
        last = None
    verdict = assess_at_start(last, now)
    unclean = last.unclean_starts if last else 0
    unclean += verdict.end is End.CRASHED
    life = msgspec.structs.replace(new, unclean_starts=unclean)
    set_fact(session, FACT, life, now)
    add_events(session, _events(verdict, life, now))
    return verdict, life


def _events(verdict: LastRun, life: Run, now: float) -> list[Event]:
    last, events = verdict.run, []
    if verdict.end is End.CRASHED and last is not None:
        known = msgspec.to_builtins(last)
        told = {**known, "away_seconds": verdict.age_seconds, "unclean": life.unclean_starts}
        events.append(Event(at=now, kind=EventKind.RECOVERY, code="crash_found", detail=told))
    if last is not None and (last.version, last.python) != (life.version, life.python):
        told = {"from": f"{last.version} ({last.python})", "to": f"{life.version} ({life.python})"}
        events.append(Event(at=now, kind=EventKind.RECOVERY, code="release_changed", detail=told))
    return events


def _boot_id() -> str:
    try:
        return BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""
