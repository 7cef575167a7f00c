"""Allows one request at a time to a server, across all processes of this host.

The processes lock a file that all of them can read (`flock`): the kernel releases the lock of a
process that exits, and no shared or writable folder is needed.
"""

import asyncio
import contextlib
import fcntl
import os
from collections.abc import AsyncIterator
from pathlib import Path

from trading_ops import clock

PATIENCE_SECONDS = 3.0
"""Longer than any such request: only a frozen process keeps its turn for this long."""

LOOK_SECONDS = 0.003
PAUSE_SECONDS = 0.01
"""Pause between two turns of one process, so that the others can take theirs."""


class Turns:
    """The turns of one server."""

    def __init__(self, file: Path | None = None) -> None:
        """Use this lock file; if it cannot be opened, only requests of this process take turns."""
        self._file = file
        self._door, self._own = asyncio.Lock(), asyncio.Lock()
        self._not_before = 0.0
        self.is_kept = False
        """Whether another process has exceeded its turn and still holds it."""

    @contextlib.asynccontextmanager
    async def turn(self, *, first: bool = False) -> AsyncIterator[None]:
        """Wait for the turn, and keep it during the block.

        A process that is frozen during its turn delays the others once, by PATIENCE_SECONDS; then
        they continue without it.

        Args:
            first: go before the waiting requests of this process, except the next one.
        """
        async with contextlib.nullcontext() if first else self._door:
            await self._own.acquire()
        try:
            await asyncio.sleep(self._not_before - clock.monotonic())
            async with self._locked():
                yield
        finally:
            self._not_before = clock.monotonic() + PAUSE_SECONDS
            self._own.release()

    @contextlib.asynccontextmanager
    async def _locked(self) -> AsyncIterator[None]:
        try:
            flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
            descriptor = None if self._file is None else os.open(self._file, flags)
        except OSError:
            descriptor = None
        if descriptor is None:
            yield
            return
        try:
            await self._lock(descriptor)
            yield
        finally:
            # Closing it is not enough: a child that is being started may still have it.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)

    async def _lock(self, descriptor: int) -> None:
        give_up_at = clock.monotonic() + (0 if self.is_kept else PATIENCE_SECONDS)
        while not _try_lock(descriptor):
            if clock.monotonic() >= give_up_at:
                self.is_kept = True
                return
            await asyncio.sleep(LOOK_SECONDS)
        self.is_kept = False


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
