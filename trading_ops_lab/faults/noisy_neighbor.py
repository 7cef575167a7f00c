"""A bot that uses all CPUs of the host, beside a process that needs a little of one."""

import asyncio
import contextlib
import os
import sys
import uuid
from pathlib import Path
from typing import Final, NamedTuple

import psutil

from trading_ops.domain.target import Target
from trading_ops.errors import FencedOff, NotPossibleHere, StackError
from trading_ops_lab.drills.lab_clients import Scene
from trading_ops_lab.faults.account import ORDER_WITHIN, order
from trading_ops_lab.faults.base import Fault
from trading_ops_lab.faults.frozen_processes import pid_of

MEASURED_SECONDS: Final = 15.0
"""Less than the alert needs to fire."""

NEIGHBOR: Final = """
import time
while True:
    started = time.thread_time()
    while time.thread_time() - started < 0.03:
        pass
    time.sleep(0.07)
"""
"""Computes for 30 ms, ten times a second if it gets a CPU at once."""


class Shares(NamedTuple):
    """What the kernel counts in some seconds."""

    used: float
    """CPUs that the bot used."""

    waited: float
    """Share of the time in which the second process could run, and waited."""


class NoisyNeighbor(Fault):
    """The evidence: the kernel's weight of the bot, and what a second process waits for a CPU."""

    describe = "threads of the bot use all CPUs of the host, and a second process waits for one"

    def __init__(self) -> None:
        self._neighbor: asyncio.subprocess.Process | None = None
        self._measuring: asyncio.Task[Shares] | None = None
        self._pid = 0

    async def inject(self, scene: Scene, bot: Target) -> str:
        """Start both; return the bot's process.

        Raises:
            NotPossibleHere: the bot's CPU weight cannot be changed on this machine.
            StackError: the bot did not start its threads.
        """
        self._pid = pid = await pid_of(scene, bot)
        try:
            await scale(scene, bot, weight=50, seconds=60)
        except StackError as error:
            raise NotPossibleHere(str(error)) from error
        await scale(scene, bot, weight=50, seconds=0)
        neighbor = await asyncio.create_subprocess_exec(
            sys.executable, "-c", NEIGHBOR, start_new_session=True
        )
        self._neighbor = neighbor
        try:
            await order(scene, bot, "burn_cpu", threads=str(os.cpu_count() or 1))
        except BaseException:
            await self.clean_up(scene, bot, str(pid))
            raise
        self._measuring = asyncio.create_task(measured(pid, neighbor.pid))
        return str(pid)

    async def clean_up(self, scene: Scene, bot: Target, key: str) -> None:
        """End both, and restore the bot's weight.

        Raises:
            StackError: the kernel has another weight afterwards.
        """
        if self._measuring is not None:
            self._measuring.cancel()
            await asyncio.wait({self._measuring})
        if self._neighbor is not None:
            self._neighbor.kill()
            await self._neighbor.wait()
        pid = await pid_of(scene, bot)
        if pid == int(key):
            await order(scene, bot, "burn_cpu", threads="0")
        await scale(scene, bot, weight=50, seconds=0)
        if (nice := nice_of(pid)) > os.getpriority(os.PRIO_PROCESS, 0):
            raise StackError(f"the weight of {bot.name} was not restored: nice {nice}")

    async def evidence(self, scene: Scene, bot: Target, since: float) -> str | None:
        """Compare the bot's use of CPUs and the waiting time with those at the beginning."""
        del since
        if self._neighbor is None or self._measuring is None:
            return None
        if await pid_of(scene, bot) != self._pid:
            return None  # a restart ended the load, not the lower weight
        before, now = await self._measuring, await measured(self._pid, self._neighbor.pid)
        nice = nice_of(self._pid)
        helped = now.waited < before.waited or now.used < before.used
        if nice <= os.getpriority(os.PRIO_PROCESS, 0) or not helped:
            return None
        return (
            f"the kernel runs the bot at nice {nice}: it uses {now.used:.2f} CPUs, not "
            f"{before.used:.2f}, and a second process waits {now.waited:.0%} of its time for one, "
            f"not {before.waited:.0%}"
        )


async def scale(scene: Scene, bot: Target, *, weight: int, seconds: int) -> None:
    """Change the bot's CPU weight, like an operator; 0 seconds restore it.

    Raises:
        StackError: its service manager did not.
    """
    unit, fence = scene.directory.unit(bot), 0
    for _ in range(2):
        try:
            answer = await unit.scale(
                resource="cpu_weight",
                value=weight,
                seconds=seconds,
                attempt_id=str(uuid.uuid4()),
                fence=fence,
                within=ORDER_WITHIN,
            )
        except FencedOff as error:
            fence = error.highest
            continue
        if not answer.succeeded:
            raise StackError(f"the CPU weight of {bot.name} was not changed: {answer.detail}")
        return
    raise StackError(f"the CPU weight of {bot.name} was not changed: another sender is newer")


async def measured(pid: int, neighbor: int) -> Shares:
    """Return what the kernel counts of the bot and of the second process in some seconds.

    Raises:
        StackError: one of them ended.
    """
    try:
        used, (ran, waited) = _used(pid), _counted(neighbor)
        await asyncio.sleep(MEASURED_SECONDS)
        used, (ran_later, waited_later) = _used(pid) - used, _counted(neighbor)
    except (psutil.NoSuchProcess, OSError) as error:
        raise StackError("the bot or the second process ended") from error
    could_run = ran_later - ran + waited_later - waited
    return Shares(used=used / MEASURED_SECONDS, waited=(waited_later - waited) / max(could_run, 1))


def _used(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def nice_of(pid: int) -> int:
    """Return the nice value of a process, or of its session's group if that is higher."""
    found = [os.getpriority(os.PRIO_PROCESS, pid)]
    with contextlib.suppress(OSError, ValueError, IndexError):
        found.append(int(Path(f"/proc/{pid}/autogroup").read_text("ascii").split()[-1]))
    return max(found)


def _counted(pid: int) -> tuple[int, int]:
    """Return the nanoseconds in which the main thread ran, and waited for a CPU."""
    ran, waited_for, _ = Path(f"/proc/{pid}/schedstat").read_text("ascii").split()
    return int(ran), int(waited_for)
