"""Detects whether a local stack runs in this var folder, for the error when no reconciler answers.

Its supervisor holds a lock, which the kernel releases when the process dies.
"""

import fcntl
import os
from pathlib import Path

from trading_ops.config.settings import Settings
from trading_ops.errors import NotRunning


def lock_file(var: Path) -> Path:
    """Return the lock file of a var folder."""
    return var / "supervisor" / "lock"


def address_file(var: Path) -> Path:
    """Return the file with the supervisor's address.

    It is next to the lock, so that the stack can be stopped while targets.yml is being edited.
    """
    return var / "supervisor" / "address"


def holder(var: Path) -> int | None:
    """Return the pid of the stack that runs in the folder; 0: unknown, None: not running."""
    try:
        descriptor = os.open(lock_file(var), os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return int(pid_in(descriptor) or 0)
    else:
        return None
    finally:
        os.close(descriptor)


def pid_in(descriptor: int) -> str:
    """Return the pid in an open lock file, or "" if it has none."""
    text = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
    return text if text.isdigit() else ""


def not_running(settings: Settings) -> NotRunning:
    """Return the error, which names the folder: it may be the wrong one."""
    if settings.targets_file.exists():
        fix = "start one with `trading-ops up`"
    else:
        fix = f"{settings.targets_file} is missing: change to the project folder, or set it with "
        fix += "TRADING_OPS_ROOT"
    return NotRunning(f"no stack is running here ({settings.var}): {fix}")
