"""Several processes of one machine issue the nonces of a key, in one common order.

The counter is in a small memory-mapped file. Each nonce is issued under a kernel lock, so nonces
increase in time across all processes. The counter does not need to be durable: a process that finds
no other one restarts it above the durable ceiling and ignores the old contents.
"""

import fcntl
import mmap
import os
import threading
import time
import weakref
from contextlib import ExitStack
from pathlib import Path

from trading_ops import clock, durable, logs
from trading_ops.botkit.nonces.ceiling import CeilingFile, reservation_failed
from trading_ops.botkit.nonces.exclusive import RETRY_SECONDS
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

WAIT_SECONDS = 1.0
"""How long to wait for the counter's lock, which is held for microseconds: if the wait is longer,
the process that holds it is frozen."""

POLL_SECONDS = 0.00005
LAST, CEILING = 0, 1
"""Positions in the mapped file, 8 bytes each: the last issued nonce and the ceiling."""

SIZE = 16


class SharedSource:
    """Counts the nonces of a key together with other processes. Thread-safe; see `NonceSource`.

    Example, in each process:
        source = SharedSource(key_folder(home, api_key))
        nonce = source.issue()  # higher than any nonce issued before, by any of the processes
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
        """Join the processes that share the directory, or be the first.

        Args:
            folder: the key's directory; see `key_folder`.
            floor: nonces must also be above this number; 0 for no such bound.
            block: nonces reserved by one write.
            microseconds: the wall clock.

        Raises:
            SetupError: another process owns the directory exclusively, it cannot be written, or
                its ceiling file is damaged.
            NonceExhausted: `MAX_NONCE` is reached, or a process that shares the key is frozen.
        """
        self._block = block
        self._mutex = threading.Lock()  # flock does not exclude threads of the same process
        self._retry_at = 0.0
        self._closed = ""
        with ExitStack() as undo:
            self._folder = KeyFolder(folder, shared=True)
            undo.callback(self._folder.close)
            try:
                self._file = CeilingFile(folder / "ceiling", block=block)
                undo.callback(self._file.close)
                flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
                self._counter = os.open(folder / "count", flags, durable.state_mode(folder))
                undo.callback(os.close, self._counter)
                if self._folder.alone:
                    os.ftruncate(self._counter, SIZE)
                # A cast view writes 8 bytes at once: SIGKILL leaves the old or the new number.
                self._count = memoryview(mmap.mmap(self._counter, SIZE)).cast("Q")
                if self._folder.alone:
                    self._reset_counter(floor, microseconds)
                elif floor:
                    self.raise_to(floor)
            except (OSError, ValueError) as error:
                raise unusable_folder(folder, error) from error
            undo.pop_all()
        self._folder.release_setup_lock()
        _sources.add(self)

    @property
    def reserved(self) -> int:
        """Return the ceiling, which is common to all processes that share the key."""
        return self._count[CEILING]

    def issue(self) -> int:
        """Return the next nonce.

        Raises:
            NonceExhausted: no nonce is reserved and no more could be reserved, a process that
                shares the key is frozen, or it is closed.
        """
        with self._mutex:
            self._lock_counter()
            try:
                nonce = self._count[LAST] + 1
                if nonce > self._count[CEILING] - self._block // 2:
                    self._reserve_ahead(nonce)
                self._count[LAST] = nonce
            finally:
                fcntl.flock(self._counter, fcntl.LOCK_UN)
        return nonce

    def raise_to(self, floor: int) -> None:
        """Make all processes that share the key issue only nonces above `floor` from now on.

        Raises:
            NonceExhausted: the new ceiling could not be made durable, a process that shares the
                key is frozen, or it is closed.
        """
        with self._mutex:
            self._lock_counter()
            try:
                floor = max(floor, self._count[LAST])
                if floor + self._block // 2 > self._count[CEILING]:
                    self._reserve(floor + self._block)
                self._count[LAST] = floor
            finally:
                fcntl.flock(self._counter, fcntl.LOCK_UN)

    def close(self) -> None:
        """Issue nothing afterwards; the other processes continue."""
        with self._mutex:
            if not self._closed:
                self._shut("it was closed")

    def disable_after_fork(self) -> None:
        """Issue nothing in a forked child process, which would share its parent's lock."""
        self._mutex = threading.Lock()
        if not self._closed:  # otherwise its file descriptors may belong to other files by now
            self._shut("the process was forked: only the parent issues them")

    def _shut(self, why: str) -> None:
        self._closed = why
        os.close(self._counter)
        self._file.close()
        self._folder.close()

    def _reset_counter(self, floor: int, microseconds: Microseconds) -> None:
        first = start_above(max(self._file.read(), floor), microseconds())
        self._count[CEILING] = self._file.raise_to(first + self._block)
        self._count[LAST] = first

    def _lock_counter(self) -> None:
        if self._closed:
            raise NonceExhausted(f"{self._folder.path}: no nonces: {self._closed}")
        try:
            fcntl.flock(self._counter, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._wait_for_counter()

    def _wait_for_counter(self) -> None:
        deadline = clock.monotonic() + WAIT_SECONDS
        while True:
            time.sleep(POLL_SECONDS)
            try:
                fcntl.flock(self._counter, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if clock.monotonic() >= deadline:
                    raise NonceExhausted(
                        f"{self._folder.path}: another process has held the counter's lock for"
                        f" more than {WAIT_SECONDS:g} s. Fix: stop the frozen process that uses"
                        " this key"
                    ) from error
            else:
                return

    def _reserve_ahead(self, nonce: int) -> None:
        """Reserve more when half a block is left; raise only when no nonce is left."""
        left = nonce <= self._count[CEILING]
        if left and clock.monotonic() < self._retry_at:
            return
        try:
            self._reserve(max(nonce, self._count[CEILING]) + self._block)
        except NonceExhausted as error:
            self._retry_at = clock.monotonic() + RETRY_SECONDS
            if not left:
                raise
            log.warning("nonce_reserve_failed", error=str(error))

    def _reserve(self, ceiling: int) -> None:
        try:
            self._count[CEILING] = self._file.raise_to(ceiling)
        except (OSError, SetupError) as error:
            raise reservation_failed(self._file.path, error) from error


_sources: weakref.WeakSet[SharedSource] = weakref.WeakSet()


def _after_fork() -> None:
    for source in list(_sources):
        source.disable_after_fork()


os.register_at_fork(after_in_child=_after_fork)
