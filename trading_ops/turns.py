"""One request at a time to a server, across all processes of this host that ask it.

The processes lock a file that all of them can read (`flock`): the kernel releases the lock of one
that ends, and no folder has to be shared or writable.
"""

import asyncio
import contextlib
import fcntl
import os
from collections.abc import AsyncIterator
from pathlib import Path

from trading_ops import clock

PATIENCE_SECONDS = 3.0
"""Longer than any request that takes turns: only a frozen process keeps its turn for this long."""

LOOK_SECONDS = 0.003
PAUSE_SECONDS = 0.01
"""Between two turns of one process; the others look several times meanwhile."""


class Turns:
    """The turns at one server."""

    def __init__(self, file: Path | None = None) -> None:
        """Lock this file; if it cannot be opened, only the requests of this process take turns."""
        self._file = file
        self._door, self._own = asyncio.Lock(), asyncio.Lock()
        self._not_before = 0.0
        self.is_kept = False
        """Whether another process kept its turn for too long and has not ended it yet."""

    @contextlib.asynccontextmanager
    async def turn(self, *, first: bool = False) -> AsyncIterator[None]:
        """Wait for the turn, and keep it during the block.

        A process that was frozen during its turn delays the others once by PATIENCE_SECONDS; they
        go on without it.

        Args:
            first: go before those that wait in this process, except the next one.
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
            # To close it is not enough: a child that is being started may still have it.
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
