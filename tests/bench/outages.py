"""A database that is locked for a minute, and one that is stopped for forty seconds.

The reconciler runs on all the while, as a process of its own. What is reported: how it answered
meanwhile, how long the longest answer took, and when it stored again after the end. Run by
`make bench`; the exit code is 1 when something other than 200 and 503 was answered, or when it did
not continue automatically.
"""

import asyncio
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from tests.bench.intake import notification
from tests.bench.passes import sources
from tests.bench.say import say
from tests.bench.storm import HEADERS, WEBHOOK, reconciler
from tests.free_ports import free_port
from tests.postgres import Cluster

LOCKED_SECONDS = 60.0
STOPPED_SECONDS = 40.0
EACH_SECONDS = 0.25
GOES_ON_SECONDS = 30.0


@dataclass
class Seen:
    """What a sender saw."""

    answers: Counter[int] = field(default_factory=Counter)
    longest: float = 0.0
    stored_at: float = 0.0


async def send(url: str, seen: Seen) -> None:
    """Send at a steady rate until cancelled."""
    body = notification(1)
    timeout = aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(timeout=timeout) as session, asyncio.TaskGroup() as group:

        async def send() -> None:
            began = time.monotonic()
            async with session.post(url, data=body, headers=HEADERS) as response:
                await response.read()
            seen.answers[response.status] += 1
            seen.longest = max(seen.longest, time.monotonic() - began)
            if response.status == 200:
                seen.stored_at = time.monotonic()

        while True:
            group.create_task(send())
            await asyncio.sleep(EACH_SECONDS)


async def measure(
    what: str,
    environ: dict[str, str],
    folder: Path,
    begin: Callable[[], Awaitable[None]],
    end: Callable[[], Awaitable[None]],
    seconds: float,
) -> bool:
    """Print one line; return whether all was well."""
    port = free_port()
    async with sources(0) as at, reconciler(folder, port, at, **environ):
        seen = Seen()
        sending = asyncio.create_task(send(f"http://127.0.0.1:{port}{WEBHOOK}", seen))
        await asyncio.sleep(2)
        before = seen.answers[200]
        await begin()
        await asyncio.sleep(seconds)
        await end()
        ended = time.monotonic()
        until = ended + GOES_ON_SECONDS
        while seen.stored_at < ended and time.monotonic() < until:  # noqa: ASYNC110 - a sender's
            await asyncio.sleep(0.02)
        after = seen.stored_at - ended
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
    odd = set(seen.answers) - {200, 503}
    say(
        f"{what}: 503 {seen.answers[503]} times, longest answer {seen.longest:.1f} s, stores again "
        f"{after:.2f} s after the end" + (f", odd answers {sorted(odd)}" if odd else "")
    )
    return before > 0 and seen.answers[503] > 0 and after > 0 and not odd


async def locked(folder: Path) -> bool:
    """Another process writes to the SQLite file and does not end."""
    other: list[sqlite3.Connection] = []

    async def begin() -> None:
        path = folder / "var" / "reconciler" / "reconciler.db"
        other.append(sqlite3.connect(path, isolation_level=None))
        other[0].execute("PRAGMA busy_timeout=5000")
        other[0].execute("BEGIN IMMEDIATE")

    async def end() -> None:
        other[0].execute("ROLLBACK")
        other[0].close()

    what = f"SQLite locked for {LOCKED_SECONDS:.0f} s"
    return await measure(what, {}, folder, begin, end, LOCKED_SECONDS)


async def stopped(folder: Path) -> bool:
    """The PostgreSQL server is stopped, as in a crash, and started again."""
    with ExitStack() as stack:
        cluster = stack.enter_context(Cluster())

        async def begin() -> None:
            await asyncio.to_thread(cluster.stop, "immediate")

        async def end() -> None:
            await asyncio.to_thread(cluster.start)

        what = f"PostgreSQL stopped for {STOPPED_SECONDS:.0f} s"
        environ = {"TRADING_OPS_DATABASE": cluster.new_database()}
        return await measure(what, environ, folder, begin, end, STOPPED_SECONDS)


async def main() -> int:
    """Print both."""
    well = True
    for part in (locked, stopped):
        with tempfile.TemporaryDirectory() as name:
            well = await part(Path(name)) and well
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
