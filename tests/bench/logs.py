"""What one log line costs its caller. Run with `python -m tests.bench.logs`.

Ours, to its own file and to standard error, beside the plain way: the same JSON from the same
library, without redaction, and written where it is logged. The time is that of the caller, which in
a bot is the event loop.
"""

import contextlib
import gc
import io
import logging
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import structlog

from tests.bench.say import p50_p99, say
from trading_ops import clock, logs, redaction
from trading_ops.config.log_policy import LogPolicy

LINES = 20_000
SECRETS = 8
BURST = 100
"""Lines after which the caller pauses, as a bot does between passes."""

FIELDS = {
    "order": "alpha-0123456789abcdef",
    "symbol": "BTC/USD",
    "side": "buy",
    "quantity": "0.00012345",
    "cost": "7.65432100",
    "pass_number": 12345,
}


@contextlib.contextmanager
def plain(folder: Path) -> Iterator[None]:
    """The plain way: JSON, written to an open file at once."""
    with (folder / "plain.log").open("a", encoding="utf-8") as file:
        logs.configure("bench")
        handler = logging.StreamHandler(file)
        formatter = logging.getLogger().handlers[0].formatter
        assert isinstance(formatter, structlog.stdlib.ProcessorFormatter)
        formatter.processors = formatter.processors[:-1]  # all but the redaction
        handler.setFormatter(formatter)
        logging.getLogger().handlers[:] = [handler]
        yield


@contextlib.contextmanager
def to_stderr(folder: Path) -> Iterator[None]:
    """Ours, where no folder is set."""
    with (
        (folder / "stderr.log").open("a", encoding="utf-8") as file,
        contextlib.redirect_stderr(file),
    ):
        logs.configure("bench")
        yield


@contextlib.contextmanager
def to_file(folder: Path) -> Iterator[None]:
    """Ours, to a file that is moved aside and compressed."""
    logs.configure("bench", policy=LogPolicy(folder=folder, file_bytes=1_000_000))
    yield
    for handler in logging.getLogger().handlers:
        handler.close()


def measure() -> list[float]:
    """Return the seconds of each line."""
    logger = logs.get("bench")
    seconds = []
    for number in range(LINES):
        if number % BURST == 0:
            clock_end = clock.monotonic() + 0.002
            while clock.monotonic() < clock_end:
                io.BytesIO(b"x" * 1000).read()
        began = clock.monotonic()
        logger.info("order_filled", n=number, **FIELDS)
        seconds.append(clock.monotonic() - began)
    return seconds


WAYS: dict[str, Callable[[Path], contextlib.AbstractContextManager[None]]] = {
    "plain JSON, written at once": plain,
    "ours, to standard error": to_stderr,
    "ours, to its own file": to_file,
}


def main() -> int:
    """Measure and print."""
    for number in range(SECRETS):
        redaction.known(f"{number:064x}")
    say(f"One log line of {len(FIELDS) + 6} fields, {LINES} of each, {SECRETS} secrets known")
    say(f"{'':32}{'p50 µs':>8}{'p99 µs':>8}{'lines/s':>10}")
    for name, way in WAYS.items():
        gc.collect()
        with tempfile.TemporaryDirectory() as folder, way(Path(folder)):
            seconds = measure()
        p50, p99 = p50_p99(seconds)
        say(f"{name:32}{p50 * 1000:8.1f}{p99 * 1000:8.1f}{LINES / sum(seconds):10.0f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
