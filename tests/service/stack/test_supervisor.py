import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.service.stack.small_processes import alive, greeter, kill, lines, supervising, until
from trading_ops.domain.target import Restarts
from trading_ops.errors import SetupError, StackError
from trading_ops_lab.supervisor.process import AskBanner, Process
from trading_ops_lab.supervisor.restart_backoff import RestartPauses
from trading_ops_lab.supervisor.supervisor import Phase
from trading_ops_lab.supervisor.unit import State, Unit


async def test_what_is_needed_is_ready_first(tmp_path: Path) -> None:
    """A process is started when the one it needs answers, and all are ready in the end."""
    venue = greeter("venue", tmp_path)
    bot = greeter("bot", tmp_path, after=("venue",))
    async with supervising(tmp_path, venue, bot) as supervisor:
        await supervisor.start()
        assert lines(tmp_path / "started") == ["venue", "bot"]
        assert [unit.state for unit in supervisor] == [State.READY, State.READY]
        assert supervisor.phase == Phase.READY


async def test_drain_stops_in_reverse_order_and_leaves_nothing(tmp_path: Path) -> None:
    """What needs others is asked to end before them, and every process is gone."""
    plans = (
        greeter("venue", tmp_path),
        greeter("bot", tmp_path, after=("venue",)),
        greeter("watch", tmp_path, after=("bot",)),
    )
    async with supervising(tmp_path, *plans) as supervisor:
        await supervisor.start()
        pids = [unit.child.pid for unit in supervisor if unit.child]
        await supervisor.drain()
        assert lines(tmp_path / "ended") == ["watch", "bot", "venue"]
        assert not any(alive(pid) for pid in pids)
        assert [unit.state for unit in supervisor] == [State.STOPPED] * 3
        assert [unit.exit_code for unit in supervisor] == [0] * 3


async def test_a_killed_process_is_restarted(tmp_path: Path) -> None:
    """After kill -9 there is another life, and it becomes ready."""
    async with supervising(tmp_path, greeter("venue", tmp_path)) as supervisor:
        await supervisor.start()
        (unit,) = supervisor
        before = unit.incarnation
        kill(unit.child.pid if unit.child else None, signal.SIGKILL)
        await until(lambda: unit.incarnation != before and unit.state is State.READY)
        assert unit.restarts == 1


async def test_a_process_that_dies_too_often_is_still_restarted(tmp_path: Path) -> None:
    """The supervisor says that it is failing, pauses, and never gives it up."""
    pauses = RestartPauses(count=2, first_pause_seconds=0.01)
    async with supervising(tmp_path, greeter("venue", tmp_path), pauses=pauses) as supervisor:
        await supervisor.start()
        (unit,) = supervisor
        seen: list[State] = []
        supervisor.listeners.append(lambda: seen.append(unit.state))
        for life in range(4):
            await _kill_when_ready(unit, life)
        await until(lambda: unit.state is State.READY and unit.restarts == 4)
        assert seen.count(State.BACKOFF) == 2


async def test_the_reconcilers_process_is_left_dead(tmp_path: Path) -> None:
    """A process whose restarts are the reconciler's is not started again by the supervisor."""
    bot = greeter("bot", tmp_path, restarts=Restarts.RECONCILER)
    venue = greeter("venue", tmp_path)
    async with supervising(tmp_path, bot, venue) as supervisor:
        await supervisor.start()
        dead, other = supervisor
        life, before = dead.incarnation, other.incarnation
        for unit in supervisor:
            kill(unit.child.pid if unit.child else None, signal.SIGKILL)
        # The other one's whole way back is time enough for a wrong restart to show.
        await until(lambda: other.incarnation != before and other.state is State.READY)
        assert (dead.state, dead.restarts, dead.incarnation) == (State.EXITED, 0, life)


async def test_what_ends_before_it_is_ready_fails_the_start(tmp_path: Path) -> None:
    """The error names the process, its code and the end of its log."""
    async with supervising(tmp_path, greeter("venue", tmp_path, mode="broken")) as supervisor:
        with pytest.raises(StackError, match=r"venue ended with code 1(.|\n)*no such venue"):
            await supervisor.start()


async def test_only_what_this_start_reported_is_shown(tmp_path: Path) -> None:
    """Its log continues from former starts, whose errors are not this one's."""
    log = tmp_path / "venue.log"
    log.write_text('{"error": "an old one"}\n')
    async with supervising(tmp_path, greeter("venue", tmp_path, mode="broken")) as supervisor:
        with pytest.raises(StackError) as caught:
            await supervisor.start()
    assert "an old one" in log.read_text()
    assert "an old one" not in str(caught.value)


