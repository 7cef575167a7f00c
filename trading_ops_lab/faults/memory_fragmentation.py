"""A bot whose process keeps much freed memory, as after one large task."""

import contextlib
import math

import psutil

from trading_ops.domain.target import Target
from trading_ops.errors import NotPossibleHere, StackError
from trading_ops_lab.drills.lab_clients import Scene
from trading_ops_lab.faults.account import order
from trading_ops_lab.faults.base import Fault
from trading_ops_lab.faults.free_memory import spare_bytes
from trading_ops_lab.faults.frozen_processes import pid_of
from trading_ops_lab.paper.bot.drills import MEBIBYTE, MOST_MEBIBYTES

LIMIT = 'max(bot:trading_memory_uss_bytes:limit{{bot="{}"}})'
BEYOND_MEBIBYTES = 64
"""Amount above the bot's limit, whatever else it uses."""

LEFT_MEBIBYTES = 1024
"""Memory that must stay free on the machine during the drill."""


class MemoryFragmentation(Fault):
    """The bot allocates and frees memory, and its C library keeps it; the kernel shows it.

    Only returning free memory to the kernel, or the end of the process, clears it.
    """

    describe = "the bot's process keeps freed memory above its limit"

    def __init__(self) -> None:
        self._limit = 0
        self._taken = 0

    async def inject(self, scene: Scene, bot: Target) -> str:
        """Make the bot do it, and check with the kernel.

        Raises:
            NotPossibleHere: the machine does not have that much memory to spare.
            StackError: Prometheus has no limit, or the bot did not do it.
        """
        limits = await scene.prometheus.query(LIMIT.format(bot.name))
        if not limits:
            raise StackError(f"Prometheus has no limit for {bot.name}'s memory yet")
        self._limit = int(limits[0].value)
        wanted = math.ceil(self._limit / MEBIBYTE) + BEYOND_MEBIBYTES
        pid = await pid_of(scene, bot)
        refuse_without_room(wanted, spare_bytes(pid))
        try:
            await order(scene, bot, "fragment_memory", mebibytes=str(wanted))
            self._taken = over(self._limit, own_bytes(pid))
        except BaseException:
            await self.clean_up(scene, bot, str(pid))
            raise
        return str(pid)

    async def clean_up(self, scene: Scene, bot: Target, key: str) -> None:
        """Free the rest too, and return it, if it is still the same process."""
        if await pid_of(scene, bot) != int(key):
            return
        await order(scene, bot, "fragment_memory", mebibytes="0")
        with contextlib.suppress(StackError):  # nothing is left to return
            await order(scene, bot, "relieve_memory")

    async def evidence(self, scene: Scene, bot: Target, since: float) -> str | None:
        """Check the memory of the process, and that it is still the same one."""
        pid = await pid_of(scene, bot)
        now = own_bytes(pid)
        if now > self._limit:
            return None
        same = psutil.Process(pid).create_time() < since
        which = "the same process" if same else "a new process"
        return f"{which} {pid} uses {_text(now)}, down from {_text(self._taken)}"


def refuse_without_room(wanted_mebibytes: int, spare: int) -> None:
    """Refuse what would exhaust the machine's memory.

    Args:
        wanted_mebibytes: what the bot should allocate.
        spare: bytes that it may still allocate.

    Raises:
        NotPossibleHere: too little memory is left, or the bot's limit is too high to reach.
    """
    if wanted_mebibytes > MOST_MEBIBYTES:
        raise NotPossibleHere(
            f"the bot would have to allocate {wanted_mebibytes} MiB, but a drill "
            f"allocates at most {MOST_MEBIBYTES} MiB"
        )
    left = spare // MEBIBYTE - wanted_mebibytes
    if left < LEFT_MEBIBYTES:
        raise NotPossibleHere(
            f"the bot would have to allocate {wanted_mebibytes} MiB, but of "
            f"{spare // MEBIBYTE} MiB that are free {LEFT_MEBIBYTES} MiB must stay free"
        )


def over(limit: int, taken: int) -> int:
    """Return the bot's memory, if it is above its limit.

    Raises:
        NotPossibleHere: its C library does not keep freed memory, unlike glibc.
    """
    if taken > limit:
        return taken
    raise NotPossibleHere(
        f"the bot uses only {_text(taken)}: its C library returns freed memory, so there is "
        "nothing to release"
    )


def own_bytes(pid: int) -> int:
    """Return the private memory of a process in bytes, as counted by the kernel.

    Raises:
        NotPossibleHere: the kernel refuses, because the process belongs to another user.
    """
    try:
        return int(psutil.Process(pid).memory_full_info().uss)
    except psutil.Error as error:
        raise NotPossibleHere(f"the kernel does not report the memory of {pid}") from error


def _text(size: int) -> str:
    return f"{size // MEBIBYTE} MiB"
