"""The venue's journal: an independent record of what happened, used by drills and tests.

The entries are rows of the store, committed together with the changes that they record.
`journal.jsonl` is a copy for reading; it is written after the commit, and entries that a crash
prevented are added at the next start. Both are bounded: the oldest rows are deleted, and a file
that has grown too large is renamed to `journal.jsonl.1`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from trading_ops import clock
from trading_ops_lab.paper.venue.store import Store

BATCH: Final = 5000
"""Maximum entries in one answer; request the rest with the last number seen."""

TAIL: Final = 64 * 1024
"""Bytes at the end of the file in which its last line is searched."""

ENTRIES: Final = 200_000
BYTES: Final = 64 * 1024 * 1024

TRIM_EVERY: Final = 1000
"""Number of rows that are deleted at a time."""


class Journal:
    """Numbered entries, append only."""

    def __init__(
        self, store: Store, path: Path, *, entries: int = ENTRIES, size: int = BYTES
    ) -> None:
        """Open the file and add the entries that it lacks.

        Args:
            store: has the entries.
            path: path of the copy.
            entries: minimum number that the store keeps.
            size: size of the copy in bytes at which a new one is started.
        """
        self._store, self._path = store, path
        self._entries, self._size = entries, size
        self._file = path.open("ab", buffering=0)
        # A file that is ahead belongs to a deleted state: continue with our numbers.
        written = _repair(path) or _repair(_older(path))
        self._written = min(written, store.last_entry())
        self._trimmed = self._written
        self._by: dict[str, Any] = {}
        self.committed: list[Callable[[], None]] = []
        """Called after each commit, to send what must be durable first."""

        self.flush()

    def record(self, event: str, **fields: Any) -> int:
        """Add an entry to the open transaction; return its number."""
        return self._store.add_entry(clock.timestamp(), event, fields | self._by)

    @contextmanager
    def by(self, **who: Any) -> Iterator[None]:
        """Add the key and nonce of the causing request to all entries of a block."""
        self._by = {f"by_{name}": value for name, value in who.items()}
        try:
            yield
        finally:
            self._by = {}

    def commit(self) -> None:
        """Commit the store, then copy the new entries to the file and notify waiters."""
        self._store.commit()
        self.flush()
        for tell in self.committed:
            tell()

    def flush(self) -> None:
        """Copy committed entries that the file does not have yet."""
        while entries := self._store.entries(self._written, BATCH):
            lines = b"".join(msgspec.json.encode(entry) + b"\n" for entry in entries)
            self._file.write(lines)
            self._written = entries[-1]["seq"]
            self._bound()

    def after(self, seq: int, *, since: float = 0.0) -> list[dict[str, Any]]:
        """Return up to `BATCH` entries, oldest first.

        Args:
            seq: only entries with greater numbers.
            since: only entries of this time (epoch seconds) or later.
        """
        earlier = self._store.last_entry_before(since) if since else 0
        return self._store.entries(max(seq, earlier), BATCH)

    @property
    def last(self) -> int:
        """Number of the newest entry."""
        return self._store.last_entry()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _bound(self) -> None:
        if self._file.tell() >= self._size:
            self._file.close()
            self._path.replace(_older(self._path))
            self._file = self._path.open("ab", buffering=0)
        if self._written - self._trimmed >= TRIM_EVERY:
            self._trimmed = self._written
            self._store.drop_entries(self._written - self._entries)


def _older(path: Path) -> Path:
    return path.with_name(path.name + ".1")


def _repair(path: Path) -> int:
    """Truncate a partial last line after a crash; return the last complete number; 0: none."""
    if not path.exists():
        return 0
    with path.open("r+b") as file:
        size = file.seek(0, 2)
        start = max(0, size - TAIL)
        file.seek(start)
        tail = file.read()
        complete = tail.rfind(b"\n") + 1
        file.truncate(start + complete)
    lines = tail[:complete].splitlines()
    return int(msgspec.json.decode(lines[-1])["seq"]) if lines else 0
