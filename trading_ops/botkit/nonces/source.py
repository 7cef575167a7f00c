"""What counts a key's nonces, and where the count begins."""

from collections.abc import Callable
from typing import Protocol

from trading_ops import clock, logs
from trading_ops.errors import TradingOpsError

log = logs.get(__name__)

BLOCK = 2**20
"""Nonces that are reserved at once: hours of requests, and about a second of the clock."""

LIMIT = 2**63 - 1
"""The highest nonce; venues keep them in 64 bits, some with a sign."""

MOST_AHEAD = 366 * 24 * 3600 * 1_000_000
"""Microseconds that one look at the clock may add: a clock that is decades ahead must not use up
the decades, since numbers cannot be given back."""

EARLIEST = 1_577_836_800_000_000
"""The year 2020 in microseconds: below it a number is no clock's, or that of one never set."""

LATEST = 4_102_444_800_000_000
"""The year 2100 in microseconds: no clock is believed beyond it."""

Microseconds = Callable[[], int]


class NonceExhausted(TradingOpsError):
    """A nonce was asked for that is not reserved; issuing it could break the order."""


class Source(Protocol):
    """Counts one key's nonces; any thread may ask."""

    @property
    def reserved(self) -> int:
        """Return the ceiling: nothing was or will be issued above it before it is raised."""

    def issue(self) -> int:
        """Return the next nonce.

        Raises:
            NonceExhausted: none is reserved, and none could be.
        """

    def raise_to(self, floor: int) -> None:
        """Issue only above `floor` from now on; durable before it counts.

        Raises:
            NonceExhausted: it could not be made durable; nothing has changed.
        """

    def close(self) -> None:
        """Give the key's folder up; nothing is issued any more."""


def wall_clock() -> int:
    """Return the wall clock in microseconds."""
    return int(clock.timestamp() * 1e6)


def begin(known: int, now: int) -> int:
    """Return the number above which nonces begin: never below `known`, else the clock's.

    Args:
        known: nothing issued so far is above it; 0: nothing is known.
        now: the wall clock, microseconds.
    """
    most = min(known + MOST_AHEAD, LATEST) if known >= EARLIEST else LATEST
    if now > most:
        log.warning("nonce_clock_disbelieved", clock=now, known=known, taken=most)
    return max(known, min(now, most))
