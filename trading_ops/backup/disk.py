"""Private folders, locks and free space for backups."""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from trading_ops.errors import SetupError, StoreError


def private_folder(path: Path) -> Path:
    """Create a folder that only its owner can read."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SetupError(f"cannot create the folder {path}: {error.strerror}") from error
    return path


def empty_folder(path: Path) -> Path:
    """Create a folder, and delete what an earlier run left in it."""
    shutil.rmtree(path, ignore_errors=True)
    return private_folder(path)


@contextlib.contextmanager
def locked(path: Path, busy: str) -> Iterator[None]:
    """Hold a file's lock; the kernel releases it when the process dies.

    Raises:
        StoreError: another process holds it; `busy` is the message.
    """
    private_folder(path.parent)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StoreError(busy) from error
        yield
    finally:
        os.close(descriptor)


class Space(NamedTuple):
    """Free and total bytes of a file system."""

    free: int
    total: int


def space(folder: Path) -> Space:
    """Return the space of a folder's file system; the folder need not exist yet.

    Raises:
        OSError: it cannot be read.
    """
    existing = next(existing for existing in (folder, *folder.parents) if existing.exists())
    usage = shutil.disk_usage(existing)
    return Space(usage.free, usage.total)


def require_space(folder: Path, needed: int, purpose: str) -> None:
    """Fail unless there is enough free space, with 10 % to spare.

    Raises:
        SetupError: the disk has too little free space.
    """
    free = space(folder).free
    if free < needed * 1.1:
        raise SetupError(
            f"{purpose} needs {size(needed)} and 10 % to spare in {folder}, which has {size(free)} "
            "free. Fix: free some space, or name another folder"
        )


def size(count: float) -> str:
    """Return a human-readable number of bytes."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:  # noqa: PLR2004 - the units are powers of it
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
