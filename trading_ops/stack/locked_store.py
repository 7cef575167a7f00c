"""Somebody holds the lock of the reconciler's own database: it answers, and can record nothing."""

import sqlite3

from trading_ops.domain.target import Target
from trading_ops.errors import StackError
from trading_ops.stack.fault import Fault
from trading_ops.stack.scene import Scene
from trading_ops.store.engine import sqlite_path

WAIT_SECONDS = 5.0


class LockedStore(Fault):
    """A transaction that somebody began in the reconciler's file, and left open."""

    describe = "a transaction holds the lock of the reconciler's database"
    deafens = True

    def __init__(self) -> None:
        """Begin with nothing locked."""
        self._connection: sqlite3.Connection | None = None

    async def inject(self, scene: Scene, bot: Target) -> str:
        """Take the lock.

        Raises:
            StackError: the reconciler's database is no file, or the lock was not to be had.
        """
        del bot
        path = sqlite_path(scene.settings.database_url)
        if path is None:
            raise StackError("the reconciler's database is no SQLite file: nothing to lock")
        connection = sqlite3.connect(path, isolation_level=None, timeout=WAIT_SECONDS)
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            connection.close()
            raise StackError(f"{path}: {error}") from error
        self._connection = connection
        return str(path)

    async def clean_up(self, scene: Scene, bot: Target, key: str) -> None:
        """Give it back."""
        del scene, bot, key
        if self._connection is not None:
            self._connection.rollback()
            self._connection.close()
            self._connection = None
