"""All watchers of a bot in one thread, each on or off."""

import asyncio
import logging
import threading
import time
from collections.abc import Collection, Iterable, Sequence
from enum import StrEnum

from trading_ops.instrument.bot import BotMetrics
from trading_ops.instrument.watchers.garbage import Garbage
from trading_ops.instrument.watchers.loop_lag import LoopLag
from trading_ops.instrument.watchers.memory import Memory
from trading_ops.instrument.watchers.part import Part
from trading_ops.instrument.watchers.stuck import Progress, Stuck
from trading_ops.instrument.watchers.tasks import Tasks

_logger = logging.getLogger(__name__)


class Watcher(StrEnum):
    """What can be switched on or off."""

    LOOP_LAG = "loop_lag"
    MEMORY = "memory"
    TASKS = "tasks"
    STUCK = "stuck"
    GARBAGE = "garbage"


ALL = frozenset(Watcher)


class Watchers:
    """Watches one process from a separate thread until stopped.

    From a thread, so that all watchers continue while the bot's loop is blocked.
    """

    def __init__(self, parts: Iterable[Part]) -> None:
        """Take what is to look, each at its own interval; `watchers_of` makes the usual ones."""
        self._parts = tuple(parts)
        self._stopping = threading.Event()
        self._failing: set[Part] = set()
        self._thread = threading.Thread(target=self._run, name="watchers", daemon=True)

    def start(self) -> None:
        """Start to watch."""
        for part in self._parts:
            part.begin()
        self._thread.start()

    def stop(self) -> None:
        """End the watch; returns when its thread is gone. May be called twice."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        self._thread.join()
        for part in self._parts:
            part.end()

    def _run(self) -> None:
        now = time.monotonic()
        due = dict.fromkeys(self._parts, now)
        while due:
            for part, at in due.items():
                if now >= at:
                    due[part] = now + part.interval_seconds
                    self._look(part, now)
            if self._stopping.wait(max(0.0, min(due.values()) - time.monotonic())):
                return
            now = time.monotonic()

    def _look(self, part: Part, now: float) -> None:
        """Run one watcher; a failure is logged, does not affect the others, and is retried."""
        try:
            part.look(now)
        except Exception:
            if part not in self._failing:
                _logger.exception("watcher_failed watcher=%s", type(part).__name__)
            self._failing.add(part)
        else:
            self._failing.discard(part)


def watchers_of(
    metrics: BotMetrics,
    loop: asyncio.AbstractEventLoop | None,
    *,
    on: Collection[Watcher] = ALL,
    progress: Sequence[Progress] = (),
) -> Watchers:
    """Return the watchers of a bot; those that are off cost nothing and export nothing.

    Args:
        metrics: of the bot; the watchers' own are registered beside them.
        loop: that the bot runs in; None for a bot of threads alone, which has no lag.
        on: which of them.
        progress: of the components that can be stuck.
    """
    parts: list[Part] = []
    if Watcher.LOOP_LAG in on and loop is not None:
        parts.append(LoopLag(metrics, loop))
    if Watcher.MEMORY in on:
        parts.append(Memory(metrics))
    if Watcher.TASKS in on:
        parts.append(Tasks(metrics, loop))
    if Watcher.STUCK in on and progress:
        parts.append(Stuck(metrics, progress))
    if Watcher.GARBAGE in on:
        parts.append(Garbage(metrics))
    return Watchers(parts)
