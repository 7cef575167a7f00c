"""CPU weights in the local stack: what the kernel then has, and what is refused."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from trading_ops.errors import SetupError
from trading_ops_lab.supervisor.priority import NORMAL, Priority, may_lower_to, nice_of
from trading_ops_lab.supervisor.unit import Unit

USUAL = os.getpriority(os.PRIO_PROCESS, 0)
RESTORABLE = pytest.mark.skipif(not may_lower_to(USUAL), reason="needs CAP_SYS_NICE")


def unit(pid: int | None) -> Unit:
    return cast(Unit, SimpleNamespace(pid=pid))


@pytest.fixture
async def sleeper() -> AsyncIterator[int]:
    process = await asyncio.create_subprocess_exec("sleep", "100", start_new_session=True)
    yield process.pid
    process.kill()
    await process.wait()


def ungrouped(folder: Path, pid: int) -> Priority:
    """Return the control where sessions are not groups; threads are those of the process."""
    (folder / str(pid)).mkdir()
    (folder / str(pid) / "task").symlink_to(f"/proc/{pid}/task")
    (folder / "self").symlink_to("/proc/self")
    return Priority(unit(pid), proc=folder)


def grouped(folder: Path, groups: str, enabled: str = "1") -> Priority:
    """Return the control of process 7, where each session is a group."""
    (folder / "sys/kernel").mkdir(parents=True)
    (folder / "sys/kernel/sched_autogroup_enabled").write_text(f"{enabled}\n")
    (folder / "7/task").mkdir(parents=True)
    (folder / "7/autogroup").write_text("/autogroup-1 nice 0\n")
    (folder / "7/cgroup").write_text(groups)
    (folder / "self").symlink_to("/proc/self")
    (folder / "groups/a/b").mkdir(parents=True)
    (folder / "groups/a/cpu.weight").write_text("100\n")
    return Priority(unit(7), proc=folder, groups=folder / "groups")


@pytest.mark.parametrize(
    ("weight", "nice"), [(100, 0), (20, 7), (10, 10), (1, 19), (1000, -10), (10_000, -20)]
)
def test_a_weight_is_the_nearest_nice_value(weight: int, nice: int) -> None:
    """A step of one is a quarter; the kernel has no more than 19 and no less than -20."""
    assert nice_of(weight) == nice


@RESTORABLE
async def test_every_thread_gets_it_and_has_its_usual_one_afterwards(
    sleeper: int, tmp_path: Path
) -> None:
    """A real process, and no group."""
    priority = ungrouped(tmp_path, sleeper)
    normal = await priority.resource("bot", "cpu_weight")
    await priority.set_resource("bot", "cpu_weight", 20)
    assert os.getpriority(os.PRIO_PROCESS, sleeper) == min(USUAL + 7, 19)
    await priority.set_resource("bot", "cpu_weight", normal)
    assert os.getpriority(os.PRIO_PROCESS, sleeper) == USUAL


@pytest.mark.parametrize("groups", ["4:memory:/a\n1:cpu:/\n0::/\n", "0::/\n", "0::/c\n"])
async def test_a_session_that_is_a_group_is_changed_as_a_whole(tmp_path: Path, groups: str) -> None:
    """Then the value of a thread means nothing to other processes."""
    await grouped(tmp_path, groups).set_resource("bot", "cpu_weight", 20)
    assert (tmp_path / "7/autogroup").read_text() == "7"


@pytest.mark.parametrize(
    ("groups", "enabled"),
    [("2:cpu,cpuacct:/docker/1\n0::/\n", "1"), ("0::/a/b\n", "1"), ("0::/\n", "0")],
)
@RESTORABLE
async def test_one_in_a_group_with_a_weight_of_its_own_is_changed_by_thread(
    tmp_path: Path, groups: str, enabled: str
) -> None:
    """There the kernel ignores the value of the session."""
    await grouped(tmp_path, groups, enabled).set_resource("bot", "cpu_weight", 20)
    assert (tmp_path / "7/autogroup").read_text() == "/autogroup-1 nice 0\n"


async def test_a_process_that_does_not_run_has_nothing_to_restore() -> None:
    """The next one begins with the normal weight."""
    await Priority(unit(None)).set_resource("bot", "cpu_weight", NORMAL)
    with pytest.raises(SetupError, match="bot does not run"):
        await Priority(unit(None)).set_resource("bot", "cpu_weight", 20)


async def test_another_resource_is_named() -> None:
    with pytest.raises(SetupError, match="memory_max"):
        await Priority(unit(1)).set_resource("bot", "memory_max", 20)


@pytest.mark.parametrize(("capabilities", "allowed"), [("800000", True), ("7fffff", False)])
def test_without_the_capability_the_limit_decides(
    tmp_path: Path, capabilities: str, allowed: bool
) -> None:
    """The usual limit of 0 allows no lower value than 20, so none can be restored."""
    (tmp_path / "self").mkdir()
    (tmp_path / "self/status").write_text(f"Name:\tx\nCapEff:\t{capabilities}\n")
    assert may_lower_to(0, tmp_path) is allowed
