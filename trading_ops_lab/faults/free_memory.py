"""How much memory a process may still take: of the machine, and of the control groups it is in."""

from collections.abc import Iterator
from pathlib import Path

import psutil

GROUPS = Path("/sys/fs/cgroup")
V2 = "0::/"
"""How the line starts that names a process's group of the second version."""


def spare_bytes(pid: int, *, proc: Path = Path("/proc"), groups: Path = GROUPS) -> int:
    """Return the bytes that are left to a process before the kernel has to kill something."""
    machine: int = psutil.virtual_memory().available
    return min([machine, *_left(pid, proc, groups)])


def _left(pid: int, proc: Path, groups: Path) -> Iterator[int]:
    """Yield what is left in each group that has a limit, from the process's own upwards."""
    try:
        lines = (proc / str(pid) / "cgroup").read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return
    named = next((line.removeprefix(V2) for line in lines if line.startswith(V2)), None)
    if named is None:
        return
    group = groups / named
    for folder in (group, *group.parents):
        most, used = _read(folder / "memory.max"), _read(folder / "memory.current")
        if most is not None and used is not None:
            yield max(0, most - used)
        if folder == groups:
            return


def _read(path: Path) -> int | None:
    """Return the number in a file; None if there is no file or it says `max` (no limit)."""
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
