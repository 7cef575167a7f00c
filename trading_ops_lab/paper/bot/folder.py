"""The bot's state folder, which one process has at a time."""

import fcntl
from pathlib import Path
from typing import TextIO

from trading_ops.errors import SetupError


def take(path: Path) -> TextIO:
    """Take the folder for this process: two with one key would fight over nonces and orders.

    Raises:
        SetupError: another process has it.
    """
    file = path.open("w", encoding="ascii")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise SetupError(
            f"another bot runs in {path.parent}: records in a file are for one process. Fix: stop"
            " it, name another state_dir, or have a standby with records in PostgreSQL, as"
            " docs/failover.md says"
        ) from error
    return file
