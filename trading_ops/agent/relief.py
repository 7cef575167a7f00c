"""`relieve_memory`: frees memory that a bot does not need; for a bot near its limit.

It empties caches, collects garbage, and has the C library return free heap memory to the kernel.
The collection pauses every thread of the process: a tenth of a second per million objects. Memory
is measured before and after; if it did not drop, the command has failed: the memory is in use, and
only a restart frees it.
"""

import asyncio
import gc
import linecache
import re
from collections.abc import Callable, Sequence

from trading_ops.agent.commands import Command, CommandFailed, Params
from trading_ops.instrument import BotMetrics
from trading_ops.instrument.heap import trim_heap
from trading_ops.instrument.watchers.memory import read_uss

DEADLINE_SECONDS = 30.0

NOISE_BYTES = 64 * 1024
"""Smaller changes are noise."""

PYTHON_CACHES: tuple[Callable[[], object], ...] = (linecache.clearcache, re.purge)
"""Source lines for tracebacks, and compiled patterns: both are created again when needed."""


def relief_commands(
    metrics: BotMetrics,
    *,
    caches: Sequence[Callable[[], object]] = (),
    read: Callable[[], int | None] = read_uss,
) -> dict[str, Command]:
    """Return the command; it does not need the bot's loop, so it works while the loop is stuck.

    Args:
        metrics: of the bot; the new value is recorded in them.
        caches: functions that clear the bot's own caches; called from any thread.
        read: returns the process's unique memory (USS) in bytes, or None if unknown.
    """

    def relieve() -> str:
        before = read()
        for empty in (*PYTHON_CACHES, *caches):
            empty()
        collected = gc.collect()
        trim_heap()
        after = read()
        if before is None or after is None:
            raise CommandFailed("its effect is unknown: the kernel does not report the memory")
        metrics.memory_uss(after)
        summary = f"{before} bytes before and {after} after; {collected} objects were collected"
        if before - after < NOISE_BYTES:
            raise CommandFailed(f"memory use did not drop: {summary}")
        return f"{before - after} bytes were freed: {summary}"

    async def run(_params: Params) -> str:
        return await asyncio.to_thread(relieve)

    command = Command(run=run, deadline_seconds=DEADLINE_SECONDS, in_agent=True)
    return {"relieve_memory": command}
