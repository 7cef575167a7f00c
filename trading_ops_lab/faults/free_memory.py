"""How much memory a process may still use: on the machine, and in its control groups."""

from collections.abc import Iterator
from pathlib import Path

import psutil

GROUPS = Path("/sys/fs/cgroup")
V2 = "0::/"
"""Prefix of the line with a process's cgroup v2 path."""


def spare_bytes(pid: int, *, proc: Path = Path("/proc"), groups: Path = GROUPS) -> int:
    """Return the bytes that a process may still allocate before the kernel kills something."""
    machine: int = psutil.virtual_memory().available
    return min([machine, *_left(pid, proc, groups)])


def _left(pid: int, proc: Path, groups: Path) -> Iterator[int]:
    """Yield the bytes left in each control group with a limit, from the process's own upwards."""
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
    """Return the number in a file; None if it does not exist or says `max` (no limit)."""
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
