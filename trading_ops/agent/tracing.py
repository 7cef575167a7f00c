"""`trace_memory`: finds the code that allocates memory in a running bot, for a suspected leak.

Tracing makes every allocation of the process slower, so it is on only for the requested seconds,
for at most five minutes, and ends early if its own records grow too large, because copying them
pauses every thread. A request during another trace is refused.
"""

import asyncio
import contextlib
import tracemalloc
from dataclasses import dataclass
from pathlib import Path

from trading_ops import clock
from trading_ops.agent.commands import BadRequest, Command, CommandFailed, Params

DEFAULT_SECONDS = 60
MAXIMUM_SECONDS = 300
DEFAULT_LINES = 10
MAXIMUM_LINES = 20

LIMIT_BYTES = 4 * 1024 * 1024
"""Limit of tracemalloc's own records; `tests.bench.watchers` measures how long copying them
takes."""

SETTLING_SHARE = 4
"""The first snapshot is taken after a quarter of the time, once short-lived allocations leveled
off."""

ENDING_SECONDS = 30.0
"""Time for the two copies and their comparison."""

CHECK_SECONDS = 0.25
PATH_PARTS = 3

_IGNORED = (
    tracemalloc.Filter(inclusive=False, filename_pattern=tracemalloc.__file__),
    tracemalloc.Filter(inclusive=False, filename_pattern=__file__),
)


@dataclass(frozen=True, kw_only=True)
class _Parameters:
    seconds: int
    lines: int


def tracing_commands(
    stopping: asyncio.Event, *, limit_bytes: int = LIMIT_BYTES
) -> dict[str, Command]:
    """Return the command; it does not need the bot's loop, so it works while the loop is stuck.

    Its parameters are `seconds` to trace and `lines` of code to report.

    Args:
        stopping: set when the agent stops, which does not wait for a trace.
        limit_bytes: size of the records at which the trace ends early.
    """

    async def trace_memory(params: Params) -> str:
        return await _trace(_read(params), _Timer(stopping, limit_bytes))

    return {
        "trace_memory": Command(
            run=trace_memory,
            deadline_seconds=MAXIMUM_SECONDS + ENDING_SECONDS,
            optional=frozenset({"seconds", "lines"}),
            in_agent=True,
            check=_check,
        )
    }


def _check(params: Params) -> None:
    _read(params)


def _read(params: Params) -> _Parameters:
    return _Parameters(
        seconds=_number(params, "seconds", DEFAULT_SECONDS, MAXIMUM_SECONDS),
        lines=_number(params, "lines", DEFAULT_LINES, MAXIMUM_LINES),
    )


def _number(params: Params, name: str, default: int, maximum: int) -> int:
    text = params.get(name, str(default))
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= maximum):
        raise BadRequest(f"params.{name} must be a whole number from 1 to {maximum}")
    return int(text)


class _Timer:
    """Waits, and ends early if the records grow too large or the agent stops."""

    def __init__(self, stopping: asyncio.Event, limit_bytes: int) -> None:
        self._stopping = stopping
        self.limit_bytes = limit_bytes

    async def wait(self, seconds: float) -> bool:
        """Return True after this time, or False as soon as the records are too large.

        Raises:
            CommandFailed: the agent is stopping.
        """
        until = clock.monotonic() + seconds
        while tracemalloc.get_tracemalloc_memory() < self.limit_bytes:
            left = until - clock.monotonic()
            if left <= 0:
                return True
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left, CHECK_SECONDS)):
                    await self._stopping.wait()
                    raise CommandFailed("interrupted: the bot is stopping")
        return False


async def _trace(parameters: _Parameters, timer: _Timer) -> str:
    """Trace for a while; return the lines of code that hold more memory than before.

    Raises:
        CommandFailed: another trace is running, or the bot is stopping.
    """
    if tracemalloc.is_tracing():
        raise CommandFailed(
            "allocations are already being traced, by another command or by your own code"
        )
    tracemalloc.start()
    try:
        began = clock.monotonic()
        settling = parameters.seconds / SETTLING_SHARE
        before = None
        if await timer.wait(settling):
            before = await asyncio.to_thread(tracemalloc.take_snapshot)
            began = clock.monotonic()
        completed = await timer.wait(parameters.seconds - settling)
        spent = clock.monotonic() - began
        after = await asyncio.to_thread(tracemalloc.take_snapshot)
    finally:
        # Always stop tracing, even if the bot stops.
        tracemalloc.stop()
    summary = await asyncio.to_thread(_summary, before, after, parameters.lines)
    cut = "" if completed else f" (cut short: the records reached {timer.limit_bytes} bytes)"
    return f"in {spent:.1f} s{cut} {summary}"


def _summary(before: tracemalloc.Snapshot | None, after: tracemalloc.Snapshot, lines: int) -> str:
    """Return one line of text: it goes into the log as well."""
    earlier = tracemalloc.Snapshot((), 1) if before is None else before.filter_traces(_IGNORED)
    changes = after.filter_traces(_IGNORED).compare_to(earlier, "lineno")
    total = sum(change.size_diff for change in changes)
    grown = [change for change in changes if change.size_diff > 0]
    grown.sort(key=lambda change: change.size_diff, reverse=True)
    places = [f"{total:+} bytes in all, {len(grown)} lines of code grew"]
    places += [
        f"{change.size_diff:+} bytes in {change.count_diff:+} blocks at {_place(change.traceback)}"
        for change in grown[:lines]
    ]
    return "; ".join(places)


def _place(traceback: tracemalloc.Traceback) -> str:
    frame = traceback[0]
    return f"{'/'.join(Path(frame.filename).parts[-PATH_PARTS:])}:{frame.lineno}"
