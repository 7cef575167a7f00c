"""The only reader of the clock.

Other modules take the time as an argument or call one of these. `instrument` has no dependencies
and reads its own.
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
    """Return monotonic seconds; the zero point is undefined."""
    return time.monotonic()


def boottime() -> float:
    """Return monotonic seconds that include time in which the machine is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
