import asyncio
import json
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
from trading_ops.stack.child import start
from trading_ops.stack.leftovers import end_leftovers


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


async def test_what_an_earlier_stack_left_is_ended(tmp_path: Path) -> None:
    """A process of the record is ended, even one that was frozen and so did not hear of it."""
    child = await start(greeter("venue", tmp_path), folder=tmp_path, log=tmp_path / "log")
    await until((tmp_path / "started").exists)
    kill(child.pid, signal.SIGSTOP)
    record = tmp_path / "processes.json"
    record.write_text(json.dumps({"incarnations": {"venue": child.incarnation}}))
    assert await asyncio.to_thread(end_leftovers, record) == 1
    assert await child.wait() == 0


async def test_a_leftover_that_does_not_end_is_killed(tmp_path: Path) -> None:
    """A stubborn process is gone after the deadline."""
    plan = greeter("venue", tmp_path, mode="stubborn")
    child = await start(plan, folder=tmp_path, log=tmp_path / "log")
    await until((tmp_path / "started").exists)
    record = tmp_path / "processes.json"
    record.write_text(json.dumps({"incarnations": {"venue": child.incarnation}}))
    assert await asyncio.to_thread(end_leftovers, record, seconds=0.2) == 1
    assert await child.wait() == -signal.SIGKILL


async def test_a_stranger_with_the_same_pid_is_not_touched(tmp_path: Path) -> None:
    """Only the pid with the start time that was recorded is ended."""
    child = await start(greeter("venue", tmp_path), folder=tmp_path, log=tmp_path / "log")
    record = tmp_path / "processes.json"
    record.write_text(json.dumps({"incarnations": {"venue": f"{child.pid}:1", "bot": None}}))
    assert await asyncio.to_thread(end_leftovers, record) == 0
    assert alive(child.pid)
    await child.stop(5.0)


def test_without_a_record_there_is_nothing_to_end(tmp_path: Path) -> None:
    """The first stack in a folder finds nobody."""
    assert end_leftovers(tmp_path / "none.json") == 0
