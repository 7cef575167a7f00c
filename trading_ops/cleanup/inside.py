"""Reads and removes entries of a folder without following links, and without leaving the folder.

Every folder below the base is opened by name relative to its parent's descriptor and with
O_NOFOLLOW, so a link that is created at any time, even between reading and removing, is an error
and does not lead elsewhere. Other file systems mounted below the base are skipped.
"""

import os
import shutil
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Changed(OSError):
    """The entry was replaced since it was found."""


@dataclass(frozen=True, kw_only=True)
class FoundFile:
    """A file or folder below a base."""

    base: Path
    relative: PurePath
    bytes: int
    """Disk space that its removal frees; a file with several hard links frees none."""

    modified: float
    """Seconds since the epoch; for a folder that of its newest entry."""

    is_folder: bool
    identity: tuple[int, int]
    """Device and inode."""

    @property
    def path(self) -> Path:
        """Return its path."""
        return self.base / self.relative


def files(base: Path, left_out: Collection[str] = ()) -> Iterator[FoundFile]:
    """Yield the regular files below a base; none if it does not exist.

    Args:
        base: the folder.
        left_out: folders to skip, relative to the base.
    """
    device = _device(base)
    # fwalk verifies that each folder that it opens is the one that it listed.
    for parent, folders, names, descriptor in os.fwalk(base, follow_symlinks=False):
        inside = PurePath(parent).relative_to(base)
        folders[:] = [
            name
            for name in sorted(folders)
            if str(inside / name) not in left_out and _device(name, descriptor) == device
        ]
        for name in sorted(names):
            found = _entry(base, inside / name, descriptor)
            if found is not None and not found.is_folder:
                yield found


def entries(base: Path, folder: str = ".") -> list[FoundFile]:
    """Return the files and folders directly in a folder of the base, by name; links are skipped.

    A folder that contains another file system is skipped too.
    """
    try:
        with opened(base, PurePath(folder)) as descriptor:
            with os.scandir(descriptor) as listed:
                names = sorted(entry.name for entry in listed)
            found = [_entry(base, PurePath(folder, name), descriptor) for name in names]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [entry for entry in found if entry is not None]


def remove(found: FoundFile) -> None:
    """Remove a file, or a folder with its content.

    Raises:
        Changed: it was replaced.
        OSError: it could not be removed, or only in part.
    """
    with opened(found.base, found.relative.parent) as folder:
        name = found.relative.name
        seen = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if (seen.st_dev, seen.st_ino) != found.identity:
            raise Changed(f"{found.path} was replaced")
        if found.is_folder:
            shutil.rmtree(name, dir_fd=folder)
        else:
            os.unlink(name, dir_fd=folder)


@contextmanager
def opened(base: Path, relative: PurePath) -> Iterator[int]:
    """Open a folder below a base, component by component; yield its descriptor.

    Raises:
        OSError: it does not exist, or a component is a link or not a folder.
    """
    descriptor = os.open(base, FOLDER)
    try:
        for part in relative.parts:
            if part == os.pardir:
                raise Changed(f"{relative} leaves {base}")
            following = os.open(part, FOLDER, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = following
        yield descriptor
    finally:
        os.close(descriptor)


def _entry(base: Path, relative: PurePath, parent: int) -> FoundFile | None:
    """Return an entry; None: it is missing, a link, special, or contains another file system."""
    try:
        seen = os.stat(relative.name, dir_fd=parent, follow_symlinks=False)
        if stat.S_ISREG(seen.st_mode):
            size, newest = _freed(seen), seen.st_mtime
        elif stat.S_ISDIR(seen.st_mode) and seen.st_dev == os.fstat(parent).st_dev:
            size, newest = _measure(relative.name, parent, seen)
        else:
            return None
    except (FileNotFoundError, Changed):
        return None
    return FoundFile(
        base=base,
        relative=relative,
        bytes=size,
        modified=newest,
        is_folder=stat.S_ISDIR(seen.st_mode),
        identity=(seen.st_dev, seen.st_ino),
    )


def _measure(name: str, parent: int, top: os.stat_result) -> tuple[int, float]:
    """Return the size of a folder and the time of its newest entry.

    Raises:
        Changed: another file system is mounted in it.
    """
    size, newest = _freed(top), top.st_mtime
    for _, folders, names, descriptor in os.fwalk(name, dir_fd=parent, follow_symlinks=False):
        for entry in (*folders, *names):
            seen = os.stat(entry, dir_fd=descriptor, follow_symlinks=False)
            if seen.st_dev != top.st_dev:
                raise Changed(f"{name} contains another file system")
            size += _freed(seen)
            newest = max(newest, seen.st_mtime)
    return size, newest


def _freed(seen: os.stat_result) -> int:
    if stat.S_ISREG(seen.st_mode) and seen.st_nlink > 1:
        return 0
    return seen.st_blocks * 512


def _device(path: Path | str, parent: int | None = None) -> int:
    try:
        return os.stat(path, dir_fd=parent, follow_symlinks=False).st_dev
    except FileNotFoundError:
        return -1
