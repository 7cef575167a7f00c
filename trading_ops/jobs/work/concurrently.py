"""Work on several bots at the same time, so that one that hangs does not delay the others."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import TypeVar

from trading_ops import logs
from trading_ops.domain.durations import format_duration
from trading_ops.errors import TradingOpsError

T = TypeVar("T")
log = logs.get(__name__)

SHARE = 0.9
"""Of the time limit of a run: the rest is for the record of what was done."""


async def concurrently(
    work: Mapping[str, Callable[[], Awaitable[T]]], *, at_once: int, within: timedelta
) -> tuple[dict[str, T], list[str]]:
    """Run the work for each name; return the results by name, and what failed.

    Args:
        work: by name; both answers are in its order.
        at_once: maximum number that run at the same time.
        within: time limit of all together; what has not ended then is cancelled.
    """
    turn = asyncio.Semaphore(at_once)

    async def run(begin: Callable[[], Awaitable[T]]) -> T:
        async with turn:
            return await begin()

    tasks = {name: asyncio.create_task(run(begin)) for name, begin in work.items()}
    try:
        if tasks:
            await asyncio.wait(tasks.values(), timeout=within.total_seconds())
    finally:
        late = [task for task in tasks.values() if not task.done()]
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)
    results, problems = {}, []
    for name, task in tasks.items():
        if task.cancelled():
            problems.append(f"{name}: not done within {format_duration(within)}")
        elif (error := task.exception()) is None:
            results[name] = task.result()
        elif isinstance(error, TradingOpsError):
            problems.append(f"{name}: {error}")
        else:
            log.error("care_crashed", name=name, exc_info=error)
            problems.append(f"{name}: {type(error).__name__}: {error}")
    return results, problems
