"""What runs beside the loop: at most one job for each attempt, and none left behind at the end."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from trading_ops import logs
from trading_ops.reconciler.handling import Handling

log = logs.get(__name__)


class Jobs:
    """Keeps background jobs by key; wakes the loop when one ends."""

    def __init__(self, wake: Callable[[], None], handling: Handling) -> None:
        """Take what wakes the loop, and what marks the incidents that jobs handle."""
        self._wake = wake
        self.handling = handling
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def __contains__(self, key: str) -> bool:
        """Whether a job with this key is running."""
        return key in self._tasks

    def __len__(self) -> int:
        """How many jobs are running."""
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
            key: must be free.
            work: what is done.
            wakes: whether its end wakes the loop; otherwise it may wait for its round.
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
        except Exception:  # the next pass looks at what is stored and goes on from there
            log.exception("job_failed", job=key)
        finally:
            del self._tasks[key]
            if wakes:
                self._wake()

    async def stop(self, grace_seconds: float) -> None:
        """Let jobs end by themselves for a while, then cancel what is left.

        A cancelled attempt stays `started` in the store and is probed at the next start.
        """
        tasks = list(self._tasks.values())
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=grace_seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
