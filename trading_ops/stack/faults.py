"""The faults that drills inject, each with a witness that the cure did not write.

A fault lasts until something mends it: none clears by itself or by a timer.
"""

import os
import signal
from collections.abc import Mapping
from typing import Protocol

import psutil

from trading_ops.domain.target import Target
from trading_ops.errors import StackError
from trading_ops.stack.scene import Scene


class Fault(Protocol):
    """One way to break the local stack."""

    describe: str

    async def inject(self, scene: Scene, bot: Target) -> str:
        """Break it; return what is needed to clean up, or nothing."""

    async def clean_up(self, scene: Scene, bot: Target, key: str) -> None:
        """Take away what is left of it; must not mend what the drill wants mended."""

    async def witness(self, scene: Scene, bot: Target, since: float) -> str | None:
        """Return what an uninvolved party saw of the cure since a moment, or None: nothing."""


class VenueFault:
    """A fault of the venue; its journal is the witness."""

    def __init__(self, kind: str, describe: str, cured: str, saw: str) -> None:
        self.describe = describe
        self._kind = kind
        self._cured = cured
        self._saw = saw

    async def inject(self, scene: Scene, bot: Target) -> str:
        """Inject it through the fault port."""
        return await scene.faults(bot).inject(self._kind)

    async def clean_up(self, scene: Scene, bot: Target, key: str) -> None:
        """Clear it at the venue."""
        await scene.faults(bot).clear(key)

    async def witness(self, scene: Scene, bot: Target, since: float) -> str | None:
        """Look for the cure in the venue's journal."""
        journal = await scene.faults(bot).journal(since=since)
        cured = (
            entry.event == self._cured and entry.account in {"", bot.name} for entry in journal
        )
        return self._saw if any(cured) else None


class BotKill:
    """`kill -9` of the bot's process; the operating system is the witness."""

    describe = "the bot's process gets SIGKILL"

    async def inject(self, scene: Scene, bot: Target) -> str:
        """Kill it; return the dead process's id."""
        process = await scene.directory.unit(bot).process()
        if process.pid is None:
            raise StackError(f"{bot.name} does not run, so it cannot be killed")
        os.kill(process.pid, signal.SIGKILL)
        return str(process.pid)

    async def clean_up(self, scene: Scene, bot: Target, key: str) -> None:
        """Leave it: the cure is a new process."""

    async def witness(self, scene: Scene, bot: Target, since: float) -> str | None:
        """Ask the kernel when the process that runs now was started."""
        process = await scene.directory.unit(bot).process()
        if process.pid is None:
            return None
        try:
            started = psutil.Process(process.pid).create_time()
        except psutil.NoSuchProcess:
            return None
        return f"the kernel has a new process {process.pid}" if started > since else None


FAULTS: Mapping[str, Fault] = {
    "venue_disconnect": VenueFault(
        "disconnect",
        "the venue drops the bot's session; only a new one works",
        "session_joined",
        "the venue's journal has the bot on a new session",
    ),
    "venue_stale_feed": VenueFault(
        "stale_feed",
        "the open market data connections stay open and fall silent",
        "feed_subscribed",
        "the venue's journal has a new feed subscription",
    ),
    "bot_kill": BotKill(),
}
