"""Tasks that accumulate, by coroutine."""

import asyncio
import logging
import threading
from collections import Counter, deque
from collections.abc import Mapping

from trading_ops.instrument import catalogue
from trading_ops.instrument.bot import BotMetrics
from trading_ops.instrument.labels import OTHER
from trading_ops.instrument.recorder import gauges
from trading_ops.instrument.watchers.part import Part

NAMED_COROUTINES = 20
"""Maximum number of named coroutines; others are counted under `other`."""

_logger = logging.getLogger(__name__)


def count_tasks(loop: asyncio.AbstractEventLoop) -> Counter[str]:
    """Return the number of pending tasks by coroutine; may be called in any thread."""
    names = (task.get_coro() for task in asyncio.all_tasks(loop))
    return Counter(getattr(coro, "__qualname__", type(coro).__name__) for coro in names)


class TaskGrowth:
    """Finds coroutines whose number of tasks only grows; no clock and no I/O.

    Only the minimum of each block of time counts, so temporary tasks are not growth.
    """

    def __init__(
        self, *, block_seconds: float = 600.0, blocks: int = 7, tasks: int = 20, share: float = 0.5
    ) -> None:
        """Set the thresholds.

        Args:
            block_seconds: length of a block.
            blocks: number of blocks; the last is compared with the first.
            tasks: minimum growth that is a leak.
            share: minimum growth that is a leak, as a share of the first count.
        """
        self._length = block_seconds
        self._tasks, self._share = tasks, share
        self._minima: deque[Mapping[str, int]] = deque(maxlen=blocks)
        self._open: dict[str, int] | None = None
        self._ends = 0.0

    def add(self, at: float, counts: Mapping[str, int]) -> bool:
        """Add counts at a time in seconds; return whether they ended a block."""
        ended = self._open is not None and at >= self._ends
        if self._open is not None and ended:
            self._minima.append(self._open)
            self._open = None
        if self._open is None:
            self._open, self._ends = dict(counts), at + self._length
        else:
            # A name that is missing now, or was at the block's start, has a minimum of zero.
            names = self._open.keys() & counts.keys()
            self._open = {name: min(self._open[name], counts[name]) for name in names}
        return ended

    def growth(self) -> dict[str, int]:
        """Return the growth from the first block to the last; empty until all blocks are full."""
        if len(self._minima) < (self._minima.maxlen or 0):
            return {}
        first, last = self._minima[0], self._minima[-1]
        return {name: last.get(name, 0) - first.get(name, 0) for name in first.keys() | last.keys()}

    def leaking(self) -> list[str]:
        """Return the coroutines whose tasks leak, by name."""
        return sorted(name for name, rise in self.growth().items() if self._leaks(name, rise))

    def _leaks(self, name: str, rise: int) -> bool:
        counts = [block.get(name, 0) for block in self._minima]
        least = max(self._tasks, self._share * counts[0])
        return rise >= least and counts == sorted(counts)


class TaskWatcher(Part):
    """Counts tasks and threads in the watchers' thread, so it takes no time of the loop."""

    can_wait = True

    def __init__(
        self,
        metrics: BotMetrics,
        loop: asyncio.AbstractEventLoop | None,
        *,
        interval_seconds: float = 15.0,
        growth: TaskGrowth | None = None,
    ) -> None:
        """Set up the watcher; `loop` is None for a bot with threads only."""
        self.interval_seconds = interval_seconds
        self._loop = loop
        self._growth = growth or TaskGrowth()
        self._named: set[str] = set()
        self._leaking: list[str] = []
        limit = NAMED_COROUTINES + 1  # for `other`
        self._counts = gauges(catalogue.get("trading_tasks"), limit=limit)
        self._rises = gauges(catalogue.get("trading_tasks_growth"), limit=limit)
        suspected = gauges(catalogue.get("trading_task_leak_suspected"))
        threads = gauges(catalogue.get("trading_threads"))
        for family in (self._counts, self._rises, suspected, threads):
            metrics.registry.register(family)
        self._suspected, self._threads = suspected.labels(), threads.labels()

    def check(self, now: float) -> None:
        """Count once."""
        self._threads.set(threading.active_count())
        if self._loop is None:
            return
        counts = self._bounded(count_tasks(self._loop))
        for name in self._named | counts.keys():
            self._counts.labels(name).set(counts[name])
        if self._growth.add(now, counts):
            self._judge()

    def _judge(self) -> None:
        for name, rise in self._growth.growth().items():
            self._rises.labels(name).set(rise)
        leaking = self._growth.leaking()
        self._suspected.set(1 if leaking else 0)
        if leaking != self._leaking:
            _logger.warning("tasks_leaking coroutines=%s", ", ".join(leaking) or "none any more")
        self._leaking = leaking

    def _bounded(self, counts: Counter[str]) -> Counter[str]:
        """Give permanent names to the most frequent coroutines, and count the rest together."""
        bounded: Counter[str] = Counter()
        for name, count in counts.most_common():
            if name not in self._named and len(self._named) < NAMED_COROUTINES:
                self._named.add(name)
            bounded[name if name in self._named else OTHER] += count
        return bounded
