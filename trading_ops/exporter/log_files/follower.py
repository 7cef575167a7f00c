"""Follows the log files of one entry across readings."""

import os
import stat
from dataclasses import dataclass, field

from trading_ops.exporter.config import LogFilesEntry
from trading_ops.exporter.log_files.folder import (
    NOT_REGULAR,
    UNREADABLE,
    FolderListing,
    Seen,
    list_files,
)
from trading_ops.exporter.log_files.lines import LEVELS
from trading_ops.exporter.log_files.tail import HEAD_BYTES, Tail, is_copy, plan

CHUNK_BYTES = 256 * 1024

Identity = tuple[int, int]


@dataclass
class Totals:
    """Counts since the exporter started."""

    written: int = 0
    unread: int = 0
    rotations: int = 0
    lines: dict[str, int] = field(default_factory=lambda: dict.fromkeys(LEVELS, 0))


@dataclass(frozen=True)
class LogSnapshot:
    """Result of one reading; `totals` are as of its end."""

    listing: FolderListing
    totals: Totals


class LogFollower:
    """Follows the files of one entry. Not thread-safe."""

    def __init__(self, entry: LogFilesEntry) -> None:
        """Set up; the content of files that exist at the first reading is not counted."""
        self._entry = entry
        self._totals = Totals()
        self._tails: dict[Identity, Tail] = {}
        self._sizes: dict[Identity, int] | None = None
        """Sizes of all files in the folders at the last listing; None before the first one."""

    def read(self) -> LogSnapshot:
        """Read what was appended to the files.

        Raises:
            OSError: a folder cannot be listed.
        """
        listing = list_files(self._entry.paths, self._entry.max_files)
        wanted = {seen.identity: seen for seen in listing.matched}
        # The last lines of a file that was renamed to a name outside the patterns are still read.
        for identity in self._tails.keys() - wanted.keys():
            if identity in listing.elsewhere:
                wanted[identity] = listing.elsewhere[identity]
        sizes = {identity: seen.size for identity, seen in listing.elsewhere.items()}
        self._sizes = sizes if self._sizes is None else self._sizes
        # New files first: a copy is recognized by the previous state of the original.
        for seen in sorted(wanted.values(), key=lambda seen: seen.identity in self._tails):
            self._follow(seen, listing)
        self._forget(listing, wanted)
        self._sizes = sizes
        totals = self._totals
        return LogSnapshot(
            listing,
            Totals(totals.written, totals.unread, totals.rotations, dict(totals.lines)),
        )

    def _follow(self, seen: Seen, listing: FolderListing) -> None:
        try:
            # The name may have become a link or a pipe since it was listed.
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
            descriptor = os.open(seen.path, flags)
        except FileNotFoundError:
            return
        except OSError:
            listing.left_out[UNREADABLE] += 1
            return
        try:
            now = os.fstat(descriptor)
            if not stat.S_ISREG(now.st_mode):
                listing.left_out[NOT_REGULAR] += 1
                return
            self._read(descriptor, (now.st_dev, now.st_ino), now.st_size, seen.path)
        except OSError:
            listing.left_out[UNREADABLE] += 1
        finally:
            os.close(descriptor)

    def _read(self, descriptor: int, identity: Identity, size: int, path: str) -> None:
        head = os.pread(descriptor, min(HEAD_BYTES, size), 0)
        tail = self._tails.get(identity)
        is_new = tail is None
        if tail is None:
            tail = self._tails[identity] = self._new(head, identity, size, path)
        begun = tail.offset
        todo = plan(tail, head, size, self._entry.max_read_bytes)
        if todo.start and (todo.start != begun or is_new):
            is_line_end = os.pread(descriptor, 1, todo.start - 1) == b"\n"
            tail.lines.start_file() if is_line_end else tail.lines.skip()
        before = dict(tail.lines.counts)
        at = todo.start
        while at < todo.end:
            data = os.pread(descriptor, min(CHUNK_BYTES, todo.end - at), at)
            if not data:
                break  # truncated in the meantime
            tail.lines.feed(data)
            at += len(data)
        tail.path = path
        self._totals.written += todo.gain.written
        self._totals.unread += todo.gain.unread
        self._totals.rotations += todo.gain.rotations
        for level, count in tail.lines.counts.items():
            self._totals.lines[level] += count - before[level]

    def _new(self, head: bytes, identity: Identity, size: int, path: str) -> Tail:
        """Start following a file, from its beginning only if it did not exist before."""
        tail = Tail(path, head)
        known = self._tails.values()
        if self._sizes is not None and identity in self._sizes:
            tail.offset = min(size, self._sizes[identity])
        elif any(is_copy(head, tail, path) for tail in known):
            tail.offset = size
        elif any(tail.path == path for tail in known):
            self._totals.rotations += 1
        return tail

    def _forget(self, listing: FolderListing, wanted: dict[Identity, Seen]) -> None:
        """Forget files that are gone, and old ones that are no longer followed."""
        matched = {seen.identity for seen in listing.matched}
        gone = [tail for tail in self._tails if tail not in wanted]
        # A renamed file is followed while it grows, until the writer has closed it.
        limit = 2 * self._entry.max_files
        old = [tail for tail in self._tails if tail in wanted and tail not in matched]
        for identity in (*gone, *old[: max(0, len(self._tails) - len(gone) - limit)]):
            del self._tails[identity]
