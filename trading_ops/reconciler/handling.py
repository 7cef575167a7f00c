"""Which incidents this process is handling, kept so that the next one knows when this one dies.

The marks are in a small file that is mapped into memory. To mark an incident is a write to memory,
without a system call, and the kernel keeps it when the process is killed. A clean stop leaves no
mark; what is marked at the start was being handled when the former process died.
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
"""Bytes of a mark: the id of an incident is a UUID in its usual spelling."""

SLOTS = 1024
"""Marks at most; what is handled beyond that is not marked."""

_SIZE = WIDTH * SLOTS
_NONE = bytes(WIDTH)
_ID = re.compile(rb"[0-9a-f-]{%d}" % WIDTH)


class Handling:
    """Marks incidents while they are handled."""

    def __init__(self, path: Path) -> None:
        """Map the file; without it deaths are not counted, and everything else works."""
        try:
            self._memory = _mapped(path)
        except OSError as error:
            log.warning("deaths_not_counted", path=str(path), error=str(error))
            self._memory = mmap.mmap(-1, _SIZE)
        found = {slot: self._read(slot) for slot in range(SLOTS)}
        self._left = {slot: key for slot, key in found.items() if key}
        self._free = [slot for slot, key in found.items() if not key]

    def __enter__(self) -> Self:
        """Marks are taken until the context is left."""
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
        """What the former process was handling when it died."""
        return frozenset(self._left.values())

    def settle(self) -> None:
        """Forget what the former process left: it is counted."""
        for slot in self._left:
            self._clear(slot)
        self._left = {}

    @contextlib.contextmanager
    def of(self, keys: Iterable[str]) -> Iterator[None]:
        """Mark incidents for the time of the context."""
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
    """Map the file, which is written in full first: a full disk must not kill a later write.

    The lock lasts as long as the mapping, which has a copy of the file descriptor.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        content = os.pread(file, _SIZE, 0).ljust(_SIZE, b"\0")
        if os.pwrite(file, content, 0) < _SIZE:
            raise OSError(f"{path} could not be written in full")
        os.ftruncate(file, _SIZE)
        return mmap.mmap(file, _SIZE)
    finally:
        os.close(file)
