"""How much of the venue's API rate limit is used: as it reports, or an estimate by its rules.

Kraken does not report the counter of a key, but documents it: each REST call adds one, calls for
trades or ledgers add two, and the counter decays continuously. Orders have separate counters per
pair, which are not tracked here.
Source: https://docs.kraken.com/api/docs/guides/spot-rest-ratelimits
"""

from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple, Protocol

from trading_ops import clock
from trading_ops.instrument import BotMetrics

GROUP = "calls"
"""Value of the metric's label `group`."""

FREE = frozenset({"AddOrder", "CancelOrder", "AssetPairs", "Time", "OHLC"})
"""Endpoints that count against another limit: of the pair, or of the IP address."""

TWICE = frozenset({"TradesHistory", "Ledgers"})
"""Endpoints that cost two."""


class Tier(StrEnum):
    """The verification tier of an account, which sets its limit.

    PAPER is the paper venue's own: it allows more requests than any Kraken account.
    """

    STARTER = "starter"
    INTERMEDIATE = "intermediate"
    PRO = "pro"
    PAPER = "paper"


class CounterLimit(NamedTuple):
    """The limit of a tier."""

    maximum: float
    """Limit of the counter."""

    decay: float
    """Decay of the counter per second."""


LIMITS = {
    Tier.STARTER: CounterLimit(15, 0.33),
    Tier.INTERMEDIATE: CounterLimit(20, 0.5),
    Tier.PRO: CounterLimit(20, 1.0),
    Tier.PAPER: CounterLimit(40, 3.0),
}


class RateLimit(Protocol):
    """Events of the broker's requests."""

    def request_sent(self, endpoint: str) -> None:
        """Count a request that is about to be sent."""
        ...

    def limit_reached(self) -> None:
        """Record that the venue rejected a request for the limit."""
        ...

    def export(self) -> None:
        """Update the metric; called at intervals."""
        ...


class ReportedRateLimit:
    """The limit of a venue that reports it with each answer, for a minute at most.

    Example:
        limit = ReportedRateLimit(metrics)
        venue = Alpaca(client, symbols=["AAPL/USD"], timeout_seconds=5, on_limit=limit.reported)
    """

    def __init__(self, metrics: BotMetrics) -> None:
        """Start without a figure; the metric is absent until the first answer."""
        self._metrics = metrics

    def reported(self, limit: int, left: int) -> None:
        """Record an answer's limit, and how many requests are left of it."""
        self._metrics.rate_limit_used(GROUP, 1 - left / limit if limit else 1.0)

    def request_sent(self, endpoint: str) -> None:
        """Do nothing: the answer reports it."""

    def limit_reached(self) -> None:
        """Set the figure to the limit."""
        self._metrics.rate_limit_used(GROUP, 1.0)

    def export(self) -> None:
        """Do nothing: the broker's next probe brings a new figure."""


class RateLimitCounter:
    """Estimates the venue's counter for one API key; exact if only this process uses the key.

    The estimate never exceeds the limit. Kraken does not document whether it counts requests that
    it rejects at the limit.

    Example:
        counter = RateLimitCounter(metrics, Tier.INTERMEDIATE)
        counter.request_sent("BalanceEx")
        counter.export()  # updates the metric
    """

    def __init__(
        self,
        metrics: BotMetrics,
        tier: Tier | CounterLimit,
        *,
        now: Callable[[], float] = clock.monotonic,
    ) -> None:
        """Start at zero.

        Args:
            metrics: exports the used share of the limit.
            tier: of the account; or the limit itself.
            now: a monotonic clock in seconds.
        """
        self._metrics = metrics
        self._limit = tier if isinstance(tier, CounterLimit) else LIMITS[tier]
        self._now = now
        self._used = 0.0
        self._at = now()

    def request_sent(self, endpoint: str) -> None:
        """Count a request that is about to be sent."""
        if endpoint not in FREE:
            self._decay()
            cost = 2 if endpoint in TWICE else 1
            self._used = min(self._limit.maximum, self._used + cost)
        self.export()

    def limit_reached(self) -> None:
        """Set the counter to its limit: the venue rejected a request for it."""
        self._used, self._at = self._limit.maximum, self._now()
        self.export()

    def export(self) -> None:
        """Update the metric; call this at intervals, because the counter decays."""
        self._decay()
        self._metrics.rate_limit_used(GROUP, self._used / self._limit.maximum)

    def _decay(self) -> None:
        now = self._now()
        self._used = max(0.0, self._used - self._limit.decay * (now - self._at))
        self._at = now
