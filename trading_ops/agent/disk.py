"""A thread for disk writes, so that the agent's loop never waits for a disk."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

_logger = logging.getLogger(__name__)


class DiskThread:
    """Runs disk writes one after the other, in order of submission."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="agent-disk")

    def begin(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Submit a write; a failure is logged even if no caller waits any more.

        Cancelling the future skips a write that has not started.
        """
        doing = asyncio.wrap_future(self._pool.submit(work))
        doing.add_done_callback(_log_failure)
        return doing

    async def run(self, work: Callable[[], T]) -> T:
        """Run the work and return its result, however long the disk takes."""
        return await self.begin(work)

    async def within(self, seconds: float, work: Callable[[], object]) -> bool:
        """Return whether the write finished in time; otherwise it continues.

        Raises:
            OSError: it failed within this time.
        """
        doing = self.begin(work)
        await asyncio.wait({doing}, timeout=seconds)
        if doing.done():
            doing.result()
        return doing.done()

    def close(self) -> None:
        """Wait until all writes are done."""
        self._pool.shutdown()


def _log_failure(doing: asyncio.Future[T]) -> None:
    error = None if doing.cancelled() else doing.exception()
    if isinstance(error, OSError):
        _logger.error("state_not_stored error=%s", error)
