"""A drill takes much memory only where there is more, and asks the kernel what became of it."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import psutil
import pytest

from trading_ops.domain.target import Target
from trading_ops.errors import NotPossibleHere
from trading_ops_lab.drills.lab_clients import Scene
from trading_ops_lab.faults.free_memory import spare_bytes
from trading_ops_lab.faults.memory_fragmentation import (
    LEFT_MEBIBYTES,
    MemoryFragmentation,
    over,
    own_bytes,
    refuse_without_room,
)
from trading_ops_lab.paper.bot.drills import MEBIBYTE

ALPHA = cast(Target, SimpleNamespace(name="alpha"))
PID = os.getpid()


def grouped(folder: Path, name: str, **groups: tuple[str, str]) -> int:
    """Return what is left to a process of a group, in a tree of groups with limits and uses."""
    (folder / "proc" / "7").mkdir(parents=True)
    (folder / "proc" / "7" / "cgroup").write_text(f"1:cpu:/old\n0::/{name}\n")
    for path, (most, used) in groups.items():
        group = folder / "groups" / path.replace("_", "/").removeprefix("root")
        group.mkdir(parents=True, exist_ok=True)
        (group / "memory.max").write_text(f"{most}\n")
        (group / "memory.current").write_text(f"{used}\n")
    return spare_bytes(7, proc=folder / "proc", groups=folder / "groups")


def test_the_tightest_group_counts(tmp_path: Path) -> None:
    """A limit of a group above is one of the process's too; `max` is none."""
    left = grouped(tmp_path, "a/b", a=("5000", "4000"), a_b=("max", "3000"), root=("9000", "10"))
    assert left == 1000


def test_one_that_is_used_up_leaves_nothing(tmp_path: Path) -> None:
    """And not less than nothing."""
    assert grouped(tmp_path, "a", a=("5000", "6000")) == 0


@pytest.mark.parametrize("name", ["", "a"])
def test_without_a_limit_the_machine_counts(tmp_path: Path, name: str) -> None:
    """With the same order of size as the kernel says a moment later."""
    left = grouped(tmp_path, name, a=("max", "1"))
    assert left == pytest.approx(psutil.virtual_memory().available, rel=0.5)


@pytest.mark.parametrize(
    ("wanted", "spare", "why"),
    [
        (576, 576 + LEFT_MEBIBYTES, ""),
        (576, 575 + LEFT_MEBIBYTES, "of 1599 MiB that are free 1024 MiB must stay free"),
        (2048, 9999, ""),
        (2049, 9999, "at most 2048 MiB"),
    ],
)
def test_nothing_is_taken_from_a_machine_that_has_too_little(
    wanted: int, spare: int, why: str
) -> None:
    """It is refused with what is there, and no process is killed for a drill."""
    if not why:
        refuse_without_room(wanted, spare * MEBIBYTE)
        return
    with pytest.raises(NotPossibleHere, match=why) as raised:
        refuse_without_room(wanted, spare * MEBIBYTE)
    assert str(raised.value).startswith("not possible here: ")


def test_a_library_that_returns_all_leaves_nothing_to_drill() -> None:
    """That of GNU keeps it; for others this is reported."""
    assert over(10, 11) == 11
    with pytest.raises(NotPossibleHere, match="C library"):
        over(10, 10)


class World:
    """A stack whose bot is this process."""

    def __init__(self) -> None:
        """It runs."""
        self.directory = self

    def unit(self, _bot: Target) -> "World":
        """Return the service manager."""
        return self

    async def process(self) -> object:
        """Return the process."""
        return SimpleNamespace(pid=PID)


@pytest.mark.parametrize(
    ("room", "age", "seen"),
    [(1, -1, "the same process"), (1, 1, "a new process"), (-1, -1, None)],
)
async def test_the_kernel_says_what_the_process_takes(
    room: int, age: int, seen: str | None
) -> None:
    """One that still takes more than it may has not recovered; whose memory it was is reported."""
    fault = MemoryFragmentation()
    fault._limit = own_bytes(PID) + room * 200 * MEBIBYTE
    since = psutil.Process(PID).create_time() - age
    evidence = await fault.evidence(cast(Scene, World()), ALPHA, since)
    assert (evidence is None) == (seen is None)
    assert (seen or "") in (evidence or "")
