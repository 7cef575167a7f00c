"""Background jobs of the loop: at most one per attempt, all finished at the end."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from trading_ops import logs
from trading_ops.reconciler.handling import Handling

log = logs.get(__name__)


class Jobs:
    """Runs background jobs by key; wakes the loop when one ends."""

    def __init__(self, wake: Callable[[], None], handling: Handling) -> None:
        """Take the wake-up of the loop, and the marks of incidents being handled."""
        self._wake = wake
        self.handling = handling
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def __contains__(self, key: str) -> bool:
        """Whether a job with this key is running."""
        return key in self._tasks

    def __len__(self) -> int:
        """Number of running jobs."""
        return len(self._tasks)

    def start(
        self,
        key: str,
        work: Coroutine[Any, Any, Any],
        *,
        wakes: bool = True,
        incident_id: str | None = None,
    ) -> None:
        """Start a job.

        Args:
            key: must not be in use.
            work: the coroutine.
            wakes: whether its end wakes the loop.
            incident_id: the incident that it handles, if any.
        """
        if incident_id is not None:
            work = self._handle(incident_id, work)
        self._tasks[key] = asyncio.create_task(self._run(key, work, wakes), name=key)

    async def _handle(self, incident_id: str, work: Coroutine[Any, Any, Any]) -> None:
        with self.handling.of((incident_id,)):
            await work

    async def _run(self, key: str, work: Coroutine[Any, Any, Any], wakes: bool) -> None:  # noqa: FBT001
        try:
            await work
        except Exception:  # the next pass continues from the stored state
            log.exception("job_failed", job=key)
        finally:
            del self._tasks[key]
            if wakes:
                self._wake()

    async def stop(self, grace_seconds: float) -> None:
        """Wait for jobs for a while, then cancel the rest.

        A cancelled attempt stays `started` in the store and is probed at the next start.
        """
        tasks = list(self._tasks.values())
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=grace_seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
