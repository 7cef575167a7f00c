"""Marks the incidents that this process is handling, in case it dies.

The marks are in a small memory-mapped file. Marking an incident is a memory write without a system
call, and the kernel keeps it when the process is killed. A clean stop leaves no marks; incidents
marked at the start were being handled when the previous process died.
"""

import contextlib
import fcntl
import mmap
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from trading_ops import logs

log = logs.get(__name__)

WIDTH = 36
"""Bytes of a mark: the id of an incident is a UUID as text."""

SLOTS = 1024
"""Maximum number of marks; further incidents are not marked."""

_SIZE = WIDTH * SLOTS
_NONE = bytes(WIDTH)
_ID = re.compile(rb"[0-9a-f-]{%d}" % WIDTH)


class Handling:
    """Marks incidents while they are handled."""

    def __init__(self, path: Path) -> None:
        """Map the file; without it crashes are not counted, but everything else works."""
        try:
            self._memory = _mapped(path)
        except OSError as error:
            log.warning("deaths_not_counted", path=str(path), error=str(error))
            self._memory = mmap.mmap(-1, _SIZE)
        found = {slot: self._read(slot) for slot in range(SLOTS)}
        self._left = {slot: key for slot, key in found.items() if key}
        self._free = [slot for slot, key in found.items() if not key]

    def __enter__(self) -> Self:
        """Accept marks until the context is left."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Unmap the file."""
        self._memory.close()

    @property
    def left(self) -> frozenset[str]:
        """Incidents that the previous process was handling when it died."""
        return frozenset(self._left.values())

    def settle(self) -> None:
        """Clear the marks of the previous process, once counted."""
        for slot in self._left:
            self._clear(slot)
        self._left = {}

    @contextlib.contextmanager
    def of(self, keys: Iterable[str]) -> Iterator[None]:
        """Mark incidents during the context."""
        slots = [self._mark(key) for key in keys if self._free]
        try:
            yield
        finally:
            for slot in slots:
                self._clear(slot)

    def _mark(self, key: str) -> int:
        slot = self._free.pop()
        self._memory[slot * WIDTH : (slot + 1) * WIDTH] = key.encode()[:WIDTH].ljust(WIDTH, b"\0")
        return slot

    def _clear(self, slot: int) -> None:
        if not self._memory.closed:
            self._memory[slot * WIDTH : (slot + 1) * WIDTH] = _NONE
            self._free.append(slot)

    def _read(self, slot: int) -> str:
        mark = self._memory[slot * WIDTH : (slot + 1) * WIDTH]
        return mark.decode() if _ID.fullmatch(mark) else ""


def _mapped(path: Path) -> mmap.mmap:
    """Map the file, after writing it in full: a full disk must not fail a later write.

    The lock lasts as long as the mapping, which holds a copy of the file descriptor.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        content = os.pread(file, _SIZE, 0).ljust(_SIZE, b"\0")
        if os.pwrite(file, content, 0) < _SIZE:
            raise OSError(f"cannot write all of {path}")
        os.ftruncate(file, _SIZE)
        return mmap.mmap(file, _SIZE)
    finally:
        os.close(file)
