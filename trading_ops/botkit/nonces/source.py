"""The interface of a nonce source, and the number at which a new source starts."""

from collections.abc import Callable
from typing import Protocol

from trading_ops import clock, logs
from trading_ops.errors import TradingOpsError

log = logs.get(__name__)

BLOCK = 2**20
"""Nonces reserved by one write to disk: hours of requests, and about one second of the clock."""

MAX_NONCE = 2**63 - 1
"""The highest nonce; venues store nonces in 64 bits, some of them signed."""

MAX_CLOCK_STEP = 366 * 24 * 3600 * 1_000_000
"""Microseconds by which one reading of the clock may move the count forward. A clock that is
decades ahead must not use up those decades, because nonces can never go back."""

MIN_CLOCK = 1_577_836_800_000_000
"""The year 2020 in microseconds. A lower number did not come from a clock that was set."""

MAX_CLOCK = 4_102_444_800_000_000
"""The year 2100 in microseconds. A clock beyond it is not used."""

Microseconds = Callable[[], int]
"""Returns the wall clock in microseconds since the epoch."""


class NonceExhausted(TradingOpsError):
    """No nonce is reserved; issuing one could repeat a nonce or break the order."""


class NonceSource(Protocol):
    """Counts the nonces of one API key. Thread-safe."""

    @property
    def reserved(self) -> int:
        """Return the ceiling: every nonce issued before the next raise is at or below it."""

    def issue(self) -> int:
        """Return the next nonce.

        Raises:
            NonceExhausted: no nonce is reserved and no more could be reserved.
        """

    def raise_to(self, floor: int) -> None:
        """Issue only nonces above `floor` from now on; durable when this returns.

        Raises:
            NonceExhausted: the new ceiling could not be made durable; nothing has changed.
        """

    def close(self) -> None:
        """Release the key; nothing is issued afterwards."""


def wall_clock() -> int:
    """Return the wall clock in microseconds since the epoch."""
    return int(clock.timestamp() * 1e6)


def start_above(known: int, now: int) -> int:
    """Return the number above which a source starts: the clock, but never less than `known`.

    Args:
        known: no nonce issued so far is higher; 0 when nothing is known.
        now: the wall clock in microseconds.
    """
    most = min(known + MAX_CLOCK_STEP, MAX_CLOCK) if known >= MIN_CLOCK else MAX_CLOCK
    if now > most:
        log.warning("nonce_clock_ignored", clock=now, known=known, taken=most)
    return max(known, min(now, most))
