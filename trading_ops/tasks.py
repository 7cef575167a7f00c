"""The background tasks of the reconciler: restarted when they end, and monitored for stalls.

A task reports each success. A failed task is restarted with backoff. The reconciler is not ready
until a failed task succeeds again, and while a task has not succeeded for too long.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from trading_ops import clock, logs

log = logs.get(__name__)

STALLED_SECONDS = 60.0
"""Maximum time without a success. The slowest task succeeds every poll interval."""

LONGEST_BACKOFF_SECONDS = 30.0

Succeeded = Callable[[], None]
Work = Callable[[Succeeded], Awaitable[None]]
"""Runs until cancelled, and calls its argument after each success."""


def unwatched() -> None:
    """Ignore the report of a success, for a task that runs alone in a test."""


@dataclass(kw_only=True)
class _Task:
    succeeded_at: float
    """Monotonic time; before the first success, the start of the task."""

    stalled_after: float
    failed: bool = False
    """It failed, and has not succeeded since."""


@dataclass(kw_only=True)
class Tasks:
    """Runs the background tasks."""

    on_success: Callable[[str, float], None]
    """Called with the task's name and the time, in seconds since the epoch."""

    backoff_seconds: float = 1.0
    """Delay before the first restart; doubled for each further one without a success in between."""

    _tasks: dict[str, _Task] = field(init=False, default_factory=dict)

    @contextlib.asynccontextmanager
    async def running(
        self, name: str, work: Work, *, stalled_after: float = STALLED_SECONDS
    ) -> AsyncIterator[None]:
        """Run a task during the context."""
        task = _Task(succeeded_at=clock.monotonic(), stalled_after=stalled_after)
        self._tasks[name] = task
        self.on_success(name, clock.timestamp())

        def succeeded() -> None:
            task.failed, task.succeeded_at = False, clock.monotonic()
            self.on_success(name, clock.timestamp())

        running = asyncio.create_task(self._keep_running(name, work, succeeded), name=name)
        try:
            yield
        finally:
            running.cancel()
            await asyncio.wait({running})
            del self._tasks[name]

    def problems(self) -> str:
        """Return the problems of the tasks; empty if there are none."""
        now = clock.monotonic()
        parts = []
        for name, task in self._tasks.items():
            age = now - task.succeeded_at
            if task.failed:
                parts.append(f"{name} has failed and is being restarted")
            elif age > task.stalled_after:
                parts.append(f"{name} has not succeeded for {age:.0f} s")
        return "; ".join(parts)

    async def _keep_running(self, name: str, work: Work, succeeded: Succeeded) -> None:
        task, failures = self._tasks[name], 0
        while True:
            began = task.succeeded_at
            try:
                await work(succeeded)
                log.error("task_ended", task=name)
            except asyncio.CancelledError:
                if _is_cancelled():
                    raise
                log.error("task_cancelled", task=name)  # noqa: TRY400 - by a defect in it
            except Exception:
                log.exception("task_failed", task=name)
            failures = 1 if task.succeeded_at > began else failures + 1
            task.failed = True
            wait = self.backoff_seconds * 2.0 ** (min(failures, 10) - 1)
            await asyncio.sleep(min(wait, LONGEST_BACKOFF_SECONDS))


def _is_cancelled() -> bool:
    """Return whether this task itself was cancelled, not only something that it awaits."""
    current = asyncio.current_task()
    return current is not None and current.cancelling() > 0
