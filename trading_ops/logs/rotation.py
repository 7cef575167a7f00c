"""Rotates a log file, compresses the previous one, and enforces the limits.

`bot.log` becomes `bot.log.20260314T150926.535897`. It stays uncompressed until the next rotation,
so that a process that follows it can read the rest; then it becomes `….gz`. Only files with such
names are removed.
"""

import gzip
import os
import re
import shutil
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final

from trading_ops.config.log_policy import LogPolicy

ASIDE: Final = re.compile(
    r"^(?P<log>.+\.log)\.(?P<stamp>\d{8}T\d{6}\.\d{6}(?:-\d+)?)(?P<gz>\.gz)?$"
)
PART: Final = re.compile(r"^.+\.log\.\d{8}T\d{6}\.\d{6}(?:-\d+)?\.gz\.part$")
"""Suffix of an incomplete compressed file."""


def move_aside(path: Path, now: float) -> Path:
    """Rename a log file; return the new path. Lines that are written meanwhile go to it.

    Raises:
        OSError: it could not be renamed.
    """
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%S.%f")
    aside = path.with_name(f"{path.name}.{stamp}")
    number = 0
    while aside.exists() or aside.with_name(f"{aside.name}.gz").exists():
        number += 1  # the clock was set back, or does not advance
        aside = path.with_name(f"{path.name}.{stamp}-{number}")
    path.rename(aside)
    return aside


def files_aside(folder: Path) -> list[Path]:
    """Return the rotated files, oldest first."""
    found = [
        (match["stamp"], entry.name)
        for entry in os.scandir(folder)
        if (match := ASIDE.match(entry.name)) and entry.is_file(follow_symlinks=False)
    ]
    return [folder / name for _, name in sorted(found)]


def tidy(policy: LogPolicy, folder: Path, log: str, now: float) -> None:
    """Compress all rotated files of a log except the newest, and remove those beyond the limits.

    Args:
        policy: retention.
        folder: of the files.
        log: name of the log whose files are compressed, such as `bot.log`.
        now: seconds since the epoch.

    Raises:
        OSError: a step failed; the others may have succeeded.
    """
    plain = [
        path
        for path in files_aside(folder)
        if (match := ASIDE.match(path.name)) and match["log"] == log and not match["gz"]
    ]
    # Files to be removed need no compression.
    prune(policy, folder, now)
    for path in plain[:-1]:
        if path.exists():
            compress(path)
    prune(policy, folder, now)
    remove_parts(folder, log)


def compress(path: Path) -> None:
    """Compress a file to `.gz`, keeping its modification time.

    Raises:
        OSError: it failed; the uncompressed file still exists.
    """
    packed = path.with_name(f"{path.name}.gz")
    part = path.with_name(f"{path.name}.gz.part")
    try:
        with path.open("rb") as plain, _new_file(part) as file:
            with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=6) as compressed:
                shutil.copyfileobj(plain, compressed, 256 * 1024)
            file.flush()
            seen = os.fstat(plain.fileno())
            os.fchmod(file.fileno(), seen.st_mode & 0o777)
            os.utime(file.fileno(), (seen.st_atime, seen.st_mtime))
        part.replace(packed)
    except OSError:
        part.unlink(missing_ok=True)
        raise
    path.unlink(missing_ok=True)


def _new_file(path: Path) -> BinaryIO:
    """Create a file; a link created by another user is removed, not followed."""
    path.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, 0o600), "wb")


def prune(policy: LogPolicy, folder: Path, now: float) -> None:
    """Remove the files beyond the policy's limits.

    Raises:
        OSError: one could not be removed.
    """
    for path, _ in excess(policy, folder, now):
        path.unlink(missing_ok=True)


def excess(
    policy: LogPolicy, folder: Path, now: float, *, freed: int = 0
) -> list[tuple[Path, str]]:
    """Return the files beyond the limits, each with its reason.

    The oldest file of the largest log is removed first, so that a process that floods its log does
    not remove another one's.

    Args:
        policy: retention.
        folder: of the files.
        now: seconds since the epoch.
        freed: bytes to subtract from the size of the folder.
    """
    found, logs, total = [], dict[str, list[tuple[Path, int]]](), folder_bytes(folder) - freed
    for path in files_aside(folder):
        size = _size(path)
        if _last_written(path) < now - policy.kept_seconds:
            found.append((path, f"older than {policy.kept_seconds / 86_400:g} d"))
            total -= size
        elif match := ASIDE.match(path.name):
            logs.setdefault(match["log"], []).append((path, size))
    while total > policy.folder_bytes and logs:
        name = max(logs, key=lambda log: sum(size for _, size in logs[log]))
        path, size = logs[name].pop(0)
        if not logs[name]:
            del logs[name]
        total -= size
        limit = f"the folder is over {policy.folder_bytes / 2**20:g} MB"
        found.append((path, f"{limit}, and {name} takes the most"))
    return found


def folder_bytes(folder: Path) -> int:
    """Return the size of all files in the folder, rotated or not."""
    return _size_of(entry for entry in os.scandir(folder) if entry.is_file(follow_symlinks=False))


def remove_parts(folder: Path, log: str) -> None:
    """Remove incomplete compressed files of this log, left behind by a crash."""
    for entry in os.scandir(folder):
        if entry.name.startswith(f"{log}.") and PART.match(entry.name):
            Path(entry.path).unlink(missing_ok=True)


def _size_of(entries: Iterable["os.DirEntry[str]"]) -> int:
    return sum(_size(Path(entry.path)) for entry in entries)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # another process tidied at the same time
        return 0


def _last_written(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
