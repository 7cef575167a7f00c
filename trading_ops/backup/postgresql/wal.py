"""WAL positions and names of WAL segments; no I/O."""

import re

PARTIAL = ".partial"
SEGMENT = re.compile(r"^[0-9A-F]{24}$")
HISTORY = re.compile(r"^[0-9A-F]{8}\.history$")


def position(lsn: str) -> int:
    """Return an LSN such as `0/3000050` as a number of bytes."""
    high, _, low = lsn.partition("/")
    return (int(high, 16) << 32) + int(low, 16)


def written(at: int) -> str:
    """Return an LSN in PostgreSQL's format."""
    return f"{at >> 32:X}/{at & 0xFFFFFFFF:X}"


def segment_of(at: int, size: int) -> str:
    """Return the name of the segment with a position, without its timeline."""
    number = at // size
    return f"{number // (2**32 // size):08X}{number % (2**32 // size):08X}"


def segments(start: int, end: int, size: int) -> list[str]:
    """Return the names of all segments between two positions, without timelines."""
    first, last = start // size, max(start, end - 1) // size
    return [segment_of(number * size, size) for number in range(first, last + 1)]


def order_of(name: str) -> str:
    """Return the part of a segment's name that gives its place in the WAL."""
    return name[8:24]
