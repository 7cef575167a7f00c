"""The reconciler's own database is locked: the reconciler answers but cannot store anything."""

from trading_ops.domain.target import Target
from trading_ops.errors import StackError
from trading_ops.store.engine import sqlite_path
from trading_ops_lab.drills.lab_clients import Scene
from trading_ops_lab.faults.locked_sqlite import LockedFile


class LockedStore(LockedFile):
    """An open write transaction on the reconciler's database file."""

    describe = "a transaction holds the lock of the reconciler's database"
    deafens = True

    async def inject(self, scene: Scene, bot: Target) -> str:
        """Take the lock.

        Raises:
            StackError: the reconciler's database is not a file, or the lock was not acquired.
        """
        del bot
        path = sqlite_path(scene.settings.database_url)
        if path is None:
            raise StackError("the reconciler's database is not a SQLite file: nothing to lock")
        return self.lock(path)
