"""The one reader of the clock.

Everything else takes the time as an argument or calls one of these. `instrument` stands
alone and reads its own.
"""

import time
from datetime import UTC, datetime


def now() -> datetime:
    """Return the wall-clock time, aware, in UTC."""
    return datetime.now(tz=UTC)


def timestamp() -> float:
    """Return the wall-clock time in seconds since the epoch."""
    return time.time()


def monotonic() -> float:
    """Return seconds on a clock that never goes back; its zero means nothing."""
    return time.monotonic()


def boottime() -> float:
    """Return seconds on a clock that never goes back, and that goes on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
