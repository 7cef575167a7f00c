"""Records this run of the bot: its start, a heartbeat at an interval, and its graceful end.

It is one small row, updated in place. The prices that the signals need after a restart are stored
in the same transaction.
"""

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from trading_ops import __version__, clock, logs
from trading_ops.botkit.failpoints import BotFailpoint, reached
from trading_ops.botkit.records.events import Event, EventLogKind, add_events
from trading_ops.botkit.records.facts import get_fact, set_fact
from trading_ops.botkit.records.sql import Session
from trading_ops.botkit.records.store import Store
from trading_ops.botkit.runs import FACT, BotRun, End, LastRun, assess_at_start
from trading_ops.errors import StoreError, TradingOpsError
from trading_ops.instrument import BotMetrics
from trading_ops_lab.paper.bot.signals.prices import SIGNALS_FACT, SignalPrices

log = logs.get(__name__)

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class RunRecord:
    """The record of this run."""

    def __init__(
        self,
        metrics: BotMetrics,
        store: Store,
        *,
        interval_seconds: float,
        beat_at: Callable[[], float | None],
        signal_prices: Callable[[], SignalPrices],
    ) -> None:
        """Set up the record; `begin` writes it.

        Args:
            metrics: of the bot.
            store: the records.
            interval_seconds: between two stored heartbeats.
            beat_at: returns when the last complete pass ended, in seconds since the epoch.
            signal_prices: returns what the signals need after a restart.
        """
        self._metrics = metrics
        self._store = store
        self._interval = interval_seconds
        self._beat_at = beat_at
        self._signal_prices = signal_prices
        self._run: BotRun | None = None
        self._task: asyncio.Task[None] | None = None
        self.previous = LastRun(end=End.UNKNOWN)
        """How the previous run ended; known after `begin`."""

    async def begin(self) -> None:
        """Assess the previous run, record the start of this one, and store heartbeats from now on.

        Raises:
            StoreError: the records cannot be read or written.
        """
        now = clock.timestamp()
        new = BotRun(
            started_at=now,
            version=__version__,
            python=sys.executable,
            pid=os.getpid(),
            boot_id=_boot_id(),
        )
        self.previous, self._run = await self._store.transact(
            lambda session: _begin(session, new, now), statement="set_fact"
        )
        self._report_previous()
        self._task = asyncio.create_task(self._store_heartbeats(), name="run-record")

    async def signals(self) -> SignalPrices | None:
        """Return the prices that an earlier run stored; None if there are none to be read."""
        try:
            return await self._store.fact(SIGNALS_FACT, SignalPrices)
        except StoreError as error:  # start without; the next heartbeat stores them again
            log.warning("signals_unreadable", error=str(error))
            return None

    async def end(self, *, left_open: int) -> None:
        """Record a graceful end; nothing may be submitted afterwards.

        Args:
            left_open: number of orders that may still be open at the venue.

        Raises:
            TradingOpsError: it could not be stored; the end will count as a crash.
        """
        await self.cancel()
        if self._run is None:
            return
        ended = msgspec.structs.replace(
            self._run,
            beat_at=self._beat_at(),
            ended_at=clock.timestamp(),
            left_open=left_open,
        )
        reached(BotFailpoint.RUN_END_STORING)
        await self._write(ended)
        reached(BotFailpoint.RUN_END_STORED)

    async def cancel(self) -> None:
        """Stop storing heartbeats."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def _report_previous(self) -> None:
        end, run = self.previous.end, self._run
        self._metrics.previous_end(end.value, unclean=run.unclean_starts if run else 0)
        if end is End.CRASHED and self.previous.run is not None:
            last = self.previous.run
            log.warning(
                "crash_found",
                pid=last.pid,
                version=last.version,
                last_seen_at=last.seen_at,
                away_seconds=self.previous.age_seconds,
            )

    async def _store_heartbeats(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            beat_at = self._beat_at()
            if self._run is None or beat_at is None or beat_at == self._run.beat_at:
                continue  # no pass since then: the age of the heartbeat shows it
            run = msgspec.structs.replace(self._run, beat_at=beat_at)
            try:
                await self._write(run)
            except TradingOpsError as error:
                log.warning("heartbeat_not_stored", error=str(error))
            else:
                self._run = run

    async def _write(self, run: BotRun) -> None:
        now, prices = clock.timestamp(), self._signal_prices()

        def write(session: Session) -> None:
            set_fact(session, FACT, run, now)
            set_fact(session, SIGNALS_FACT, prices, now)

        await self._store.transact(write, statement="set_fact")


def last_run(session: Session) -> BotRun | None:
    """Return the last run on record, or None.

    Raises:
        StoreError: it is damaged.
    """
    return get_fact(session, FACT, BotRun)


def _begin(session: Session, new: BotRun, now: float) -> tuple[LastRun, BotRun]:
    try:
        last = last_run(session)
    except StoreError as error:  # a damaged record must not prevent the recovery
        log.warning("last_run_unreadable", error=str(error))
        last = None
    previous = assess_at_start(last, now)
    unclean = last.unclean_starts if last else 0
    unclean += previous.end is End.CRASHED
    run = msgspec.structs.replace(new, unclean_starts=unclean)
    set_fact(session, FACT, run, now)
    add_events(session, _events(previous, run, now))
    return previous, run


def _events(previous: LastRun, run: BotRun, now: float) -> list[Event]:
    last, events = previous.run, []
    if previous.end is End.CRASHED and last is not None:
        known = msgspec.to_builtins(last)
        detail = {**known, "away_seconds": previous.age_seconds, "unclean": run.unclean_starts}
        events.append(Event(at=now, kind=EventLogKind.RECOVERY, code="crash_found", detail=detail))
    if last is not None and (last.version, last.python) != (run.version, run.python):
        detail = {"from": f"{last.version} ({last.python})", "to": f"{run.version} ({run.python})"}
        events.append(
            Event(at=now, kind=EventLogKind.RECOVERY, code="release_changed", detail=detail)
        )
    return events


def _boot_id() -> str:
    try:
        return BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""
