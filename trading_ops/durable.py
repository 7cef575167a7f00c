"""Files that survive a power cut: they have either the new content or the old one; links too."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

GROUP_ONLY = 0o050
"""Of a folder's permissions: its group may read it, others nothing."""


def write(
    path: Path, content: bytes, *, mode: int | None = 0o600, by_several: bool = False
) -> None:
    """Replace a file atomically; when this returns, it is on disk.

    The file and its folder are both synced: without the second, the rename itself can be lost.

    Args:
        path: the file; its folder exists.
        content: all of the new content.
        mode: permissions of the file; None: the default of new files.
        by_several: several processes may write it at once, so each has its own temporary file.

    Raises:
        OSError: it could not be stored, for example on a full disk; the old content is unchanged.
    """
    process = f".{os.getpid()}" if by_several else ""
    scratch = path.with_name(f".{path.name}{process}.new")
    with new_file(scratch, mode=mode) as file:
        file.write(content)
    put(scratch, path)


@contextlib.contextmanager
def new_file(scratch: Path, *, mode: int | None = 0o600) -> Iterator[BinaryIO]:
    """Write a temporary file, for `put`; it is on disk at the end, or removed after an error.

    Args:
        scratch: the file, next to the one that it will replace; not a link.
        mode: permissions of the file; None: the default of new files.

    Raises:
        OSError: it could not be stored, for example on a full disk.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(scratch, flags, 0o666 if mode is None else mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            yield file
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise


def put(scratch: Path, path: Path) -> None:
    """Replace a file by a temporary one atomically; when this returns, it is on disk.

    Raises:
        OSError: it is not known to be on disk.
    """
    scratch.replace(path)
    sync(path.parent)


def write_if_changed(path: Path, text: str, mode: int | None = None) -> None:
    """Write a file atomically, unless it already has this content."""
    if path.is_file() and path.read_bytes() == text.encode():
        return
    write(path, text.encode(), mode=mode, by_several=True)


def link(path: Path, to: Path) -> None:
    """Make `path` a symbolic link to `to`, replacing an older link or file; atomic."""
    if path.is_symlink() and path.readlink() == to:
        return
    scratch = path.with_name(f".{path.name}.new")
    scratch.unlink(missing_ok=True)
    scratch.symlink_to(to)
    scratch.replace(path)


def state_mode(folder: Path) -> int:
    """Return the permissions of a state file: readable by the group if only it may read the folder.

    With such a folder an operator lets the backups of another user read a bot's state.
    """
    return 0o640 if folder.stat().st_mode & 0o057 == GROUP_ONLY else 0o600


def sync(path: Path) -> None:
    """Flush a file, or the entries of a folder, to disk.

    Raises:
        OSError: it is not known to be on disk.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
