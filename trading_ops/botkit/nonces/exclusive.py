"""One process issues all nonces of a key: a counter in memory below a durable ceiling.

A short-lived thread raises the ceiling when half a block is left. `issue` therefore does not wait
for the disk, and continues for half a block (hours of requests) while the disk is full. The clock
is read only at the start, so later clock steps have no effect.
"""

import itertools
import os
import threading
import weakref
from contextlib import ExitStack
from pathlib import Path

from trading_ops import clock, logs
from trading_ops.botkit.nonces.ceiling import CeilingFile, reservation_failed
from trading_ops.botkit.nonces.folder import KeyFolder, unusable_folder
from trading_ops.botkit.nonces.source import (
    BLOCK,
    Microseconds,
    NonceExhausted,
    start_above,
    wall_clock,
)
from trading_ops.errors import SetupError

log = logs.get(__name__)

GATE = -1
"""Below every nonce: while the low mark has this value, every call of `issue` takes the lock."""

THREADS = 1024
"""An upper bound of the threads that call `issue` at the same time."""

RETRY_SECONDS = 1.0
"""Pause between two attempts to reserve nonces while the disk cannot be written."""


class ExclusiveSource:
    """Counts the nonces of a key that only this process uses. Thread-safe; see `NonceSource`.

    Example:
        source = ExclusiveSource(key_folder(home, api_key))
        nonce = source.issue()
        source.raise_to(nonce + 60_000_000)  # skip a minute's worth of nonces
        source.close()
    """

    def __init__(
        self,
        folder: Path,
        *,
        floor: int = 0,
        block: int = BLOCK,
        microseconds: Microseconds = wall_clock,
    ) -> None:
        """Lock the key's directory and reserve the first block.

        Args:
            folder: the key's directory; see `key_folder`.
            floor: nonces must also be above this number; 0 for no such bound.
            block: nonces reserved by one write.
            microseconds: the wall clock.

        Raises:
            SetupError: another process holds the directory, it cannot be written, or its ceiling
                file is damaged.
            NonceExhausted: `MAX_NONCE` is reached.
        """
        self._block = block
        self._lock = threading.Lock()
        self._filling = False
        self._retry_at = 0.0
        self._closed = ""
        with ExitStack() as undo:
            self._folder = KeyFolder(folder, shared=False)
            undo.callback(self._folder.close)
            try:
                self._file = CeilingFile(folder / "ceiling", block=block)
                undo.callback(self._file.close)
                first = start_above(max(self._file.read(), floor), microseconds())
                self._ceiling = self._file.raise_to(first + block)
            except OSError as error:
                raise unusable_folder(folder, error) from error
            undo.pop_all()
        self._numbers = itertools.count(first + 1)
        self._low = self._ceiling - block // 2
        self._folder.release_setup_lock()
        _sources.add(self)

    @property
    def reserved(self) -> int:
        """Return the ceiling: every nonce issued before the next raise is at or below it."""
        return self._ceiling

    def issue(self) -> int:
        """Return the next nonce.

        Raises:
            NonceExhausted: no nonce is reserved and no more could be reserved, or it is closed.
        """
        nonce = next(self._numbers)  # atomic under the GIL, so no lock is needed
        return nonce if nonce <= self._low else self._issue_at_low_mark(nonce)

    def raise_to(self, floor: int) -> None:
        """Issue only nonces above `floor` from now on.

        Raises:
            NonceExhausted: the new ceiling could not be made durable, or it is closed; nothing
                has changed.
        """
        with self._lock:
            # Wait for the disk here, before the gate is closed: other threads still issue.
            self._ensure_reserved(max(floor, next(self._numbers)) + THREADS)
            self._low = GATE
            try:
                # Stay above the numbers of threads that have not checked the gate yet.
                floor = max(floor, next(self._numbers) + THREADS)
                self._ensure_reserved(floor)
                self._numbers = itertools.count(floor + 1)
            finally:
                self._low = self._ceiling - self._block // 2

    def close(self) -> None:
        """Release the key's directory; nothing is issued afterwards."""
        with self._lock:
            if not self._closed:
                self._shut("it was closed")

    def disable_after_fork(self) -> None:
        """Issue nothing in a forked child process; only the parent issues."""
        self._lock = threading.Lock()
        if not self._closed:  # otherwise its file descriptors may belong to other files by now
            self._shut("the process was forked: only the parent issues them")

    def _shut(self, why: str) -> None:
        self._closed = why
        self._low = self._ceiling = GATE
        self._file.close()
        self._folder.close()

    def _issue_at_low_mark(self, nonce: int) -> int:
        """Reserve more, in a thread while nonces are left and else at once; return a nonce."""
        if self._low < 0:
            with self._lock:  # `raise_to` is moving the counter: discard this number
                self._require_open()
            return self.issue()
        if nonce > self._ceiling:
            with self._lock:
                if nonce > self._ceiling:
                    self._try_to_reserve(nonce + self._block)
                    self._low = self._ceiling - self._block // 2
        elif not self._filling and clock.monotonic() >= self._retry_at:
            self._filling = True
            threading.Thread(target=self._reserve_ahead, name="nonces", daemon=True).start()
        return nonce

    def _reserve_ahead(self) -> None:
        try:
            with self._lock:
                self._try_to_reserve(self._ceiling + self._block)
                self._low = self._ceiling - self._block // 2
        except NonceExhausted as error:
            self._retry_at = clock.monotonic() + RETRY_SECONDS
            log.warning("nonce_reserve_failed", error=str(error))
        finally:
            self._filling = False

    def _ensure_reserved(self, floor: int) -> None:
        """Reserve at least half a block above `floor`."""
        if floor + self._block // 2 > self._ceiling:
            self._try_to_reserve(floor + self._block)

    def _try_to_reserve(self, ceiling: int) -> None:
        self._require_open()
        try:
            self._ceiling = self._file.raise_to(ceiling)
        except (OSError, SetupError) as error:
            raise reservation_failed(self._file.path, error) from error

    def _require_open(self) -> None:
        if self._closed:
            raise NonceExhausted(f"{self._folder.path}: no nonces: {self._closed}")


_sources: weakref.WeakSet[ExclusiveSource] = weakref.WeakSet()


def _after_fork() -> None:
    for source in list(_sources):
        source.disable_after_fork()


os.register_at_fork(after_in_child=_after_fork)
