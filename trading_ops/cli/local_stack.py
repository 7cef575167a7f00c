"""Whether a local stack runs in this var folder: what an order says when no reconciler answers.

Its supervisor holds a lock, which the kernel drops when the holder dies, however it dies.
"""

import fcntl
import os
from pathlib import Path

from trading_ops.config.settings import Settings
from trading_ops.errors import NotRunning


def lock_file(var: Path) -> Path:
    """Return where the lock of a var folder is."""
    return var / "supervisor" / "lock"


def address_file(var: Path) -> Path:
    """Return where the running stack has written its supervisor's address.

    Beside the lock, so that it can be asked and stopped while targets.yml is being edited.
    """
    return var / "supervisor" / "address"


def holder(var: Path) -> int | None:
    """Return the pid of the stack that holds the folder; 0: unknown, None: no stack runs."""
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
    """Return the pid that an open lock file names; empty when it names none."""
    text = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
    return text if text.isdigit() else ""


def not_running(settings: Settings) -> NotRunning:
    """Return the error that says where was looked; a wrong folder is as likely as no stack."""
    if settings.targets_file.exists():
        fix = "start one with `trading-ops up`"
    else:
        fix = f"{settings.targets_file} is missing: go to the project's folder, or name it with "
        fix += "TRADING_OPS_ROOT"
    return NotRunning(f"no stack is running here ({settings.var}): {fix}")
