"""Follows one file: what it gains is counted once, whatever becomes of it.

A file is known by its device and inode, wherever it is renamed to. That it was cut short, or that
its inode was given to another one, is seen by its size and by its first bytes.
"""

from dataclasses import dataclass, field

from trading_ops.exporter.log_files.lines import Lines

HEAD_BYTES = 512
"""Of a file's beginning are remembered."""

TELLING_HEAD_BYTES = 64
"""So many equal first bytes make one file the copy of another; fewer are chance."""


@dataclass
class Tail:
    """What was seen of one file."""

    path: str
    head: bytes = b""
    offset: int = 0
    """Up to here it was counted."""

    lines: Lines = field(default_factory=Lines)


@dataclass
class Gain:
    """What one reading of a file brought."""

    written: int = 0
    unread: int = 0
    """Bytes of `written` that were too many to be read."""

    rotations: int = 0


@dataclass(frozen=True)
class Plan:
    """Decides which bytes of a file to read, and whether it was rotated or truncated."""

    start: int
    end: int
    gain: Gain


def is_another(tail: Tail, head: bytes, size: int) -> bool:
    """Return whether the file was cut short or replaced since it was last seen."""
    return size < tail.offset or not head.startswith(tail.head)


def is_copy(head: bytes, known: Tail, path: str) -> bool:
    """Return whether a new file at a new path starts like a known one."""
    telling = len(known.head) >= TELLING_HEAD_BYTES
    return telling and path != known.path and head.startswith(known.head)


def plan(tail: Tail, head: bytes, size: int, largest: int) -> Plan:
    """Decide what to read, and note it as counted."""
    gain = Gain()
    if is_another(tail, head, size):
        tail.offset = 0
        tail.lines.begin_anew()
        gain.rotations = 1
    tail.head = head
    gain.written = size - tail.offset
    start = max(tail.offset, size - largest)
    if start > tail.offset:
        gain.unread = start - tail.offset
    tail.offset = size
    return Plan(start, size, gain)
