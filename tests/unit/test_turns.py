"""One request at a time, in one process and in several."""

import asyncio
import contextlib
import fcntl
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from trading_ops import turns
from trading_ops.turns import Turns

HOLDER = """
import fcntl, sys
file = open(sys.argv[1])
fcntl.flock(file, fcntl.LOCK_EX)
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "credentials"
    path.write_text("user:password\n")
    return path


@contextlib.asynccontextmanager
async def holding(file: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Have another process keep the turn while the block runs."""
    holder = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDER, str(file),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert holder.stdout is not None
        assert await holder.stdout.readline() == b"locked\n"
        yield holder
    finally:
        with contextlib.suppress(ProcessLookupError):
            holder.kill()
        await holder.wait()


async def test_turns_never_overlap(file: Path) -> None:
    """Neither among the requests of one process nor with those of others."""
    now, most, done = 0, 0, 0

    async def request(mine: Turns, *, first: bool) -> None:
        nonlocal now, most, done
        async with mine.turn(first=first):
            now += 1
            most = max(most, now)
            await asyncio.sleep(0.001)
            now -= 1
            done += 1

    own, other = Turns(file), Turns(file)
    await asyncio.gather(
        *(request(mine, first=first) for mine in (own, other) for first in (True, False) * 10)
    )
    assert (most, done) == (1, 40)


async def test_an_urgent_request_goes_before_those_that_wait(file: Path) -> None:
    """At most one of them is served first."""
    mine, order = Turns(file), list[str]()

    async def request(name: str, *, first: bool = False) -> None:
        async with mine.turn(first=first):
            order.append(name)

    async with mine.turn():
        waiting = [asyncio.create_task(request(str(number))) for number in range(5)]
        await asyncio.sleep(0)
        waiting.append(asyncio.create_task(request("order", first=True)))
        await asyncio.sleep(0)
    await asyncio.gather(*waiting)
    assert order.index("order") <= 1
    assert len(order) == 6


async def test_a_busy_process_does_not_keep_others_out(file: Path) -> None:
    """One that always has a request waiting leaves room between two of them."""
    busy, other, ended = Turns(file), Turns(file), asyncio.Event()

    async def ask_on() -> None:
        while not ended.is_set():
            async with busy.turn():
                await asyncio.sleep(0)

    tasks = [asyncio.create_task(ask_on()) for _ in range(4)]
    for _ in range(5):
        async with asyncio.timeout(30), other.turn():
            pass
    ended.set()
    await asyncio.gather(*tasks)
    assert not other.is_kept


async def test_a_process_that_ends_in_its_turn_delays_no_one(file: Path) -> None:
    """The kernel takes the lock from it."""
    mine = Turns(file)
    async with holding(file) as holder:
        waiting = asyncio.create_task(_take(mine))
        os.kill(holder.pid, signal.SIGKILL)
        await waiting
    assert not mine.is_kept


async def test_a_frozen_process_delays_others_once(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An order goes out without the turn; later ones do not wait, and turns are taken again."""
    monkeypatch.setattr(turns, "PATIENCE_SECONDS", 0.2)
    mine = Turns(file)
    async with holding(file) as holder:
        os.kill(holder.pid, signal.SIGSTOP)
        await _take(mine)
        monkeypatch.setattr(turns, "PATIENCE_SECONDS", 1e6)
        await _take(mine)
    async with mine.turn():
        assert not mine.is_kept
        assert not _is_free(file)
    assert _is_free(file)


@pytest.mark.parametrize("given", ["missing", None])
async def test_without_a_file_the_process_takes_turns_alone(
    tmp_path: Path, given: str | None
) -> None:
    """A request is never refused because it cannot be coordinated."""
    mine = Turns(None if given is None else tmp_path / given)
    async with mine.turn():
        waiting = asyncio.create_task(_take(mine))
        await asyncio.sleep(0)
        assert not waiting.done()
    await waiting


async def test_a_request_that_is_given_up_leaves_its_place(file: Path) -> None:
    """Whatever a waiting request was cancelled at, the next one gets its turn."""
    mine = Turns(file)
    async with holding(file):
        for first in (True, False):
            waiting = asyncio.create_task(_take(mine, first=first))
            await asyncio.sleep(0.01)
            waiting.cancel()
            await asyncio.wait({waiting})
    await _take(mine)
    assert not mine.is_kept
    assert _is_free(file)


async def _take(mine: Turns, *, first: bool = False) -> None:
    async with mine.turn(first=first):
        pass


def _is_free(file: Path) -> bool:
    with file.open() as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
