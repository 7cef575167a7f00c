"""A full disk, with our log handler and with the standard library's. See docs/decisions/0016.

Both log to a file that may not grow for a while, as on a full disk, then may again. The standard
way is QueueHandler, QueueListener and RotatingFileHandler with gzip as rotator.
"""

import gzip
import json
import logging
import logging.handlers
import os
import queue
import resource
import shutil
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.bench.say import say
from trading_ops import clock
from trading_ops.config.log_policy import LogPolicy
from trading_ops.logs.file import LogFile
from trading_ops.logs.handler import FileHandler

BEFORE, DURING, AFTER = 10, 5_000, 10
ROOM_BYTES = 100
ROTATED_BYTES = 10_000_000


class _Counting(logging.handlers.RotatingFileHandler):
    failed = 0

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Count instead of a traceback on standard error."""
        del record
        self.failed += 1


def compress(source: str, target: str) -> None:
    """Compress a file as a rotator does."""
    with Path(source).open("rb") as plain, gzip.open(target, "wb", 6) as packed:
        shutil.copyfileobj(plain, packed)
    Path(source).unlink()


def run(
    handler: logging.Handler, file: Path, drain: Callable[[], object], lost: Callable[[], int]
) -> None:
    """Log before, during and after a full disk; print how many lines are in the file."""
    logger = logging.getLogger("tests.bench.log_handlers")
    logger.handlers[:], logger.propagate = [handler], False
    logger.setLevel(logging.INFO)
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    number = 0
    for count, is_full in ((BEFORE, False), (DURING, True), (AFTER, False)):
        limit = file.stat().st_size + ROOM_BYTES if is_full else hard
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        for _ in range(count):
            logger.info("x" * 50, extra={"n": number})
            number += 1
        if not is_full or not isinstance(handler, FileHandler):
            drain()  # ours keeps the lines until there is space
    written = {json.loads(line)["n"] for line in file.read_text("utf-8").splitlines()}
    say(f"{handler.__class__.__name__:<14} {number} logged, {len(written)} written, {lost()} lost")


def main() -> None:
    """Print both, and how long the standard rotator blocks the thread that writes."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    formatter = logging.Formatter('{"n": %(n)d, "event": "%(message)s"}')
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ours = FileHandler(LogFile(folder / "ours.log", LogPolicy(folder=folder)))
        ours.setFormatter(formatter)
        run(ours, folder / "ours.log", lambda: ours.drain(30), lambda: ours.dropped)
        ours.close()

        inner = _Counting(folder / "standard.log", maxBytes=ROTATED_BYTES, backupCount=20)
        inner.rotator = compress
        inner.setFormatter(formatter)
        lines: queue.Queue[logging.LogRecord] = queue.Queue(20_000)
        listener = logging.handlers.QueueListener(lines, inner)
        listener.start()
        standard = logging.handlers.QueueHandler(lines)
        run(standard, folder / "standard.log", lines.join, lambda: inner.failed)
        listener.stop()
        inner.close()

        source = folder / "rotated.log"
        source.write_bytes(os.urandom(ROTATED_BYTES // 2).hex().encode())
        began = clock.monotonic()
        compress(str(source), f"{source}.gz")
        seconds = clock.monotonic() - began
        say(f"gzip of {ROTATED_BYTES / 1e6:.0f} MB in the thread that writes: {seconds:.1f} s")


if __name__ == "__main__":
    main()
