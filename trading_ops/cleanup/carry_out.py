"""Removes the files that the rules found; a failure does not stop the rest."""

import errno
import gzip
import os
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import takewhile
from threading import Event

from trading_ops import clock
from trading_ops.backup.disk import size
from trading_ops.backup.running import Busy, only_one
from trading_ops.cleanup import inside
from trading_ops.cleanup.rules import CleanupReason, Leftover
from trading_ops.config.settings import Settings
from trading_ops.errors import SetupError

SHOWN_FAILURES = 5
CHUNK_BYTES = 256 * 1024


class _Stopped(OSError):
    """The clean-up was cancelled."""


@dataclass(frozen=True, kw_only=True)
class Removed:
    """Result of a clean-up."""

    counts: Counter[CleanupReason]
    bytes: int
    skipped: str
    """Files that were kept because another process uses them; empty: none."""

    failures: list[str]

    def __str__(self) -> str:
        if not (self.counts or self.skipped or self.failures):
            return "nothing to clean up"
        done = [f"{kind}: {count}" for kind, count in self.counts.items()]
        parts = [f"{size(self.bytes)} freed ({', '.join(done)})"] if done else []
        parts += [self.skipped] if self.skipped else []
        failed = "; ".join(self.failures[:SHOWN_FAILURES])
        parts += [f"{len(self.failures)} failed: {failed}"] if self.failures else []
        return "; ".join(parts)


def carry_out(settings: Settings, found: Sequence[Leftover], stop: Event | None = None) -> Removed:
    """Remove files that are not needed; large logs last, because compressing them needs space.

    Args:
        settings: of the installation.
        found: what to remove.
        stop: once it is set, nothing more is removed.
    """
    stop = stop or Event()
    counts: Counter[CleanupReason] = Counter()
    failures: list[str] = []
    freed, skipped = 0, ""

    def one_by_one(some: Sequence[Leftover]) -> None:
        nonlocal freed
        for leftover in takewhile(lambda _: not stop.is_set(), some):
            try:
                freed += (
                    _empty(leftover, stop)
                    if leftover.kind is CleanupReason.LARGE_LOG
                    else _remove(leftover)
                )
            except (FileNotFoundError, _Stopped):
                continue
            except OSError as error:
                failures.append(f"{leftover.found.path}: {error.strerror or error}")
            else:
                counts[leftover.kind] += 1

    of_backups = [
        leftover
        for leftover in found
        if leftover.kind in (CleanupReason.INTERRUPTED, CleanupReason.CACHE)
    ]
    one_by_one(
        [
            leftover
            for leftover in found
            if leftover not in of_backups and leftover.kind is not CleanupReason.LARGE_LOG
        ]
    )
    if of_backups:
        try:
            with only_one(settings):
                one_by_one(of_backups)
        except Busy:
            skipped = "backup folders were kept: a backup command is running"
        except (OSError, SetupError) as error:
            failures.append(f"{settings.backup_work}: {error}")
    one_by_one([leftover for leftover in found if leftover.kind is CleanupReason.LARGE_LOG])
    return Removed(counts=counts, bytes=freed, skipped=skipped, failures=failures)


def _remove(leftover: Leftover) -> int:
    inside.remove(leftover.found)
    return leftover.found.bytes


def _empty(leftover: Leftover, stop: Event) -> int:
    """Compress a log into a new file and truncate it; return the freed bytes.

    Its process continues in append mode. Lines written between the two steps are lost.

    Raises:
        OSError: it could not be compressed, and is unchanged. On a full disk it is truncated
            anyway.
    """
    found, freed = leftover.found, leftover.found.bytes
    stamp = datetime.fromtimestamp(clock.timestamp(), UTC).strftime("%Y%m%dT%H%M%S.%f")
    name = f"{found.relative.name}.{stamp}.gz"
    with inside.opened(found.base, found.relative.parent) as folder:
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(found.relative.name, flags, dir_fd=folder), "r+b") as log:
            seen = os.fstat(log.fileno())
            if (seen.st_dev, seen.st_ino) != found.identity:
                raise inside.Changed(f"{found.path} was replaced")
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            part = f"{name}.part"
            try:
                mode = seen.st_mode & 0o777
                with os.fdopen(os.open(part, flags, mode, dir_fd=folder), "wb") as packed:
                    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=6) as compressed:
                        while chunk := log.read(CHUNK_BYTES):
                            if stop.is_set():
                                raise _Stopped
                            compressed.write(chunk)
                    packed.flush()
                    os.fsync(packed.fileno())
                    freed -= os.fstat(packed.fileno()).st_blocks * 512
                os.rename(part, name, src_dir_fd=folder, dst_dir_fd=folder)
                os.fsync(folder)
            except OSError as error:
                with suppress(
                    FileNotFoundError
                ):  # there was no space for the directory entry either
                    os.unlink(part, dir_fd=folder)
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
                freed = found.bytes
            log.truncate(0)
    return freed
