"""Writes files and links atomically; a written file survives a power cut."""

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
    durable.write(path, text.encode(), mode=mode, by_several=True)
