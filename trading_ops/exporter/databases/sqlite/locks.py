"""Whether somebody holds the lock for writing: asked of the kernel, without taking it."""

import fcntl
import os
import struct
import time
from pathlib import Path

from trading_ops.exporter.databases.sqlite.failure import of_system

# struct flock of 64-bit Linux: type, whence, start, length, pid.
_FLOCK = struct.Struct("@hhqqi4x")

RESERVED_BYTE = 0x4000_0001
"""Of the database's file: whoever writes in a mode with a rollback journal has it."""

WAL_WRITE_BYTE = 120
"""Of the -shm file: whoever writes in WAL mode has it."""

SAMPLE_SECONDS = 0.02


def held_throughout(path: Path, *, wal: bool, seconds: float) -> bool:
    """Return whether the lock was held each time that we looked, for so long.

    Mostly the first look finds it free, and that is all. As it is with `files.uses_wal`, no
    connection of ours may be open to the database.

    Raises:
        SqliteFailure: the file cannot be opened.
    """
    place, byte = (Path(f"{path}-shm"), WAL_WRITE_BYTE) if wal else (path, RESERVED_BYTE)
    try:
        descriptor = os.open(place, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise of_system(error) from error
    try:
        end = time.monotonic() + seconds
        while _is_held(descriptor, byte):
            if time.monotonic() >= end:
                return True
            time.sleep(SAMPLE_SECONDS)
        return False
    finally:
        os.close(descriptor)


def _is_held(descriptor: int, byte: int) -> bool:
    asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0)
    try:
        answered = fcntl.fcntl(descriptor, fcntl.F_GETLK, asked)
    except OSError as error:
        raise of_system(error) from error
    return bool(_FLOCK.unpack(answered)[0] != fcntl.F_UNLCK)
