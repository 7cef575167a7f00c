"""Nonces: strictly increasing for one key, over restarts, kills and clocks that go back.

A nonce is the clock in microseconds, or one more than the last one where that is greater. The
highest one that may be issued is kept on disk and raised in blocks, so that there is a write every
some seconds and not at every request; whoever starts goes on above it.
"""

from collections.abc import Awaitable, Callable

from trading_ops import clock
from trading_ops.errors import TradingOpsError
from trading_ops.instrument import BotMetrics

BLOCK = 10_000_000
"""Microseconds that are reserved at once: a restart jumps ahead of the clock by so much at most."""

MARGIN = 1_000
"""Nonces that must be left of a block before the next request is made."""

JUMP = 60_000_000
"""Microseconds to jump when the venue has seen a higher nonce: past what another client used."""


class NonceExhausted(TradingOpsError):
    """A nonce was asked for that is not reserved; issuing it could break the order."""


class Nonces:
    """Issues the nonces of one key; all in one loop, requests are made one after the other."""

    def __init__(
        self,
        ceiling: int,
        save: Callable[[int], Awaitable[None]],
        metrics: BotMetrics,
        *,
        microseconds: Callable[[], int] = lambda: int(clock.timestamp() * 1e6),
    ) -> None:
        """Continue above a stored ceiling.

        Args:
            ceiling: the highest nonce that may have been issued before.
            save: stores a new ceiling; when it returns, it is durable.
            metrics: of the bot.
            microseconds: the clock.
        """
        self._last = ceiling
        self._ceiling = ceiling
        self._save = save
        self._metrics = metrics
        self._clock = microseconds

    async def reserve(self) -> None:
        """Make sure that the next request has its nonces.

        Raises:
            StoreError: the new ceiling could not be stored.
        """
        coming = max(self._clock(), self._last + 1)
        if coming + MARGIN > self._ceiling:
            ceiling = coming + BLOCK
            await self._save(ceiling)
            self._ceiling = ceiling

    def issue(self) -> int:
        """Return the next nonce.

        Raises:
            NonceExhausted: it was not reserved.
        """
        nonce = max(self._clock(), self._last + 1)
        if nonce > self._ceiling:
            raise NonceExhausted(f"{nonce} is above the reserved {self._ceiling}")
        self._last = nonce
        self._metrics.nonce_issued()
        return nonce

    async def refused(self) -> None:
        """Jump ahead: the venue has seen a higher one.

        Raises:
            StoreError: the new ceiling could not be stored.
        """
        self._metrics.nonce_refused()
        self._last = max(self._clock(), self._last) + JUMP
        await self.reserve()
        self._metrics.nonce_resynced()
