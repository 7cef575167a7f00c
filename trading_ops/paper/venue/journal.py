"""The independent witness: what happened at the venue, whoever asks or forgets.

The entries are rows of the store, committed together with what they tell of. `journal.jsonl` is
their copy for people and tools; it is written after the commit, and what a crash kept back is
added at the next start.
"""

from pathlib import Path
from typing import Any, Final

import msgspec

from trading_ops import clock
from trading_ops.paper.venue.store import Store

BATCH: Final = 5000
"""Most entries that one answer holds; the rest is asked for with the last number seen."""

TAIL: Final = 65_536
"""Bytes at the end of the file in which its last line is looked for."""


class Journal:
    """Numbered entries, append only."""

    def __init__(self, store: Store, path: Path) -> None:
        """Open the file and bring it up to what the store knows."""
        self._store = store
        self._file = path.open("ab", buffering=0)
        # A file that is ahead belongs to a state that was deleted: number on from ours.
        self._written = min(_mend(path), store.last_entry())
        self.flush()

    def record(self, event: str, **fields: Any) -> int:
        """Add an entry to the open transaction; return its number."""
        return self._store.add_entry(clock.timestamp(), event, fields)

    def commit(self) -> None:
        """Commit the store, then copy the new entries to the file."""
        self._store.commit()
        self.flush()

    def flush(self) -> None:
        """Copy committed entries that the file does not have yet."""
        while entries := self._store.entries(self._written, BATCH):
            lines = b"".join(msgspec.json.encode(entry) + b"\n" for entry in entries)
            self._file.write(lines)
            self._written = entries[-1]["seq"]

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


def _mend(path: Path) -> int:
    """Cut a last line that a crash tore, and return the number of the last whole one."""
    with path.open("r+b") as file:
        size = file.seek(0, 2)
        start = max(0, size - TAIL)
        file.seek(start)
        tail = file.read()
        whole = tail.rfind(b"\n") + 1
        file.truncate(start + whole)
    lines = tail[:whole].splitlines()
    return int(msgspec.json.decode(lines[-1])["seq"]) if lines else 0
