"""Processes that cannot be started again, and mistakes beside them: supervision continues."""

import signal
from pathlib import Path
from typing import cast

import aiohttp
import pytest

from tests.service.stack.small_processes import FAST, greeter, kill, supervising, until
from trading_ops.errors import SetupError
from trading_ops_lab.supervisor.control import describe
from trading_ops_lab.supervisor.restart_backoff import RestartPauses
from trading_ops_lab.supervisor.supervisor import Supervisor
from trading_ops_lab.supervisor.unit import State, Surroundings, Unit


def kill_now(unit: Unit) -> None:
    kill(unit.child.pid if unit.child else None, signal.SIGKILL)


def states_of(supervisor: Supervisor, unit: Unit) -> list[State]:
    """Return the list to which every state of the unit is added from now on."""
    seen: list[State] = []
    supervisor.listeners.append(lambda: seen.append(unit.state))
    return seen


def block(log: Path) -> None:
    """Put something in the way of a log that not even root can write."""
    log.unlink(missing_ok=True)
    log.mkdir()


async def test_starts_that_fail_are_tried_until_one_succeeds(tmp_path: Path) -> None:
    """Each try is counted like a life, and the reason stands beside the state."""
    async with supervising(tmp_path, greeter("venue", tmp_path)) as supervisor:
        await supervisor.start()
        (unit,) = supervisor
        seen = states_of(supervisor, unit)
        block(unit.log)
        kill_now(unit)
        await until(lambda: State.BACKOFF in seen and unit.restarts > FAST.count)
        assert unit.exit_code == -signal.SIGKILL
        assert unit.problem == (
            f"the folder {tmp_path} cannot be written (Is a directory): make it writable for you, "
            "or name another one with TRADING_OPS_VAR"
        )
        unit.log.rmdir()
        await until(lambda: unit.state is State.READY)
        assert describe(unit)["problem"] is None


async def test_an_ordered_restart_that_fails_is_tried_again(tmp_path: Path) -> None:
    """The order says that it failed; when the cause has ended, the process comes back."""
    async with supervising(tmp_path, greeter("venue", tmp_path)) as supervisor:
        await supervisor.start()
        (unit,) = supervisor
        block(unit.log)
        async with unit.lock:
            with pytest.raises(SetupError):
                await unit.restart()
        unit.log.rmdir()
        await until(lambda: unit.state is State.READY)


async def test_a_disk_that_is_full_for_a_moment_costs_one_try(tmp_path: Path) -> None:
    """When what was in the way is gone, the next try succeeds."""
    pauses = RestartPauses(first_pause_seconds=0.3)
    async with supervising(tmp_path, greeter("venue", tmp_path), pauses=pauses) as supervisor:
        await supervisor.start()
        (unit,) = supervisor
        block(unit.log)
        kill_now(unit)
        await until(lambda: unit.problem is not None)
        unit.log.rmdir()
        await until(lambda: unit.state is State.READY)
        assert unit.restarts == 2


async def test_a_log_folder_that_was_removed_is_made_again(tmp_path: Path) -> None:
    """Someone who makes room does not stop what runs."""
    logs = tmp_path / "log"
    plan = greeter("venue", tmp_path)
    async with supervising(tmp_path, plan, log_folder=logs) as supervisor:
        await supervisor.start()
        (unit,) = supervisor
        unit.log.unlink()
        logs.rmdir()
        kill_now(unit)
        await until(lambda: unit.state is State.READY and unit.restarts == 1)
        assert unit.log.exists()


async def test_a_first_start_that_fails_is_an_error_and_can_be_drained(tmp_path: Path) -> None:
    """The sentence names the folder, and the rest is stopped."""
    block(tmp_path / "venue.log")
    async with supervising(tmp_path, greeter("venue", tmp_path)) as supervisor:
        with pytest.raises(SetupError, match="cannot be written"):
            await supervisor.start()
        (unit,) = supervisor
        assert describe(unit)["state"] == "exited"
        await supervisor.drain()
        assert describe(unit)["state"] == "stopped"


async def test_a_record_that_was_garbled_is_written_again(tmp_path: Path) -> None:
    """Bytes that are no text end no supervision."""
    async with supervising(tmp_path, greeter("venue", tmp_path)) as supervisor:
        await supervisor.start()
        (unit,) = supervisor
        (tmp_path / "processes.json").write_bytes(b"\xff\xfe")
        kill_now(unit)
        await until(lambda: unit.state is State.READY and unit.restarts == 1)
        assert unit.incarnation
        assert unit.incarnation in (tmp_path / "processes.json").read_text()


async def test_an_error_of_a_listener_ends_no_watch(tmp_path: Path) -> None:
    """Whatever a listener raises, the process is restarted."""

    def raises() -> None:
        raise LookupError

    async with aiohttp.ClientSession() as session:
        shared = Surroundings(
            folder=tmp_path,
            logs=tmp_path,
            session=session,
            on_change=raises,
            var=tmp_path,
            pauses=FAST,
        )
        unit = Unit(greeter("venue", tmp_path), shared)
        await unit.start()
        await until(lambda: unit.state is State.READY)
        kill_now(unit)
        await until(lambda: unit.state is State.READY and unit.restarts == 1)
        await unit.stop()


async def test_a_mistake_in_the_watch_is_reported(tmp_path: Path) -> None:
    """A defect of the supervisor itself has its reason beside the state, and ends no watch."""
    broken = cast("float", None)
    pauses = RestartPauses(first_pause_seconds=broken, longest_pause_seconds=0.01)
    async with supervising(tmp_path, greeter("venue", tmp_path), pauses=pauses) as supervisor:
        await supervisor.start()
        (unit,) = supervisor
        kill_now(unit)
        await until(lambda: unit.state is State.READY and unit.restarts == 1)
        problems: list[str | None] = []
        supervisor.listeners.append(lambda: problems.append(unit.problem))
        kill_now(unit)
        await until(lambda: unit.state is State.READY and unit.restarts == 2)
        messages = [problem for problem in problems if problem]
        assert messages
        assert messages[0].startswith("its supervision failed: unsupported operand")