async def test_the_error_of_a_structured_log_is_the_sentence(tmp_path: Path) -> None:
    """For a process that logs JSON, the last error is shown and not the lines."""
    says = 'import sys; print(\'{"event": "failed", "error": "no such table"}\'); sys.exit(1)'
    plan = replace(greeter("venue", tmp_path), argv=(sys.executable, "-c", says))
    async with supervising(tmp_path, plan) as supervisor:
        with pytest.raises(StackError, match=r"before it was ready: no such table \(its log: "):
            await supervisor.start()


async def test_what_is_late_fails_the_start(tmp_path: Path) -> None:
    """A process that runs but never says that it is ready is an error after its deadline."""
    silent = greeter("venue", tmp_path, mode="silent", ready_seconds=0.3)
    async with supervising(tmp_path, silent) as supervisor:
        with pytest.raises(StackError, match="venue was not ready after 0 s"):
            await supervisor.start()


async def test_a_program_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    """The error names the program."""
    ready = AskBanner(address="127.0.0.1:1", begins="")
    plan = Process(unit="x", argv=("/no/such/program",), address="127.0.0.1:1", ready=ready)
    async with supervising(tmp_path, plan) as supervisor:
        with pytest.raises(SetupError, match="/no/such/program cannot be started"):
            await supervisor.start()


async def test_what_does_not_end_is_killed(tmp_path: Path) -> None:
    """A process that ignores SIGTERM is gone after its deadline."""
    stubborn = greeter("venue", tmp_path, mode="stubborn", stop_seconds=0.2)
    async with supervising(tmp_path, stubborn) as supervisor:
        await supervisor.start()
        (unit,) = supervisor
        await supervisor.drain()
        assert unit.exit_code == -signal.SIGKILL


async def test_an_impatient_person_is_obeyed(tmp_path: Path) -> None:
    """Killing everything ends a drain that waits for a stubborn process."""
    async with supervising(tmp_path, greeter("venue", tmp_path, mode="stubborn")) as supervisor:
        await supervisor.start()
        supervisor.kill()
        await supervisor.drain()
        assert [unit.state for unit in supervisor] == [State.STOPPED]


async def test_a_stopped_unit_stays_down(tmp_path: Path) -> None:
    """What an operator stopped is no death: it is not restarted, and its log says nothing of it."""
    async with supervising(tmp_path, greeter("venue", tmp_path)) as supervisor:
        await supervisor.start()
        (unit,) = supervisor
        await unit.stop()
        await unit.stop()
        assert (unit.state, unit.restarts) == (State.STOPPED, 0)


async def test_a_stop_ends_the_pause_before_a_restart(tmp_path: Path) -> None:
    """A process that waits for its next restart can be stopped at once."""
    pauses = RestartPauses(first_pause_seconds=3600.0)
    async with supervising(tmp_path, greeter("venue", tmp_path), pauses=pauses) as supervisor:
        await supervisor.start()
        (unit,) = supervisor
        await _kill_when_ready(unit, 0)
        await _kill_when_ready(unit, 1)
        await until(lambda: unit.state is State.EXITED)
        await unit.stop()
        assert unit.state is State.STOPPED


async def test_a_broken_terminal_ends_nothing(tmp_path: Path) -> None:
    """A listener that raises is dropped, and the processes are kept up all the same."""
    calls: list[str] = []

    def broken() -> None:
        calls.append("called")
        raise BrokenPipeError

    async with supervising(tmp_path, greeter("venue", tmp_path)) as supervisor:
        supervisor.listeners.append(broken)
        await supervisor.start()
        (unit,) = supervisor
        await _kill_when_ready(unit, 0)
        await until(lambda: unit.state is State.READY and unit.restarts == 1)
    assert calls == ["called"]


async def test_a_full_disk_ends_nothing(tmp_path: Path) -> None:
    """The processes are kept up when it cannot be recorded which they are."""
    async with supervising(tmp_path, greeter("venue", tmp_path)) as supervisor:
        (tmp_path / "processes.json").mkdir()
        await supervisor.start()
        (unit,) = supervisor
        assert unit.state is State.READY


async def _kill_when_ready(unit: Unit, restarts: int) -> None:
    await until(lambda: unit.state is State.READY and unit.restarts == restarts)
    kill(unit.child.pid if unit.child else None, signal.SIGKILL)
