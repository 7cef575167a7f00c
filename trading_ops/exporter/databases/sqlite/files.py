"""Facts about the files of a SQLite database without the library: sizes, times, journal mode."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from trading_ops.exporter.databases.sqlite.failure import (
    CORRUPT,
    NOT_A_FILE,
    SqliteFailure,
    of_system,
)

MAGIC = b"SQLite format 3\x00"
HEADER_BYTES = 100
WAL_VERSION = 2
READ_VERSION_AT = 19


@dataclass(frozen=True)
class Files:
    """State of the database file, its -wal and its -shm file."""

    size: int
    modified: float
    wal_size: int | None
    """None: there is no -wal file, so no process has the database open in WAL mode."""

    has_shared_memory: bool
    identity: tuple[int, int, int, int]
    """Changes when the file is written or replaced."""


def look(path: Path) -> Files:
    """Return the state of the files.

    Raises:
        SqliteFailure: the file is missing or cannot be read.
    """
    try:
        main = path.stat()
    except OSError as error:
        raise of_system(error) from error
    if not stat.S_ISREG(main.st_mode):
        # Opening a named pipe would block.
        raise SqliteFailure(NOT_A_FILE, f"{path} is not a regular file")
    wal = _beside(path, "-wal")
    return Files(
        size=main.st_size,
        modified=max(main.st_mtime, wal.st_mtime if wal else 0.0),
        wal_size=wal.st_size if wal else None,
        has_shared_memory=_beside(path, "-shm") is not None,
        identity=(main.st_dev, main.st_ino, main.st_size, main.st_mtime_ns),
    )


def uses_wal(path: Path) -> bool:
    """Return whether the header has WAL mode.

    Closing a file releases every lock that this process has on it, so this process must not have a
    connection open.

    Raises:
        SqliteFailure: it cannot be read, or is not a database.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            header = os.read(descriptor, HEADER_BYTES)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise of_system(error) from error
    if not header:
        return False  # an empty database
    if len(header) < HEADER_BYTES or not header.startswith(MAGIC):
        raise SqliteFailure(CORRUPT, f"{path} is not a SQLite database")
    return header[READ_VERSION_AT] == WAL_VERSION


def _beside(path: Path, suffix: str) -> os.stat_result | None:
    try:
        return Path(f"{path}{suffix}").stat()
    except OSError:
        return None
