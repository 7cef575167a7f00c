"""Several processes of one machine issue the nonces of a key, in one order.

The count is in a small mapped file and moved under a lock of the kernel, one lock for each nonce:
so the order of nonces is the order in time, whoever issues them. The file is not kept: whoever
finds himself alone begins anew above the durable ceiling, and nobody reads what the dead wrote.
"""

import fcntl
import mmap
import os
import threading
import time
import weakref
from contextlib import ExitStack
from pathlib import Path

from trading_ops import clock, logs
from trading_ops.botkit.nonces.ceiling import Ceiling, not_reserved
from trading_ops.botkit.nonces.folder import Folder, cannot_use
from trading_ops.botkit.nonces.owner import RETRY_SECONDS
from trading_ops.botkit.nonces.source import (
    BLOCK,
    Microseconds,
    NonceExhausted,
    begin,
    wall_clock,
)
from trading_ops.errors import SetupError

log = logs.get(__name__)

WAIT_SECONDS = 1.0
"""For the others' lock, which each holds for microseconds: longer, and one of them is frozen."""

NAP_SECONDS = 0.00005
LAST, CEILING = 0, 1
SIZE = 16


class Shared:
    """Counts a key's nonces together with other processes, strictly increasing among all."""

    def __init__(
        self,
        folder: Path,
        *,
        floor: int = 0,
        block: int = BLOCK,
        microseconds: Microseconds = wall_clock,
    ) -> None:
        """Join those who share the folder, or be the first.

        Args:
            folder: of the key.
            floor: another number that nonces must be above, 0 for none.
            block: nonces that are reserved at once.
            microseconds: the wall clock.

        Raises:
            SetupError: another process owns the folder, or it cannot be used, or is damaged.
            NonceExhausted: there are no higher numbers, or a process that shares is frozen.
        """
        self._block = block
        self._mutex = threading.Lock()  # flock does not part the threads of a process
        self._retry_at = 0.0
        self._closed = ""
        with ExitStack() as undo:
            self._folder = Folder(folder, shared=True)
            undo.callback(self._folder.close)
            try:
                self._file = Ceiling(folder / "ceiling", block=block)
                undo.callback(self._file.close)
                self._turn = os.open(folder / "count", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                undo.callback(os.close, self._turn)
                if self._folder.alone:
                    os.ftruncate(self._turn, SIZE)
                # A cast view stores eight bytes at once: a kill leaves the old or the new number.
                self._count = memoryview(mmap.mmap(self._turn, SIZE)).cast("Q")
                if self._folder.alone:
                    self._begin(floor, microseconds)
                elif floor:
                    self.raise_to(floor)
            except (OSError, ValueError) as error:
                raise cannot_use(folder, error) from error
            undo.pop_all()
        self._folder.settled()
        _sharers.add(self)

    @property
    def reserved(self) -> int:
        """Return the ceiling of all who share."""
        return self._count[CEILING]

    def issue(self) -> int:
        """Return the next nonce.

        Raises:
            NonceExhausted: none is reserved and none could be, or a process that shares is frozen.
        """
        with self._mutex:
            self._enter()
            try:
                nonce = self._count[LAST] + 1
                if nonce > self._count[CEILING] - self._block // 2:
                    self._look(nonce)
                self._count[LAST] = nonce
            finally:
                fcntl.flock(self._turn, fcntl.LOCK_UN)
        return nonce

    def raise_to(self, floor: int) -> None:
        """Have all who share issue only above `floor` from now on.

        Raises:
            NonceExhausted: it could not be made durable, or a process that shares is frozen.
        """
        with self._mutex:
            self._enter()
            try:
                floor = max(floor, self._count[LAST])
                if floor + self._block // 2 > self._count[CEILING]:
                    self._reserve(floor + self._block)
                self._count[LAST] = floor
            finally:
                fcntl.flock(self._turn, fcntl.LOCK_UN)

    def close(self) -> None:
        """Leave; the others go on."""
        with self._mutex:
            if not self._closed:
                self._end("it was closed")

    def forget(self) -> None:
        """Issue nothing in a forked child, which would share its parent's lock."""
        self._mutex = threading.Lock()
        if not self._closed:  # else the numbers of its files are those of somebody else's by now
            self._end("the process was forked: only the parent has them")

    def _end(self, why: str) -> None:
        self._closed = why
        os.close(self._turn)
        self._file.close()
        self._folder.close()

    def _begin(self, floor: int, microseconds: Microseconds) -> None:
        first = begin(max(self._file.read(), floor), microseconds())
        self._count[CEILING] = self._file.raise_to(first + self._block)
        self._count[LAST] = first

    def _enter(self) -> None:
        if self._closed:
            raise NonceExhausted(f"{self._folder.path}: no nonces: {self._closed}")
        try:
            fcntl.flock(self._turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._wait()

    def _wait(self) -> None:
        deadline = clock.monotonic() + WAIT_SECONDS
        while True:
            time.sleep(NAP_SECONDS)
            try:
                fcntl.flock(self._turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if clock.monotonic() >= deadline:
                    raise NonceExhausted(
                        f"{self._folder.path}: another process holds the count for more than"
                        f" {WAIT_SECONDS:g} s. Fix: end the one of this key that is frozen"
                    ) from error
            else:
                return

    def _look(self, nonce: int) -> None:
        """Reserve more while half a block is left; only when none is left is a failure one."""
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
            raise not_reserved(self._file.path, error) from error


_sharers: weakref.WeakSet[Shared] = weakref.WeakSet()


def _after_fork() -> None:
    for sharer in list(_sharers):
        sharer.forget()


os.register_at_fork(after_in_child=_after_fork)
