"""The log file of one process: written in whole lines, rotated by size and age."""

import contextlib
import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

from trading_ops import clock
from trading_ops.config.log_policy import LogPolicy
from trading_ops.logs import rotation

AT_ONCE_BYTES = 256 * 1024
"""Maximum size of a write."""

AGAIN_SECONDS = 60.0
"""Delay after a failed rename, during which the file grows."""

MODE = 0o640
STANDARD = (1, 2)
"""Standard output and error: the service manager may have opened the same file for them."""

_logger = logging.getLogger(__name__)


class LogFile:
    """Used by one thread; only tidying runs in another one."""

    def __init__(
        self, path: Path, policy: LogPolicy, *, timestamp: Callable[[], float] = clock.timestamp
    ) -> None:
        """Open the file; its folder is created if missing.

        Args:
            path: of the file.
            policy: rotation and retention.
            timestamp: the clock.

        Raises:
            OSError: it cannot be opened.
        """
        self._path = path
        self._policy = policy
        self._timestamp = timestamp
        self._rest = b""
        self._not_before = 0.0
        self._tidying: threading.Thread | None = None
        self.tidy_lock = threading.Lock()
        """Held while files of this log are compressed: concurrent compressions would corrupt
        them."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = self._open()
        if _ends_within_a_line(path):
            self._rest = b"\n"  # an earlier run was killed during a write
        self._begin()
        self._tidy()

    def write(self, lines: "deque[bytes]") -> None:
        """Write lines, and remove them from the queue as they are written.

        Raises:
            OSError: writing failed; the remaining lines are still in the queue.
        """
        self._finish()
        self._follow()
        if self._too_old():
            self._move_aside()
        while lines:
            size = os.fstat(self._descriptor).st_size
            if size and size + len(lines[0]) > self._policy.file_bytes and self._move_aside():
                size = 0
            chunk = [lines.popleft()]
            length = len(chunk[0])
            room = min(AT_ONCE_BYTES, max(0, self._policy.file_bytes - size))
            while lines and length + len(lines[0]) <= room:
                length += len(lines[0])
                chunk.append(lines.popleft())
            self._rest = b"".join(chunk)
            self._finish()

    def tend(self) -> None:
        """Rotate the file if it is too old; called when nothing is written.

        Raises:
            OSError: the file is missing and cannot be created, or cannot be written.
        """
        self._finish()
        self._follow()
        if self._too_old():
            self._move_aside()

    def rotate(self) -> Path | None:
        """Rotate the file now; return the path of the rotated one, or None if it is empty.

        Raises:
            OSError: it could not be rotated; nothing is lost, and logging continues.
        """
        self._finish()
        self._follow()
        if not os.fstat(self._descriptor).st_size:
            return None
        self._not_before = 0.0
        aside = self._move_aside()
        if aside is None:
            raise OSError(f"{self._path} could not be renamed")
        return aside

    @property
    def path(self) -> Path:
        """Return the path of the file."""
        return self._path

    @property
    def policy(self) -> LogPolicy:
        """Return the policy."""
        return self._policy

    def wait_tidied(self) -> None:
        """Wait until nothing is being compressed or removed."""
        if self._tidying is not None:
            self._tidying.join()

    def close(self) -> None:
        """Close the file; a partial line stays incomplete."""
        os.close(self._descriptor)

    def _finish(self) -> None:
        """Finish a partial write, for example after the disk was full."""
        while self._rest:
            written = os.write(self._descriptor, self._rest)
            self._rest = self._rest[written:]

    def _open(self) -> int:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(self._path, flags, MODE)

    def _begin(self) -> None:
        seen = os.fstat(self._descriptor)
        self._span = self._span_of(seen.st_mtime if seen.st_size else self._timestamp())

    def _span_of(self, at: float) -> int:
        return int(at // self._policy.file_seconds)

    def _too_old(self) -> bool:
        if self._span == self._span_of(self._timestamp()):
            return False
        if os.fstat(self._descriptor).st_size:
            return True
        self._begin()
        return False

    def _follow(self) -> None:
        """Open the file again if it was moved or removed."""
        ours = os.fstat(self._descriptor)
        try:
            there = self._path.stat()
        except FileNotFoundError:
            there = None
        if there is None or (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._replace(self._open())

    def _move_aside(self) -> Path | None:
        """Continue in a new file; return the path of the old one, or None if that failed.

        Nothing is lost either way.
        """
        if self._timestamp() < self._not_before:
            return None
        try:
            aside = rotation.move_aside(self._path, self._timestamp())
            try:
                new = self._open()
            except OSError:
                aside.rename(self._path)
                raise
        except OSError as error:
            self._not_before = self._timestamp() + AGAIN_SECONDS
            _logger.warning("log_not_moved error=%s", error)
            return None
        self._replace(new)
        self._tidy()
        return aside

    def _replace(self, new: int) -> None:
        old, self._descriptor = self._descriptor, new
        with contextlib.suppress(OSError):
            was = os.fstat(old)
            for descriptor in STANDARD:
                status = os.fstat(descriptor)
                if (status.st_dev, status.st_ino) == (was.st_dev, was.st_ino):
                    # Other output, such as that of a crashing interpreter, also goes to the new
                    # file.
                    os.dup2(new, descriptor)
        os.close(old)
        self._begin()

    def _tidy(self) -> None:
        if self._tidying is not None and self._tidying.is_alive():
            return  # the next rotation does it
        self._tidying = threading.Thread(target=self._tidy_now, name="log-tidying", daemon=True)
        self._tidying.start()

    def _tidy_now(self) -> None:
        with contextlib.suppress(OSError):  # compression is not urgent
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
        try:
            with self.tidy_lock:
                rotation.tidy(self._policy, self._path.parent, self._path.name, self._timestamp())
        except OSError as error:
            _logger.warning("log_not_tidied error=%s", error)


def _ends_within_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        return file.read(1) not in {b"", b"\n"}
