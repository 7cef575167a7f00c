"""Another process keeps a write transaction on a database file open."""

import sqlite3
from pathlib import Path

from trading_ops.domain.target import Target
from trading_ops.errors import StackError
from trading_ops.store.engine import sqlite_path
from trading_ops_lab.drills.lab_clients import Scene
from trading_ops_lab.faults.base import Fault

WAIT_SECONDS = 5.0


class LockedFile(Fault):
    """A transaction that holds the lock of a file until it ends."""

    def __init__(self) -> None:
        self._connection: sqlite3.Connection | None = None

    def lock(self, path: Path) -> str:
        """Acquire the lock; return the path.

        Raises:
            StackError: the lock could not be acquired.
        """
        connection = sqlite3.connect(path, isolation_level=None, timeout=WAIT_SECONDS)
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            connection.close()
            raise StackError(f"{path}: {error}") from error
        self._connection = connection
        return str(path)

    async def clean_up(self, scene: Scene, bot: Target, key: str) -> None:
        """Release the lock."""
        del scene, bot, key
        if self._connection is not None:
            self._connection.rollback()
            self._connection.close()
            self._connection = None


class LockedStore(LockedFile):
    """An open write transaction on the reconciler's database file."""

    describe = "a transaction holds the lock of the reconciler's database"
    blocks_notifications = True

    async def inject(self, scene: Scene, bot: Target) -> str:
        """Acquire the lock.

        Raises:
            StackError: the reconciler's database is not a file, or the lock was not acquired.
        """
        del bot
        path = sqlite_path(scene.settings.database_url)
        if path is None:
            raise StackError("the reconciler's database is not a SQLite file: nothing to lock")
        return self.lock(path)
