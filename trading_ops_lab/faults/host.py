"""Faults of processes and files of this machine; each lasts until it is cleaned up."""

import asyncio
import contextlib
import os
import uuid
from datetime import timedelta

from trading_ops.domain.target import Target
from trading_ops.errors import StackError
from trading_ops_lab.drills.lab_clients import Scene
from trading_ops_lab.faults.base import Fault
from trading_ops_lab.faults.locked_sqlite import LockedFile

FLOOD_BYTES = 400 * 1024 * 1024
RESTARTS = 3


class Restarts(Fault):
    """The bot is restarted repeatedly by an operator."""

    describe = f"the bot is restarted {RESTARTS} times through its service manager"

    async def inject(self, scene: Scene, bot: Target) -> str:
        """Restart it several times, each time once it is healthy."""
        unit = scene.directory.unit(bot)
        for _ in range(RESTARTS):
            process = await unit.process()
            await unit.restart(
                incarnation=process.incarnation,
                attempt_id=str(uuid.uuid4()),
                fence=None,
                within=timedelta(seconds=20),
            )
            await asyncio.sleep(2)
        return ""


class LockedRecords(LockedFile):
    """Another process keeps a write transaction on the bot's records open."""

    describe = "a transaction holds the lock of the bot's records"

    async def inject(self, scene: Scene, bot: Target) -> str:
        """Acquire the lock.

        Raises:
            StackError: the bot has no records in a file, or the lock could not be acquired.
        """
        if bot.service is None:
            raise StackError(f"{bot.name} has no folder")
        return self.lock(scene.settings.var / bot.service.unit / "bot.db")


class LogFlood(Fault):
    """A log file grows by hundreds of megabytes; it is sparse, so the disk does not fill."""

    describe = "a log file grows without limit"

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None

    async def inject(self, scene: Scene, bot: Target) -> str:
        """Create a file in the log folder and let it grow."""
        del bot
        path = scene.settings.logs / "drill.log"
        path.touch()
        self._task = asyncio.create_task(_grow(str(path)))
        return str(path)

    async def clean_up(self, scene: Scene, bot: Target, key: str) -> None:
        """Remove the file."""
        del scene, bot
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        with contextlib.suppress(FileNotFoundError):
            os.remove(key)  # noqa: PTH107 - one call, in no loop's way


async def _grow(path: str) -> None:
    size = 0
    while True:
        await asyncio.sleep(1)
        size += FLOOD_BYTES // 60
        os.truncate(path, size)
