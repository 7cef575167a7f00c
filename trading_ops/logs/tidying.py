"""Operations on a process's log: rotate it now, and free disk space.

Only rotated files and incomplete compressed files are changed. Current logs and other files in the
folder stay.
"""

import contextlib
import logging
import os
from dataclasses import dataclass, replace
from pathlib import Path

from trading_ops import clock
from trading_ops.logs import rotation
from trading_ops.logs.handler import FileHandler

SCARCE_PART = 10
"""On a full disk, the limit of rotated files is divided by this."""


@dataclass(frozen=True, kw_only=True)
class Rotated:
    """Result of a rotation."""

    aside: Path | None
    """The rotated file; None: the log was empty and not rotated."""

    compressed: int
    """Number of files that were compressed."""

    folder_bytes: int
    """Size of all logs in the folder afterwards."""


@dataclass(frozen=True, kw_only=True)
class Freed:
    """Result of freeing space."""

    freed_bytes: int
    """Bytes by which the folder shrank, at least 0."""

    removed: int
    compressed: int
    free_bytes: int
    """Free bytes on the folder's file system afterwards, for unprivileged processes."""


def rotate(handler: FileHandler, within_seconds: float) -> Rotated:
    """Rotate the log, and wait until earlier files are compressed.

    Raises:
        OSError: the file could not be renamed; logging continues in it.
    """
    file = handler.file
    folder, log = file.path.parent, file.path.name
    before = len(_packed(folder, log))
    aside = handler.rotate(within_seconds)
    file.wait_tidied()
    return Rotated(
        aside=aside,
        compressed=max(0, len(_packed(folder, log)) - before),
        folder_bytes=rotation.folder_bytes(folder),
    )


def free(handler: FileHandler) -> Freed:
    """Remove the oldest files beyond a tighter limit, and compress the others of this log.

    The newest is compressed too, although a process that follows it may miss its last lines. Files
    of other processes are not compressed, but count towards the limit, which is that of the folder.

    Raises:
        OSError: a file could not be removed or compressed; others may have been.
    """
    file = handler.file
    folder, log = file.path.parent, file.path.name
    tight = replace(file.policy, folder_bytes=file.policy.folder_bytes // SCARCE_PART)
    with file.tidy_lock:
        before, names = rotation.folder_bytes(folder), rotation.files_aside(folder)
        rotation.remove_parts(folder, log)
        rotation.prune(file.policy, folder, clock.timestamp())
        plain = [path for path in _aside(folder, log) if path.suffix != ".gz"]
        with contextlib.suppress(OSError):  # it takes room itself, and there may be none
            for path in plain:
                rotation.compress(path)
        rotation.prune(tight, folder, clock.timestamp())
    left = {_plain(path) for path in rotation.files_aside(folder)}
    space = os.statvfs(folder)
    return Freed(
        freed_bytes=max(0, before - rotation.folder_bytes(folder)),
        removed=sum(_plain(path) not in left for path in names),
        compressed=sum(not path.exists() for path in plain),
        free_bytes=space.f_bavail * space.f_frsize,
    )


def file_handler() -> FileHandler | None:
    """Return the handler of this process's log file; None when it logs to standard error."""
    handlers = logging.getLogger().handlers
    return next((handler for handler in handlers if isinstance(handler, FileHandler)), None)


def _aside(folder: Path, log: str) -> list[Path]:
    return [path for path in rotation.files_aside(folder) if path.name.startswith(f"{log}.")]


def _packed(folder: Path, log: str) -> list[Path]:
    return [path for path in _aside(folder, log) if path.suffix == ".gz"]


def _plain(path: Path) -> str:
    return path.name.removesuffix(".gz")
