"""The highest nonce that may have been issued, in a file that a crash cannot corrupt.

The file has two slots, each one page with a checksum. A write replaces the *older* slot, so a torn
write leaves the newer one intact. The first raise, and each raise by more than a block, writes both
slots. The two are therefore never more than a block apart: when one slot is damaged, a start one
block above the other is above every issued nonce.
"""

import errno
import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from trading_ops import durable
from trading_ops.botkit.nonces.source import MAX_NONCE, NonceExhausted
from trading_ops.errors import SetupError

PAGE = 4096
"""Bytes of a slot: a torn write damages at most one page."""

MAGIC = b"nonces-1"
_BODY = struct.Struct("<8sQQ")  # magic, number of the write, ceiling
_SUM = struct.Struct("<I")

PageWriter = Callable[[int, bytes, int], int]
"""Writes a page to a file descriptor at an offset and returns the bytes written, as `os.pwrite`."""


@dataclass(frozen=True, kw_only=True)
class Slot:
    """One intact slot."""

    write: int
    """Sequence number of the write; the slot with the higher number is newer."""

    ceiling: int
    """Every issued nonce is at or below it; 0 in a new file."""

    def encode(self) -> bytes:
        """Return the page that stores this slot."""
        body = _BODY.pack(MAGIC, self.write, self.ceiling)
        return (body + _SUM.pack(zlib.crc32(body))).ljust(PAGE, b"\0")


def decode(page: bytes) -> Slot | None:
    """Parse a page; return None if it is damaged."""
    if len(page) != PAGE:
        return None
    magic, write, ceiling = _BODY.unpack_from(page)
    (check,) = _SUM.unpack_from(page, _BODY.size)
    if magic != MAGIC or check != zlib.crc32(page[: _BODY.size]) or ceiling > MAX_NONCE:
        return None
    return Slot(write=write, ceiling=ceiling)


class CeilingFile:
    """The ceiling file of one key. The caller holds the lock of the key's directory.

    Example:
        file = CeilingFile(path, block=2**20)
        first = file.read() + 1
        ceiling = file.raise_to(first + 2**20)
        ...  # issue nonces from `first` to `ceiling`
        file.close()
    """

    def __init__(self, path: Path, *, block: int, pwrite: PageWriter = os.pwrite) -> None:
        """Open the file; create it if it does not exist.

        Args:
            path: the file.
            block: nonces reserved by one write.
            pwrite: writes a page; tests replace it.

        Raises:
            OSError: the file cannot be opened or created.
        """
        self._pwrite = pwrite
        self.path = path
        self._block = block
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            _create(path)
            self._file = os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def read(self) -> int:
        """Return a number that is not below any issued nonce; 0 when none was issued.

        Raises:
            OSError: the file cannot be read.
            SetupError: both slots are damaged, so the highest nonce is unknown.
        """
        slots = self._slots()
        newest = self._newest(slots)
        if newest.ceiling == 0:
            return 0  # no raise ever completed, so no nonce was issued
        return newest.ceiling + (self._block if None in slots else 0)

    def raise_to(self, ceiling: int) -> int:
        """Make a ceiling durable; return the ceiling in force. A lower `ceiling` has no effect.

        Raises:
            OSError: the write may not be durable; the old or the new ceiling is in force.
            SetupError: both slots are damaged.
            NonceExhausted: `ceiling` is above `MAX_NONCE`.
        """
        slots = self._slots()
        newest = self._newest(slots)
        ceiling = max(ceiling, newest.ceiling)
        if ceiling > MAX_NONCE:
            raise NonceExhausted(
                f"{self.path}: nonces end at {MAX_NONCE}. Fix: give the bot a new key at the venue"
            )
        older = 1 - slots.index(newest)
        self._write(older, Slot(write=newest.write + 1, ceiling=ceiling))
        if not newest.ceiling or ceiling > newest.ceiling + self._block:
            self._write(1 - older, Slot(write=newest.write + 2, ceiling=ceiling))
        return ceiling

    def _slots(self) -> tuple[Slot | None, Slot | None]:
        data = os.pread(self._file, 2 * PAGE, 0)
        return decode(data[:PAGE]), decode(data[PAGE:])

    def _newest(self, slots: tuple[Slot | None, Slot | None]) -> Slot:
        intact = [slot for slot in slots if slot is not None]
        if not intact:
            raise SetupError(
                f"{self.path}: both copies of the highest nonce are damaged, and a lower start"
                " could repeat a nonce. Fix: stop all bots of this key, then restore the file from"
                " a backup or remove it. Without the file nonces start at the clock; if the venue"
                " rejects them, run resync_nonce"
            )
        return max(intact, key=lambda slot: slot.write)

    def _write(self, index: int, slot: Slot) -> None:
        if self._pwrite(self._file, slot.encode(), index * PAGE) != PAGE:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
        os.fdatasync(self._file)


def _create(path: Path) -> None:
    """Create the file with two slots at 0, atomically."""
    content = Slot(write=1, ceiling=0).encode() + Slot(write=2, ceiling=0).encode()
    durable.write(path, content, mode=durable.state_mode(path.parent))


def reservation_failed(path: Path, error: Exception) -> NonceExhausted:
    """Return the error to raise when no more nonces can be reserved."""
    fix = "" if isinstance(error, SetupError) else ". Fix: free disk space, make the file writable"
    return NonceExhausted(f"{path}: no more nonces can be reserved: {error}{fix}")
