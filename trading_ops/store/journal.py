"""The spill journal: what must survive while the database is unavailable.

One line per entry: its length in bytes, its CRC-32 and the entry as JSON. A line is valid only if
both match, so a line torn by a crash or a full disk is detected. One process owns the file.
"""

import json
import os
import zlib
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from threading import Lock
from typing import Any

from trading_ops import durable, logs

log = logs.get(__name__)


class Journal:
    """An append-only file of entries, each with an `id`. Thread-safe.

    Each change is on disk when the call returns.
    """

    def __init__(self, path: Path) -> None:
        """Use this file; the first entry creates it and its folder."""
        self._path = path
        self._lock = Lock()

    def append(self, entry: Mapping[str, Any]) -> None:
        """Add an entry.

        Raises:
            OSError: it could not be stored, for example because the disk is full; earlier
                entries are kept.
        """
        line = _line(entry)
        with self._lock:
            is_new = not self._path.exists()
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                end = os.lseek(descriptor, 0, os.SEEK_END)
                torn = end > 0 and os.pread(descriptor, 1, end - 1) != b"\n"
                _write_all(descriptor, b"\n" + line if torn else line, undo_to=end)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            if is_new:
                durable.sync(self._path.parent)

    def entries(self) -> list[dict[str, Any]]:
        """Return the entries, oldest first; unreadable lines are skipped and logged.

        Raises:
            OSError: the file exists but cannot be read.
        """
        with self._lock:
            found = []
            for number, line in enumerate(self._lines(), start=1):
                entry = _entry(line)
                if entry is None:
                    log.error("journal_line_damaged", file=str(self._path), line=number)
                else:
                    found.append(entry)
            return found

    def forget(self, ids: Collection[str]) -> None:
        """Drop the entries with these ids; the whole file is replaced.

        Raises:
            OSError: the file could not be replaced; all entries are kept.
        """
        with self._lock:
            lines = self._lines()
            kept = [line for line in lines if _is_kept(_entry(line), ids)]
            if len(kept) == len(lines):
                return
            durable.write(self._path, b"".join(line + b"\n" for line in kept))

    def _lines(self) -> list[bytes]:
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return []
        return [line for line in content.split(b"\n") if line]


def _line(entry: Mapping[str, Any]) -> bytes:
    # ASCII without line breaks, whatever the texts contain.
    body = json.dumps(dict(entry), ensure_ascii=True, separators=(",", ":")).encode("ascii")
    return b"%d %08x %s\n" % (len(body), zlib.crc32(body), body)


def _entry(line: bytes) -> dict[str, Any] | None:
    """Return the entry of a line without its newline, or None if it is damaged."""
    length, _, rest = line.partition(b" ")
    checksum, _, body = rest.partition(b" ")
    if length != b"%d" % len(body) or checksum != b"%08x" % zlib.crc32(body):
        return None
    try:
        entry = json.loads(body)
    except ValueError:
        return None
    if not isinstance(entry, dict) or not isinstance(entry.get("id"), str):
        return None
    return entry


def _is_kept(entry: Mapping[str, Any] | None, ids: Collection[str]) -> bool:
    # A damaged line stays as evidence for an operator.
    return entry is None or entry["id"] not in ids


def _write_all(descriptor: int, data: bytes, *, undo_to: int | None = None) -> None:
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(descriptor, view) :]
    except OSError:
        if undo_to is not None:
            _quietly(lambda: os.ftruncate(descriptor, undo_to))
        raise


def _quietly(work: Callable[[], None]) -> None:
    try:
        work()
    except OSError as error:  # the checksum reveals the partial line that is left
        log.warning("journal_not_truncated", error=str(error))
