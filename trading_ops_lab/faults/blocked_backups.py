"""Backups fail: a file blocks the folder in which they are prepared."""

import asyncio
from datetime import timedelta
from pathlib import Path

from trading_ops import clock
from trading_ops.backup.records import BackupRecords
from trading_ops.domain.target import Target
from trading_ops.errors import NotPossibleHere, StackError
from trading_ops_lab.drills.lab_clients import Scene
from trading_ops_lab.faults.base import Fault

LONGEST = timedelta(seconds=10)
"""Maximum backup interval; the alert fires after five intervals."""

FIRST_SECONDS = 120.0


class BlockedBackups(Fault):
    """The newest backup becomes too old; stored backups are not touched."""

    describe = "a file blocks the folder in which backups are prepared"

    async def ready(self, scene: Scene, bot: Target) -> None:
        """Wait for a recent backup.

        Raises:
            NotPossibleHere: the interval is too long for a drill, or backups are off.
        """
        del bot
        interval = timedelta(seconds=scene.settings.backup_interval_seconds)
        if not timedelta(0) < interval <= LONGEST:
            raise NotPossibleHere(
                f"backup_interval_seconds is {interval.total_seconds():g}, and the alert fires "
                f"after five of them: start the stack with TRADING_OPS_BACKUP_INTERVAL_SECONDS="
                f"{LONGEST.seconds}"
            )
        records = BackupRecords(scene.settings.backup_records)
        async with asyncio.timeout(FIRST_SECONDS):
            while not await asyncio.to_thread(_is_recent, records):  # noqa: ASYNC110 - a file
                await asyncio.sleep(1)

    async def inject(self, scene: Scene, bot: Target) -> str:
        """Create the file between two backups.

        Raises:
            StackError: a backup was running all the time.
        """
        del bot
        path = scene.settings.backup_work / "create"
        for _ in range(100):
            try:
                await asyncio.to_thread(path.touch, exist_ok=False)
            except FileExistsError:
                await asyncio.sleep(0.1)
            else:
                return str(path)
        raise StackError(f"{path} is in use")

    async def clean_up(self, scene: Scene, bot: Target, key: str) -> None:
        """Remove it."""
        del scene, bot
        await asyncio.to_thread(Path(key).unlink, missing_ok=True)


def _is_recent(records: BackupRecords) -> bool:
    return any(clock.now() - row.created_at < 3 * LONGEST for row in records.all().values())
