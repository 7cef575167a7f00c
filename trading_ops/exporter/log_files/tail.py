"""Follows one file, so that every appended byte is counted once.

A file is identified by device and inode, so it can be renamed. Truncation, and reuse of the inode
by another file, are detected by its size and first bytes.
"""

from dataclasses import dataclass, field

from trading_ops.exporter.log_files.lines import Lines

HEAD_BYTES = 512
"""Number of first bytes of a file that are remembered."""

COPY_HEAD_BYTES = 64
"""A file with this many equal first bytes is a copy; fewer could be a coincidence."""


@dataclass
class Tail:
    """State of one file."""

    path: str
    head: bytes = b""
    offset: int = 0
    """Bytes counted so far."""

    lines: Lines = field(default_factory=Lines)


@dataclass
class Gain:
    """New bytes of one reading of a file."""

    written: int = 0
    unread: int = 0
    """Bytes of `written` that were skipped because there were too many."""

    rotations: int = 0


@dataclass(frozen=True)
class ReadPlan:
    """Decides which bytes of a file to read, and whether it was rotated or truncated."""

    start: int
    end: int
    gain: Gain


def is_another(tail: Tail, head: bytes, size: int) -> bool:
    """Return whether the file was truncated or replaced since the last reading."""
    return size < tail.offset or not head.startswith(tail.head)


def is_copy(head: bytes, known: Tail, path: str) -> bool:
    """Return whether a new file at a new path is a copy of a known one."""
    is_long_enough = len(known.head) >= COPY_HEAD_BYTES
    return is_long_enough and path != known.path and head.startswith(known.head)


def plan(tail: Tail, head: bytes, size: int, largest: int) -> ReadPlan:
    """Decide what to read, and mark it as counted."""
    gain = Gain()
    if is_another(tail, head, size):
        tail.offset = 0
        tail.lines.start_file()
        gain.rotations = 1
    tail.head = head
    gain.written = size - tail.offset
    start = max(tail.offset, size - largest)
    if start > tail.offset:
        gain.unread = start - tail.offset
    tail.offset = size
    return ReadPlan(start, size, gain)
