"""The thread that runs all watchers of a bot."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from enum import StrEnum

from trading_ops.instrument.bot import BotMetrics
from trading_ops.instrument.watchers.garbage import Garbage
from trading_ops.instrument.watchers.loop_lag import LoopLag
from trading_ops.instrument.watchers.memory import Memory
from trading_ops.instrument.watchers.part import Part
from trading_ops.instrument.watchers.stuck import Progress, Stuck
from trading_ops.instrument.watchers.tasks import TaskWatcher

_logger = logging.getLogger(__name__)


class Watcher(StrEnum):
    """A watcher that can be switched on or off."""

    LOOP_LAG = "loop_lag"
    MEMORY = "memory"
    TASKS = "tasks"
    STUCK = "stuck"
    GARBAGE = "garbage"


ALL = frozenset(Watcher)


class Watchers:
    """Watches one process from a separate thread until stopped.

    The thread lets all watchers continue while the bot's loop is blocked.
    """

    def __init__(
        self, parts: Iterable[Part], *, suspended: Callable[[], bool] = lambda: False
    ) -> None:
        """Set what to run; `suspended` says whether those that can wait are left out now."""
        self._parts = tuple(parts)
        self._suspended = suspended
        self._stopping = threading.Event()
        self._failing: set[Part] = set()
        self._thread = threading.Thread(target=self._run, name="watchers", daemon=True)

    def start(self) -> None:
        """Start watching."""
        for part in self._parts:
            part.begin()
        self._thread.start()

    def stop(self) -> None:
        """Stop watching; returns when the thread has ended. May be called twice."""
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
                    if not (part.can_wait and self._suspended()):
                        self._check(part, now)
            if self._stopping.wait(max(0.0, min(due.values()) - time.monotonic())):
                return
            now = time.monotonic()

    def _check(self, part: Part, now: float) -> None:
        """Run one watcher; a failure is logged, does not affect the others, and is retried."""
        try:
            part.check(now)
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
    suspended: Callable[[], bool] = lambda: False,
) -> Watchers:
    """Return the watchers of a bot; those that are off cost nothing and export nothing.

    Args:
        metrics: of the bot; those of the watchers are registered in the same registry.
        loop: that the bot runs in; None for a bot with threads only.
        on: which watchers to run.
        progress: of the components that can be stuck.
        suspended: whether the readings of memory and tasks are left out now.
    """
    parts: list[Part] = []
    if Watcher.LOOP_LAG in on and loop is not None:
        parts.append(LoopLag(metrics, loop))
    if Watcher.MEMORY in on:
        parts.append(Memory(metrics))
    if Watcher.TASKS in on:
        parts.append(TaskWatcher(metrics, loop))
    if Watcher.STUCK in on and progress:
        parts.append(Stuck(metrics, progress))
    if Watcher.GARBAGE in on:
        parts.append(Garbage(metrics))
    return Watchers(parts, suspended=suspended)
