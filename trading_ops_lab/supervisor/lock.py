"""One stack per var folder: a lock that the kernel releases when its holder dies."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from trading_ops.cli.local_stack import lock_file, pid_in
from trading_ops.errors import StackError
from trading_ops_lab.supervisor.layout import unwritable


@contextlib.contextmanager
def only_stack(var: Path) -> Iterator[None]:
    """Lock the folder while the block runs.

    Raises:
        StackError: another stack has locked it; names the process.
        SetupError: the folder cannot be written.
    """
    path = lock_file(var)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise unwritable(var, error) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StackError(
                f"a stack already runs in {var} (process {pid_in(descriptor) or 'unknown'}): use "
                "it, stop it with `trading-ops down`, or name another folder with TRADING_OPS_VAR"
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)  # the file stays: after its removal two processes could hold a lock
