"""Identifies one run of a process: a PID alone is reused."""

from pathlib import Path

from trading_ops.errors import SetupError

START_TIME_FIELD = 22
"""Field number in /proc/PID/stat, from 1: clock ticks after boot, independent of the clock."""


def incarnation(pid: int, proc: Path = Path("/proc")) -> str:
    """Return `<pid>:<start time>` of a running process; every caller gets the same.

    Raises:
        SetupError: there is no such process.
    """
    try:
        stat = (proc / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise SetupError(f"process {pid} does not exist") from error
    # The second field is the name in brackets, and may itself hold spaces and brackets.
    fields = stat.rpartition(")")[2].split()
    return f"{pid}:{fields[START_TIME_FIELD - 3]}"
