"""One process issues all nonces of a key: a count in memory below a durable ceiling.

The ceiling is raised ahead, by a thread that lives for one write, when half of a block is left: so
`issue` waits for no disk, and goes on for half a block, hours of requests, while the disk is full.
Once it runs the count does not look at the clock, so no step of it matters.
"""

import itertools
import os
import threading
import weakref
from contextlib import ExitStack
from pathlib import Path

from trading_ops import clock, logs
from trading_ops.botkit.nonces.ceiling import Ceiling, not_reserved
from trading_ops.botkit.nonces.folder import Folder, cannot_use
from trading_ops.botkit.nonces.source import (
    BLOCK,
    Microseconds,
    NonceExhausted,
    begin,
    wall_clock,
)
from trading_ops.errors import SetupError

log = logs.get(__name__)

GATE = -1
"""Below every nonce: while it stands in place of the low mark, each asker has to wait."""

THREADS = 1024
"""More than ever ask at once."""

RETRY_SECONDS = 1.0
"""Time between two tries to reserve more while the disk does not let us."""


class Owner:
    """Counts a key's nonces, which no other process does for as long as this one lives."""

    def __init__(
        self,
        folder: Path,
        *,
        floor: int = 0,
        block: int = BLOCK,
        microseconds: Microseconds = wall_clock,
    ) -> None:
        """Take the folder, and reserve the first block.

        Args:
            folder: of the key.
            floor: another number that nonces must be above, 0 for none.
            block: nonces that are reserved at once.
            microseconds: the wall clock.

        Raises:
            SetupError: another process has the folder, or it cannot be used, or is damaged.
            NonceExhausted: there are no higher numbers.
        """
        self._block = block
        self._lock = threading.Lock()
        self._filling = False
        self._retry_at = 0.0
        self._closed = ""
        with ExitStack() as undo:
            self._folder = Folder(folder, shared=False)
            undo.callback(self._folder.close)
            try:
                self._file = Ceiling(folder / "ceiling", block=block)
                undo.callback(self._file.close)
                first = begin(max(self._file.read(), floor), microseconds())
                self._ceiling = self._file.raise_to(first + block)
            except OSError as error:
                raise cannot_use(folder, error) from error
            undo.pop_all()
        self._numbers = itertools.count(first + 1)
        self._low = self._ceiling - block // 2
        self._folder.settled()
        _owners.add(self)

    @property
    def reserved(self) -> int:
        """Return the ceiling."""
        return self._ceiling

    def issue(self) -> int:
        """Return the next nonce.

        Raises:
            NonceExhausted: none is reserved, and none could be.
        """
        nonce = next(self._numbers)  # one step for Python's threads, so no lock is needed
        return nonce if nonce <= self._low else self._look(nonce)

    def raise_to(self, floor: int) -> None:
        """Issue only above `floor` from now on.

        Raises:
            NonceExhausted: it could not be made durable; nothing has changed.
        """
        with self._lock:
            # The disk is waited for here, while others may go on.
            self._cover(max(floor, next(self._numbers)) + THREADS)
            self._low = GATE
            try:
                # Above what a thread may just have taken, which has yet to look at the gate.
                floor = max(floor, next(self._numbers) + THREADS)
                self._cover(floor)
                self._numbers = itertools.count(floor + 1)
            finally:
                self._low = self._ceiling - self._block // 2

    def close(self) -> None:
        """Give the folder up."""
        with self._lock:
            if not self._closed:
                self._end("it was closed")

    def forget(self) -> None:
        """Issue nothing in a forked child: its parent does."""
        self._lock = threading.Lock()
        if not self._closed:  # else the numbers of its files are those of somebody else's by now
            self._end("the process was forked: only the parent has them")

    def _end(self, why: str) -> None:
        self._closed = why
        self._low = self._ceiling = GATE
        self._file.close()
        self._folder.close()

    def _look(self, nonce: int) -> int:
        """Have more reserved, in time or, when that was missed, at once; return a nonce."""
        if self._low < 0:
            with self._lock:  # the count is just being moved: this number does not count
                self._require_open()
            return self.issue()
        if nonce > self._ceiling:
            with self._lock:
                if nonce > self._ceiling:
                    self._try_to_reserve(nonce + self._block)
                    self._low = self._ceiling - self._block // 2
        elif not self._filling and clock.monotonic() >= self._retry_at:
            self._filling = True
            threading.Thread(target=self._fill, name="nonces", daemon=True).start()
        return nonce

    def _fill(self) -> None:
        try:
            with self._lock:
                self._try_to_reserve(self._ceiling + self._block)
                self._low = self._ceiling - self._block // 2
        except NonceExhausted as error:
            self._retry_at = clock.monotonic() + RETRY_SECONDS
            log.warning("nonce_reserve_failed", error=str(error))
        finally:
            self._filling = False

    def _cover(self, floor: int) -> None:
        """Have half a block above `floor` reserved."""
        if floor + self._block // 2 > self._ceiling:
            self._try_to_reserve(floor + self._block)

    def _try_to_reserve(self, ceiling: int) -> None:
        self._require_open()
        try:
            self._ceiling = self._file.raise_to(ceiling)
        except (OSError, SetupError) as error:
            raise not_reserved(self._file.path, error) from error

    def _require_open(self) -> None:
        if self._closed:
            raise NonceExhausted(f"{self._folder.path}: no nonces: {self._closed}")


_owners: weakref.WeakSet[Owner] = weakref.WeakSet()


def _after_fork() -> None:
    for owner in list(_owners):
        owner.forget()


os.register_at_fork(after_in_child=_after_fork)
