"""Detects in the kernel whether a process holds the write lock, without taking it."""

import fcntl
import os
import struct
import time
from pathlib import Path

from trading_ops.exporter.databases.sqlite.failure import of_system

# struct flock of 64-bit Linux: type, whence, start, length, pid.
_FLOCK = struct.Struct("@hhqqi4x")

RESERVED_BYTE = 0x4000_0001
"""In the database file; locked by a writer in rollback journal mode."""

WAL_WRITE_BYTE = 120
"""In the -shm file; locked by a writer in WAL mode."""

SAMPLE_SECONDS = 0.02


def held_throughout(path: Path, *, wal: bool, seconds: float) -> bool:
    """Return whether the lock was held at every check within this time.

    Usually the first check finds it free. As for `files.uses_wal`, this process must not have a
    connection open.

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
    request = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0)
    try:
        reply = fcntl.fcntl(descriptor, fcntl.F_GETLK, request)
    except OSError as error:
        raise of_system(error) from error
    return bool(_FLOCK.unpack(reply)[0] != fcntl.F_UNLCK)
