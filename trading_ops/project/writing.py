"""Writes files and links atomically; a written file survives a power cut."""

import os
from pathlib import Path

from trading_ops import durable


def link(path: Path, to: Path) -> None:
    """Make `path` a symbolic link to `to`, replacing an older link or file; atomic."""
    if path.is_symlink() and path.readlink() == to:
        return
    scratch = path.with_name(f".{path.name}.new")
    scratch.unlink(missing_ok=True)
    scratch.symlink_to(to)
    scratch.replace(path)


def write_if_changed(path: Path, text: str, mode: int | None = None) -> None:
    """Write a file atomically, unless it already has this content."""
    if path.is_file() and path.read_bytes() == text.encode():
        return
    write(path, text.encode(), mode)


def write(path: Path, content: bytes, mode: int | None = None) -> None:
    """Write a file atomically; when this returns, it is on disk.

    Args:
        path: in a folder that exists.
        content: the new content.
        mode: of the file; None: the default of new files.

    Raises:
        OSError: it could not be stored; the old content is unchanged.
    """
    # Another process may write the same file, so the name contains the process id.
    scratch = path.with_name(f".{path.name}.{os.getpid()}.new")
    with durable.new_file(scratch, mode=mode) as file:
        file.write(content)
    durable.put(scratch, path)
