"""How much of what the venue allows is used, counted here as Kraken counts it there.

Kraken does not tell how high its counter of a key is; its manual tells how it counts. Each call of
REST adds one, of trades or ledgers two, and the counter sinks all the time. Orders have counters of
their own, by pair, which are not kept here.
Source: https://docs.kraken.com/api/docs/guides/spot-rest-ratelimits
"""

from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

from trading_ops import clock
from trading_ops.instrument import BotMetrics

GROUP = "calls"
"""As the metric's label has it."""

FREE = frozenset({"AddOrder", "CancelOrder", "AssetPairs", "Time", "OHLC"})
"""These count elsewhere: against the orders of a pair, or against the address."""

TWICE = frozenset({"TradesHistory", "Ledgers"})


class Tier(StrEnum):
    """How far an account is verified, which decides what its keys may do.

    The last one is the paper venue's own, for a bot with the shipped intervals: no account of
    Kraken's may ask that often.
    """

    STARTER = "starter"
    INTERMEDIATE = "intermediate"
    PRO = "pro"
    PAPER = "paper"


class Limit(NamedTuple):
    """The most that the counter may be, and by how much it sinks a second."""

    most: float
    decay: float


LIMITS = {
    Tier.STARTER: Limit(15, 0.33),
    Tier.INTERMEDIATE: Limit(20, 0.5),
    Tier.PRO: Limit(20, 1.0),
    Tier.PAPER: Limit(40, 3.0),
}


class Allowance:
    """The counter of one key, if all that use the key are this process.

    Never above the limit: what comes then is refused, and whether the venue counts that too its
    manual does not tell.
    """

    def __init__(
        self, metrics: BotMetrics, tier: Tier, *, now: Callable[[], float] = clock.monotonic
    ) -> None:
        """Begin at zero.

        Args:
            metrics: of the bot.
            tier: of the account.
            now: in seconds, from anywhere.
        """
        self._metrics = metrics
        self._limit = LIMITS[tier]
        self._now = now
        self._used = 0.0
        self._at = now()

    def called(self, endpoint: str) -> None:
        """A request is about to leave."""
        if endpoint not in FREE:
            self._sink()
            cost = 2 if endpoint in TWICE else 1
            self._used = min(self._limit.most, self._used + cost)
        self.show()

    def refused(self) -> None:
        """Take the venue's word that the counter is at its limit, whatever was counted here."""
        self._used, self._at = self._limit.most, self._now()
        self.show()

    def show(self) -> None:
        """Record what is used now: it sinks while nothing is asked."""
        self._sink()
        self._metrics.rate_limit_used(GROUP, self._used / self._limit.most)

    def _sink(self) -> None:
        now = self._now()
        self._used = max(0.0, self._used - self._limit.decay * (now - self._at))
        self._at = now
