"""The highest nonce that may have been issued, in a file that no crash can tear.

The file has two slots, each a page with a checksum. A write goes into the slot that is *not* the
newest, so whatever becomes of it the other one stands. The first raise and each by more than a
block are written into both: so the two are never more than a block apart, and whoever finds one
damaged is above everything that was issued when he goes on a block above the other.
"""

import errno
import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from trading_ops.botkit.nonces.source import LIMIT, NonceExhausted
from trading_ops.errors import SetupError

PAGE = 4096
"""Bytes of a slot: what a disk writes as a whole or, at worst, tears on its own."""

MAGIC = b"nonces-1"
_BODY = struct.Struct("<8sQQ")  # magic, number of the write, ceiling
_SUM = struct.Struct("<I")

Write = Callable[[int, bytes, int], int]


@dataclass(frozen=True, kw_only=True)
class Slot:
    """One intact slot."""

    write: int
    """The number of the write that made it: the higher one is the newer."""

    ceiling: int

    def encode(self) -> bytes:
        """Return its page."""
        body = _BODY.pack(MAGIC, self.write, self.ceiling)
        return (body + _SUM.pack(zlib.crc32(body))).ljust(PAGE, b"\0")


def decode(page: bytes) -> Slot | None:
    """Read a page; None: it is damaged."""
    if len(page) != PAGE:
        return None
    magic, write, ceiling = _BODY.unpack_from(page)
    (check,) = _SUM.unpack_from(page, _BODY.size)
    if magic != MAGIC or check != zlib.crc32(page[: _BODY.size]) or ceiling > LIMIT:
        return None
    return Slot(write=write, ceiling=ceiling)


class Ceiling:
    """The file. Whoever writes holds the lock of the key's folder."""

    def __init__(self, path: Path, *, block: int, pwrite: Write = os.pwrite) -> None:
        """Open the file, and make it when there is none.

        Args:
            path: the file.
            block: nonces that are reserved at once.
            pwrite: writes a page.

        Raises:
            OSError: it cannot be opened or made.
        """
        self._pwrite = pwrite
        self.path = path
        self._block = block
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            _make(path)
            self._file = os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def read(self) -> int:
        """Return a number that nothing issued so far is above; 0: nothing was issued.

        Raises:
            OSError: the file cannot be read.
            SetupError: both slots are damaged, so that nobody knows.
        """
        slots = self._slots()
        newest = self._newest(slots)
        if newest.ceiling == 0:
            return 0  # the first raise was never finished, and nothing issued before it was
        return newest.ceiling + (self._block if None in slots else 0)

    def raise_to(self, ceiling: int) -> int:
        """Make a higher ceiling durable; return the one in force, which is never a lower one.

        Raises:
            OSError: it is not known to be durable; the old one stands, or the new one.
            SetupError: both slots are damaged.
            NonceExhausted: there are no such numbers.
        """
        slots = self._slots()
        newest = self._newest(slots)
        ceiling = max(ceiling, newest.ceiling)
        if ceiling > LIMIT:
            raise NonceExhausted(
                f"{self.path}: nonces end at {LIMIT}. Fix: give the bot a new key at the venue"
            )
        place = 1 - slots.index(newest)
        self._write(place, Slot(write=newest.write + 1, ceiling=ceiling))
        if not newest.ceiling or ceiling > newest.ceiling + self._block:
            self._write(1 - place, Slot(write=newest.write + 2, ceiling=ceiling))
        return ceiling

    def _slots(self) -> tuple[Slot | None, Slot | None]:
        data = os.pread(self._file, 2 * PAGE, 0)
        return decode(data[:PAGE]), decode(data[PAGE:])

    def _newest(self, slots: tuple[Slot | None, Slot | None]) -> Slot:
        intact = [slot for slot in slots if slot is not None]
        if not intact:
            raise SetupError(
                f"{self.path}: both copies of the highest nonce are damaged, and a lower start"
                " could repeat one. Fix: stop all bots of this key, and put the file back from a"
                " backup or remove it: nonces then begin at the clock, and resync_nonce moves them"
                " on if the venue refuses them"
            )
        return max(intact, key=lambda slot: slot.write)

    def _write(self, place: int, slot: Slot) -> None:
        if self._pwrite(self._file, slot.encode(), place * PAGE) != PAGE:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
        os.fdatasync(self._file)


def _make(path: Path) -> None:
    """Make the file with two slots that say 0; it appears whole or not at all."""
    new = path.with_suffix(".new")
    with new.open("wb") as file:
        file.write(Slot(write=1, ceiling=0).encode() + Slot(write=2, ceiling=0).encode())
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def not_reserved(path: Path, error: Exception) -> NonceExhausted:
    """Return what to raise when no more nonces can be reserved."""
    fix = "" if isinstance(error, SetupError) else ". Fix: make room on the disk, the file writable"
    return NonceExhausted(f"{path}: no more nonces can be reserved: {error}{fix}")
