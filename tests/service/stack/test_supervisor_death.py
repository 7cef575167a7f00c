import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.free_ports import free_port
from tests.service.stack.small_processes import (
    REPOSITORY,
    alive,
    exists,
    greeter,
    kill,
    lines,
    session_of,
    supervising,
    until,
    venue_and_bot,
)
from trading_ops.agent.incarnation import incarnation
from trading_ops_lab.supervisor.child import Child, start
from trading_ops_lab.supervisor.orphans import Mark, adoptable, end_leftovers, leftovers
from trading_ops_lab.supervisor.process import Process
from trading_ops_lab.supervisor.unit import State


async def killed_supervisor(folder: Path, ports: list[int]) -> list[int]:
    """Return the pids of the processes of a supervisor that was killed."""
    script = Path(__file__).with_name("small_stack.py")
    supervisor = await asyncio.create_subprocess_exec(
        "env",
        f"PYTHONPATH={REPOSITORY}",
        sys.executable,
        str(script),
        str(folder),
        *map(str, ports),
        stdout=asyncio.subprocess.PIPE,
    )
    assert supervisor.stdout
    pids = [int(pid) for pid in (await supervisor.stdout.readline()).split()]
    kill(supervisor.pid, signal.SIGKILL)
    await supervisor.wait()
    assert len(pids) == 2
    return pids


@pytest.fixture
async def orphans(tmp_path: Path) -> AsyncIterator[tuple[tuple[Process, ...], list[int]]]:
    """The plans and pids of processes whose supervisor was killed; nothing of them stays."""
    ports = [free_port(), free_port()]
    try:
        yield venue_and_bot(tmp_path, ports), await killed_supervisor(tmp_path, ports)
    finally:
        await asyncio.to_thread(end_leftovers, tmp_path)


async def test_the_next_supervisor_adopts_what_a_killed_one_left(
    tmp_path: Path, orphans: tuple[tuple[Process, ...], list[int]]
) -> None:
    """The processes keep running, once each; they are watched, restarted and drained as before."""
    plans, pids = orphans
    assert all(alive(pid) for pid in pids)
    survivors = adoptable(tmp_path, plans)
    assert [int(survivors[plan.unit].partition(":")[0]) for plan in plans] == pids
    async with supervising(tmp_path, *plans, survivors=survivors) as supervisor:
        await supervisor.start()
        assert [unit.child.pid for unit in supervisor if unit.child] == pids
        assert lines(tmp_path / "started") == ["venue", "bot"]
        venue, _ = supervisor
        kill(pids[0], signal.SIGKILL)
        await until(lambda: venue.state is State.READY and venue.restarts == 1)
        assert lines(tmp_path / "started") == ["venue", "bot", "venue"]
    assert lines(tmp_path / "ended") == ["bot", "venue"]
    assert not any(alive(pid) for pid in pids)


async def test_what_runs_otherwise_than_planned_is_not_adopted(
    tmp_path: Path, orphans: tuple[tuple[Process, ...], list[int]]
) -> None:
    """It is ended, and started as planned."""
    plans, pids = orphans
    venue, bot = plans
    changed = (replace(venue, argv=(*venue.argv, "more")), bot)
    survivors = adoptable(tmp_path, changed)
    assert set(survivors) == {"bot"}
    assert await asyncio.to_thread(end_leftovers, tmp_path, keep=survivors.values()) == 1
    assert [alive(pid) for pid in pids] == [False, True]


async def test_a_survivor_that_has_ended_is_started(
    tmp_path: Path, orphans: tuple[tuple[Process, ...], list[int]]
) -> None:
    """It died between the search and the start."""
    plans, pids = orphans
    survivors = adoptable(tmp_path, plans)
    kill(pids[1], signal.SIGKILL)
    await until(lambda: not alive(pids[1]))
    async with supervising(tmp_path, *plans, survivors=survivors) as supervisor:
        await supervisor.start()
        assert lines(tmp_path / "started") == ["venue", "bot", "bot"]


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
    return Mark(var=str(var), unit="venue", supervisor=supervisor, plan="").variable()


async def started(folder: Path, mark: str, mode: str = "plain") -> Child:
    """Return a process that carries this mark, once it listens to signals."""
    plan = greeter("venue", folder, mode=mode)
    child = await start(plan, folder=folder, log=folder / "log", mark=mark)
    await until((folder / "started").exists)
    return child


async def test_what_an_earlier_stack_left_is_ended(tmp_path: Path) -> None:
    """A process of the folder is ended, even one that was frozen and so did not learn of it."""
    child = await started(tmp_path, marked(tmp_path))
    kill(child.pid, signal.SIGSTOP)
    assert [leftover.incarnation for leftover in leftovers(tmp_path)] == [child.incarnation]
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
