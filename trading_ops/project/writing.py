"""Writes files and links atomically."""

import os
from pathlib import Path


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
    """Write a file atomically.

    Args:
        path: in a folder that exists.
        content: the new content.
        mode: of the file; None: the default of new files.
    """
    scratch = path.with_name(f".{path.name}.{os.getpid()}.new")
    scratch.write_bytes(content)
    if mode is not None:
        scratch.chmod(mode)
    scratch.replace(path)
