"""Splits a byte stream into lines, and counts them by level."""

import msgspec

LEVELS = ("debug", "info", "warning", "error", "critical", "other")
OTHER = "other"
_SYNONYMS = {"warn": "warning", "fatal": "critical", "exception": "error", "notice": "info"}

LONGEST_LINE_BYTES = 64 * 1024
"""A longer line counts as `other`; at most this much of it is kept."""


class _Line(msgspec.Struct):
    """The fields of a JSON line that are used; others are ignored."""

    level: str = ""


_decoder = msgspec.json.Decoder(_Line)


class Lines:
    """Counts lines by level, across readings that end in the middle of a line."""

    def __init__(self) -> None:
        self.counts = dict.fromkeys(LEVELS, 0)
        self._pending = b""
        self._is_spoiled = False

    def feed(self, data: bytes) -> None:
        """Count the complete lines in these bytes, and keep the incomplete rest."""
        *complete, rest = data.split(b"\n")
        for line in complete:
            self._count(self._pending + line)
            self._pending, self._is_spoiled = b"", False
        self._pending += rest
        if len(self._pending) > LONGEST_LINE_BYTES:
            self._pending, self._is_spoiled = b"", True

    def skip(self) -> None:
        """Record missing bytes: the rest of the current line counts as `other`."""
        self._pending, self._is_spoiled = b"", True

    def start_file(self) -> None:
        """Start a new file; an incomplete line of the old one is dropped."""
        self._pending, self._is_spoiled = b"", False

    def _count(self, line: bytes) -> None:
        if not line.strip():
            return
        spoiled = self._is_spoiled or len(line) > LONGEST_LINE_BYTES
        self.counts[OTHER if spoiled else level_of(line)] += 1


def level_of(line: bytes) -> str:
    """Return the level of a JSON line; `other` if it has none."""
    try:
        level = _decoder.decode(line).level.lower()
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return OTHER
    level = _SYNONYMS.get(level, level)
    return level if level in LEVELS else OTHER
