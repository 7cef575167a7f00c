"""Passes lines to a writer thread, so that a caller never waits for a disk."""

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
"""Maximum bytes of queued lines while the disk is full or slow; further ones are dropped and
counted."""

LONGEST_LINE = 64 * 1024
"""Maximum length in characters; a longer value is truncated."""

RETRY_SECONDS = 0.5
IDLE_SECONDS = 5.0
"""Time without a line after which the file is checked."""

CLOSE_SECONDS = 2.0

_logger = logging.getLogger(__name__)


class FileHandler(logging.Handler):
    """A log handler that never blocks on a disk."""

    def __init__(self, file: LogFile, *, most_bytes: int = MOST_BYTES) -> None:
        """Start the thread, which then owns the file."""
        super().__init__()
        self.dropped = 0
        """Number of dropped lines."""

        self.on_drop: Callable[[int], None] = lambda _: None
        """Called with the number of dropped lines."""

        self._file = file
        self._most = most_bytes
        self._lines: deque[bytes] = deque()
        self._bytes = 0
        self._logged = 0
        # Not the handler's own lock: at exit, logging holds that one while it waits for us.
        self._count = threading.Lock()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._rotations: deque[Future[Path | None]] = deque()
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()
        atexit.register(
            self.close
        )  # runs before logging's own, which would hold the lock meanwhile

    def emit(self, record: logging.LogRecord) -> None:
        """Queue one record; the caller holds the handler's lock."""
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
        """Write the queued lines and rotate the file; return the path of the rotated file.

        None: it was empty.

        Raises:
            OSError: it failed, or did not finish in time.
        """
        request: Future[Path | None] = Future()
        self._rotations.append(request)
        self._wake.set()
        try:
            return request.result(within_seconds)
        except TimeoutError as error:
            request.cancel()
            raise OSError(
                f"no answer within {within_seconds:g} s: the disk does not accept writes"
            ) from error

    def flush(self) -> None:
        """Do nothing: logging may call this anywhere. See `drain`."""

    def drain(self, within_seconds: float) -> None:
        """Wait until all queued lines are written, or until the timeout."""
        deadline = clock.monotonic() + within_seconds
        while self._bytes and self._thread.is_alive() and clock.monotonic() < deadline:
            self._wake.set()
            self._thread.join(0.002)

    def close(self) -> None:
        """Write the queued lines if possible, and stop."""
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
                self._log_dropped()
                self._write_all()
                self._rotate()
            except Exception:
                # The thread must survive: without it, nothing would be written.
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
                self._closing.wait(RETRY_SECONDS)  # the queue fills up to its limit meanwhile
            else:
                break
        with self._count:
            self._bytes -= waiting

    def _rotate(self) -> None:
        while self._rotations:
            request = self._rotations.popleft()
            if not request.set_running_or_notify_cancel():
                continue
            try:
                request.set_result(self._file.rotate())
            except OSError as error:
                request.set_exception(error)

    def _log_dropped(self) -> None:
        new = self.dropped - self._logged
        if new and self._bytes < self._most // 2:
            self._logged += new
            _logger.warning("log_lines_dropped count=%d", new)

    def _drop(self, count: int) -> None:
        with self._count:
            self.dropped += count
        self.on_drop(count)


class StreamHandler(logging.StreamHandler):  # type: ignore[type-arg]
    """Standard error, without logging's traceback for a record that cannot be written."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of a record, or a note if it cannot be formatted."""
        try:
            return super().format(record)
        except Exception as error:  # noqa: BLE001 - what cannot be written must not hurt
            return unwritable(record, error)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Do nothing: the stream is closed, and arguments may contain secrets."""


def unwritable(record: logging.LogRecord, error: Exception) -> str:
    """Return a line for a record that cannot be formatted, without its arguments."""
    return (
        f'{{"event": "log_record_unwritable", "level": "error", "logger": "{record.name}",'
        f' "line": {record.lineno}, "reason": "{type(error).__name__}"}}'
    )


def _line(text: str) -> bytes:
    if len(text) > LONGEST_LINE:
        text = text[:LONGEST_LINE] + "…"
    return text.encode(errors="replace") + b"\n"
