"""One stack in a var folder: a lock that the kernel drops when its holder dies, however it dies."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from trading_ops.errors import StackError
from trading_ops.stack.folder import unwritable


def lock_file(var: Path) -> Path:
    """Return where the lock of a var folder is."""
    return var / "supervisor" / "lock"


def address_file(var: Path) -> Path:
    """Return where the running stack has written its supervisor's address.

    Beside the lock, so that it can be asked and stopped while targets.yml is being edited.
    """
    return var / "supervisor" / "address"


@contextlib.contextmanager
def only_stack(var: Path) -> Iterator[None]:
    """Hold the folder while the block runs.

    Raises:
        StackError: another stack has it; names the process.
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
                f"a stack already runs in {var} (process {_read(descriptor) or 'unknown'}): use "
                "it, stop it with `trading-ops down`, or name another folder with TRADING_OPS_VAR"
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)  # the file stays: removing it would let two hold “the” lock


def holder(var: Path) -> int | None:
    """Return the pid of the stack that holds the folder, 0 when it is unknown, None for nobody."""
    try:
        descriptor = os.open(lock_file(var), os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return int(_read(descriptor) or 0)
    else:
        return None
    finally:
        os.close(descriptor)


def _read(descriptor: int) -> str:
    text = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
    return text if text.isdigit() else ""
