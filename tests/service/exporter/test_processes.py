"""Real processes, found in each of the ways and lost again."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.waiting import eventually
from trading_ops import clock
from trading_ops.agent.incarnation import incarnation
from trading_ops.exporter.collector import PolledSource
from trading_ops.exporter.config import ProcessEntry
from trading_ops.exporter.process_finder import Finder
from trading_ops.exporter.processes import processes_source

Figures = dict[str, dict[str, float]]


@contextmanager
def sleeping(seconds: str) -> Iterator[int]:
    """Run a process with a command line that no one else has; gives its number."""
    process = subprocess.Popen(["sleep", seconds])
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


@contextmanager
def not_asked_for() -> Iterator[int]:
    """Run a process that ends at once, and ask it how only afterwards; gives its number."""
    process = subprocess.Popen(["true"])
    yield process.pid
    process.wait()


def own(number: int) -> str:
    return f"{300 + number}.{os.getpid()}"


async def figures(watched: PolledSource) -> Figures:
    """Read once; return values by process by the metric's name without its beginning."""
    await watched.once()
    assert watched.problem == ""
    found: Figures = {}
    for family in watched.figures():
        for sample in family.samples:
            name = sample.name.removeprefix("trading_process_")
            found.setdefault(name, {})[sample.labels["process"]] = sample.value
    return found


def watching(**how: object) -> PolledSource:
    entry = ProcessEntry(name="bot", **how)  # type: ignore[arg-type]
    return PolledSource(processes_source([entry]))


async def test_a_process_is_reported_by_its_pid_file(tmp_path: Path) -> None:
    """Its figures are the kernel's, and of a process that is not there only that."""
    (tmp_path / "pid").write_text(f"{os.getpid()}\n")
    entries = [
        ProcessEntry(name="me", pid_file=tmp_path / "pid"),
        ProcessEntry(name="none", pid_file=tmp_path / "other"),
    ]
    seen = await figures(PolledSource(processes_source(entries)))
    me = psutil.Process()
    assert seen["up"] == {"me": 1, "none": 0}
    assert seen["start_timestamp_seconds"] == {"me": me.create_time()}
    assert seen["threads"]["me"] >= 1
    assert 0 < seen["cpu_seconds_total"]["me"] <= sum(me.cpu_times()[:2])
    assert seen["cpu_wait_seconds_total"]["me"] > 0
    assert 0 < seen["unique_bytes"]["me"] < seen["resident_bytes"]["me"]
    assert seen["open_files"]["me"] > 2


async def test_a_restart_shows(tmp_path: Path) -> None:
    """Down when it ended, and another start when it is back."""
    pid_file = tmp_path / "pid"
    watched = watching(pid_file=pid_file)
    with sleeping(own(1)) as pid:
        pid_file.write_text(str(pid))
        first = await figures(watched)
    assert (await figures(watched))["up"] == {"bot": 0}
    began = first["start_timestamp_seconds"]["bot"]
    ended = clock.monotonic()
    await eventually(lambda: clock.monotonic() > ended + 0.03)  # starts are in ticks of 10 ms
    with sleeping(own(1)) as pid:
        pid_file.write_text(str(pid))
        second = await figures(watched)
    assert first["up"] == second["up"] == {"bot": 1}
    assert second["start_timestamp_seconds"]["bot"] > began


@pytest.mark.parametrize("text", ["", "no number", "-1", "0", "99999999999999999999", "1 2"])
async def test_a_broken_pid_file_is_a_process_that_is_down(tmp_path: Path, text: str) -> None:
    """Whatever is in it; nothing of it is a failure of the collector."""
    (tmp_path / "pid").write_text(text)
    assert await figures(watching(pid_file=tmp_path / "pid")) == {"up": {"bot": 0}}


async def test_a_number_that_another_process_has_now_is_not_believed(tmp_path: Path) -> None:
    """The process started long after its pid file was written: that was about another one."""
    pid_file = tmp_path / "pid"
    with sleeping(own(2)) as pid:
        pid_file.write_text(str(pid))
        assert (await figures(watching(pid_file=pid_file)))["up"] == {"bot": 1}
        os.utime(pid_file, (1, 1))
        assert (await figures(watching(pid_file=pid_file)))["up"] == {"bot": 0}


async def test_a_pid_file_with_another_command_is_not_believed(tmp_path: Path) -> None:
    """With `command` as well, it must be what runs there."""
    pid_file = tmp_path / "pid"
    with sleeping(own(3)) as pid:
        pid_file.write_text(str(pid))
        right = watching(pid_file=pid_file, command=f"sleep {own(3)}")
        wrong = watching(pid_file=pid_file, command="sleep")
        assert (await figures(right))["up"] == {"bot": 1}
        assert (await figures(wrong))["up"] == {"bot": 0}


async def test_a_zombie_is_down(tmp_path: Path) -> None:
    """It has a number and a start, and does nothing any more."""
    with not_asked_for() as pid:
        (tmp_path / "pid").write_text(str(pid))
        zombie = psutil.Process(pid)
        await eventually(lambda: zombie.status() == psutil.STATUS_ZOMBIE)
        assert await figures(watching(pid_file=tmp_path / "pid")) == {"up": {"bot": 0}}


def test_the_exact_command_is_found_and_followed() -> None:
    """Not one that only starts alike; after its end the next one is found."""
    entry = ProcessEntry(name="bot", command=f"sleep {own(4)}")
    finder = Finder(entry, search_interval_seconds=0)
    with sleeping(f"{own(4)}0"):
        assert finder.find() is None
        with sleeping(own(4)) as pid:
            found = finder.find()
            assert found is not None
            assert found.pid == pid
            assert finder.find() is found, "a search is not made while it lives"
        assert finder.find() is None
        with sleeping(own(4)) as pid:
            found = finder.find()
            assert found is not None
            assert found.pid == pid


def test_what_is_not_there_is_not_searched_for_all_the_time() -> None:
    """A search reads every process of the host."""
    finder = Finder(ProcessEntry(name="bot", command=f"sleep {own(5)}"))
    assert finder.find() is None
    with sleeping(own(5)):
        assert finder.find() is None


async def test_a_unit_of_the_supervisor_is_known_by_its_life(tmp_path: Path) -> None:
    """The supervisor's record has number and start; another start is another process."""
    record = tmp_path / "processes.json"
    watched = watching(unit="bot-alpha", units_file=record)
    with sleeping(own(6)) as pid:
        record.write_text(json.dumps({"incarnations": {"bot-alpha": incarnation(pid)}}))
        assert (await figures(watched))["up"] == {"bot": 1}
        record.write_text(json.dumps({"incarnations": {"bot-alpha": f"{pid}:1"}}))
        assert (await figures(watched))["up"] == {"bot": 0}
        for text in ("", "[]", '{"incarnations": {}}', '{"incarnations": {"bot-alpha": null}}'):
            record.write_text(text)
            assert (await figures(watched))["up"] == {"bot": 0}
