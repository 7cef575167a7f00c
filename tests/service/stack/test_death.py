import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from tests.service.stack.small import (
    REPOSITORY,
    alive,
    exists,
    greeter,
    kill,
    lines,
    session_of,
    until,
)
from trading_ops.agent.incarnation import incarnation
from trading_ops.stack.child import Child, start
from trading_ops.stack.leftovers import Mark, end_leftovers, leftovers


async def test_a_killed_supervisor_leaves_nothing(tmp_path: Path) -> None:
    """After kill -9 of the supervisor the kernel ends all its processes."""
    script = Path(__file__).with_name("small_stack.py")
    supervisor = await asyncio.create_subprocess_exec(
        "env", f"PYTHONPATH={REPOSITORY}", sys.executable, str(script), str(tmp_path),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert supervisor.stdout
    pids = [int(word) for word in (await supervisor.stdout.readline()).split()]
    assert len(pids) == 2
    assert all(alive(pid) for pid in pids)
    kill(supervisor.pid, signal.SIGKILL)
    await supervisor.wait()
    await until(lambda: not any(alive(pid) for pid in pids))


async def test_a_child_is_in_a_session_of_its_own(tmp_path: Path) -> None:
    """Ctrl-C in the supervisor's terminal does not reach it."""
    child = await start(greeter("venue", tmp_path), folder=tmp_path, log=tmp_path / "log")
    assert session_of(child.pid) == child.pid
    assert child.incarnation == incarnation(child.pid)
    await child.stop(5.0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_what_a_process_has_started_ends_with_it(
    tmp_path: Path, number: signal.Signals
) -> None:
    """Asked to end or killed from outside: no child of its own stays, and it is no zombie."""
    plan = greeter("venue", tmp_path, mode="parent")
    child = await start(plan, folder=tmp_path, log=tmp_path / "log")
    await until(lambda: bool(lines(tmp_path / "offspring")))
    (offspring,) = map(int, lines(tmp_path / "offspring"))
    assert alive(offspring)
    if number is signal.SIGTERM:
        assert await child.stop(5.0) == 0
    else:
        kill(child.pid, number)
        assert await child.wait() == -number
    await until(lambda: not alive(offspring))
    assert not exists(child.pid)


DEAD = "1:0"
"""No process has this incarnation."""


def marked(var: Path, supervisor: str = DEAD) -> str:
    """Return the mark of a process of this folder."""
    return Mark(var=str(var), unit="venue", supervisor=supervisor).variable()


async def started(folder: Path, mark: str, mode: str = "plain") -> Child:
    """Return a process that carries this mark, once it listens to signals."""
    plan = greeter("venue", folder, mode=mode)
    child = await start(plan, folder=folder, log=folder / "log", mark=mark)
    await until((folder / "started").exists)
    return child


async def test_what_an_earlier_stack_left_is_ended(tmp_path: Path) -> None:
    """A process of the folder is ended, even one that was frozen and so did not hear of it."""
    child = await started(tmp_path, marked(tmp_path))
    kill(child.pid, signal.SIGSTOP)
    assert [one.incarnation for one in leftovers(tmp_path)] == [child.incarnation]
    assert await asyncio.to_thread(end_leftovers, tmp_path) == 1
    assert await child.wait() == 0


async def test_a_leftover_that_does_not_end_is_killed(tmp_path: Path) -> None:
    """A stubborn process is gone after the deadline."""
    child = await started(tmp_path, marked(tmp_path), "stubborn")
    assert await asyncio.to_thread(end_leftovers, tmp_path, seconds=0.2) == 1
    assert await child.wait() == -signal.SIGKILL


async def test_what_a_leftover_has_started_is_ended_too(tmp_path: Path) -> None:
    """A child of its own, which outlives it, is found when it is an orphan."""
    child = await started(tmp_path, marked(tmp_path), "parent")
    await until(lambda: bool(lines(tmp_path / "offspring")))
    (offspring,) = map(int, lines(tmp_path / "offspring"))
    assert await asyncio.to_thread(end_leftovers, tmp_path) == 2
    assert not alive(offspring)
    await child.wait()


@pytest.mark.parametrize("whose", ["another folder's", "a living supervisor's", "unmarked"])
async def test_what_is_not_left_over_is_not_touched(tmp_path: Path, whose: str) -> None:
    """Only this folder's processes whose supervisor is dead are ended."""
    var = tmp_path / "copy"
    mark = {
        "another folder's": marked(tmp_path / "original"),
        "a living supervisor's": marked(var, incarnation(os.getpid())),
        "unmarked": "",
    }[whose]
    child = await started(tmp_path, mark)
    assert await asyncio.to_thread(end_leftovers, var) == 0
    assert alive(child.pid)
    await child.stop(5.0)
