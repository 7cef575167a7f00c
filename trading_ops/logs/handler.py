"""Passes lines to a thread that writes them: a caller never waits for a disk."""

import atexit
import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

from trading_ops import clock
from trading_ops.logs.file import LogFile

MOST_BYTES = 4 * 1024 * 1024
"""Of lines that wait while the disk is full or slow; further ones are dropped and counted."""

LONGEST_LINE = 64 * 1024
"""Maximum length in characters; a longer value is truncated."""

RETRY_SECONDS = 0.5
IDLE_SECONDS = 5.0
"""Time without a line after which the file is checked."""

CLOSE_SECONDS = 2.0

_logger = logging.getLogger(__name__)


class FileHandler(logging.Handler):
    """A handler that is never slower than memory."""

    def __init__(self, file: LogFile, *, most_bytes: int = MOST_BYTES) -> None:
        """Take the file, which its thread has for itself from now on; and what may wait."""
        super().__init__()
        self.dropped = 0
        """Lines that were not written."""

        self.on_drop: Callable[[int], None] = lambda _: None
        """Called with the number of dropped lines."""

        self._file = file
        self._most = most_bytes
        self._lines: deque[bytes] = deque()
        self._bytes = 0
        self._told = 0
        # Not the handler's own lock: at the end logging holds that one while it waits for us.
        self._count = threading.Lock()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._rotations: deque[Future[Path | None]] = deque()
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()
        atexit.register(self.close)  # runs before logging's, which would hold the lock meanwhile

    def emit(self, record: logging.LogRecord) -> None:
        """Take one record; the caller holds the handler's lock."""
        try:
            text = self.format(record)
        except Exception as error:  # noqa: BLE001 - what cannot be written must not hurt
            text = unwritable(record, error)
        line = _line(text)
        if self._bytes + len(line) > self._most or self._closing.is_set():
            self._drop(1)
            return
        with self._count:
            self._bytes += len(line)
        self._lines.append(line)
        self._wake.set()

    @property
    def file(self) -> LogFile:
        """Return the file; only methods marked as thread-safe may be called from other threads."""
        return self._file

    def rotate(self, within_seconds: float) -> Path | None:
        """Have the file moved aside, what waits written to it first; return where it is then.

        None: it held nothing.

        Raises:
            OSError: it could not be, or not in time.
        """
        asked: Future[Path | None] = Future()
        self._rotations.append(asked)
        self._wake.set()
        try:
            return asked.result(within_seconds)
        except TimeoutError as error:
            asked.cancel()
            raise OSError(
                f"no answer within {within_seconds:g} s: the disk does not accept writes"
            ) from error

    def flush(self) -> None:
        """Wait for nothing: logging may call this anywhere. See `drain`."""

    def drain(self, within_seconds: float) -> None:
        """Wait until all that waits is written, but not for ever."""
        deadline = clock.monotonic() + within_seconds
        while self._bytes and self._thread.is_alive() and clock.monotonic() < deadline:
            self._wake.set()
            self._thread.join(0.002)

    def close(self) -> None:
        """Write what waits, if the disk takes it, and end."""
        if not self._closing.is_set():
            self.drain(CLOSE_SECONDS)
            self._closing.set()
            self._wake.set()
            self._thread.join(CLOSE_SECONDS)
            atexit.unregister(self.close)
        super().close()

    def _run(self) -> None:
        while not (self._closing.is_set() and not self._lines):
            self._wake.wait(IDLE_SECONDS)
            self._wake.clear()
            try:
                self._tell_of_dropped()
                self._write_all()
                self._rotate()
            except Exception:
                # The thread must survive: without it nothing would be written any more.
                _logger.exception("log_writer_failed")
                self._closing.wait(RETRY_SECONDS)
        self._file.close()

    def _write_all(self) -> None:
        lines: deque[bytes] = deque()
        while self._lines:
            lines.append(self._lines.popleft())
        waiting = sum(map(len, lines))
        while True:
            try:
                self._file.write(lines) if lines else self._file.tend()
            except OSError:
                if self._closing.is_set():
                    self._drop(len(lines))
                    lines.clear()
                    break
                self._closing.wait(RETRY_SECONDS)  # the queue fills meanwhile, up to its bound
            else:
                break
        with self._count:
            self._bytes -= waiting

    def _rotate(self) -> None:
        while self._rotations:
            asked = self._rotations.popleft()
            if not asked.set_running_or_notify_cancel():
                continue
            try:
                asked.set_result(self._file.rotate())
            except OSError as error:
                asked.set_exception(error)

    def _tell_of_dropped(self) -> None:
        new = self.dropped - self._told
        if new and self._bytes < self._most // 2:
            self._told += new
            _logger.warning("log_lines_dropped count=%d", new)

    def _drop(self, count: int) -> None:
        with self._count:
            self.dropped += count
        self.on_drop(count)


class StreamHandler(logging.StreamHandler):  # type: ignore[type-arg]
    """Standard error, without the library's traceback for a record that cannot be written."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of a record, or a note if it cannot be formatted."""
        try:
            return super().format(record)
        except Exception as error:  # noqa: BLE001 - what cannot be written must not hurt
            return unwritable(record, error)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Say nothing: the stream is gone, and arguments may be secret."""


def unwritable(record: logging.LogRecord, error: Exception) -> str:
    """Return what is written of a record that cannot be formatted; never its arguments."""
    return (
        f'{{"event": "log_record_unwritable", "level": "error", "logger": "{record.name}",'
        f' "line": {record.lineno}, "reason": "{type(error).__name__}"}}'
    )


def _line(text: str) -> bytes:
    if len(text) > LONGEST_LINE:
        text = text[:LONGEST_LINE] + "…"
    return text.encode(errors="replace") + b"\n"
