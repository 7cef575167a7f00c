"""A bot whose database pool is too small for its load."""

import contextlib
from pathlib import Path
from typing import Final

from trading_ops.domain.target import Target
from trading_ops.errors import NotPossibleHere
from trading_ops_lab.drills.lab_clients import Scene
from trading_ops_lab.faults.account import order, until
from trading_ops_lab.faults.base import Fault
from trading_ops_lab.faults.frozen_processes import pid_of
from trading_ops_lab.paper.bot.pool_load import CONNECTIONS, FILE

CLIENTS: Final = CONNECTIONS + 1
RESTORED_WITHIN_SECONDS: Final = 30.0


class PoolExhausted(Fault):
    """More clients than connections, until it is cleaned up.

    The evidence: the kernel's list of the open files of the process, one for each connection.
    """

    describe = f"{CLIENTS} clients in the bot share a pool of {CONNECTIONS} connections"

    def __init__(self) -> None:
        self._pid = 0

    async def inject(self, scene: Scene, bot: Target) -> str:
        """Start the clients; return the bot's process.

        Raises:
            StackError: the bot did not start them.
        """
        self._pid = await pid_of(scene, bot)
        await order(scene, bot, "exhaust_pool", clients=str(CLIENTS))
        return str(self._pid)

    async def clean_up(self, scene: Scene, bot: Target, key: str) -> None:
        """Restore the size of the pool, and end the clients.

        Raises:
            StackError: the pool kept more connections.
        """
        pid = await pid_of(scene, bot)
        if pid != int(key):
            return
        try:
            await order(scene, bot, "scale_pool", percent="100", seconds="0")

            async def restored() -> bool | None:
                return True if connections(pid) <= CONNECTIONS else None

            await until(
                restored,
                f"the pool of {bot.name} still has more than {CONNECTIONS} connections",
                within=RESTORED_WITHIN_SECONDS,
            )
        finally:
            await order(scene, bot, "exhaust_pool", clients="0")

    async def evidence(self, scene: Scene, bot: Target, since: float) -> str | None:
        """Count the open connections of the process, which must be the same one."""
        del since
        pid = await pid_of(scene, bot)
        if pid != self._pid or (found := connections(pid)) <= CONNECTIONS:
            return None
        return f"process {pid} has {found} connections open, and its pool had {CONNECTIONS}"


def connections(pid: int) -> int:
    """Return how often a process has the pool's database open.

    Raises:
        NotPossibleHere: the kernel refuses, because the process belongs to another user.
    """
    found = 0
    try:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                found += entry.readlink().name == FILE
    except PermissionError as error:
        raise NotPossibleHere(f"the kernel does not list the open files of {pid}") from error
    return found
