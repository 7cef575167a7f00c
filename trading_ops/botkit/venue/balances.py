"""The account's balances from the best current source: private feed, REST, or the last known value.

The private feed reports a change within milliseconds, REST is polled at an interval, and the last
value of either is kept with its age, also across restarts. The source in use changes automatically
in both directions. If feed and REST differ, REST is right: the feed adds up changes, and a change
that it missed is missing for good.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

import msgspec

from trading_ops import clock, logs
from trading_ops.instrument import BotMetrics

log = logs.get(__name__)

FACT = "last_good_balances"
"""The name of the fact that stores the last known balances; see `records.facts`."""

FEED_SILENCE_SECONDS = 5.0
"""A feed that is silent for longer is not current; Kraken's feed sends a heartbeat each second."""

ZERO = Decimal(0)


class BalanceSource(StrEnum):
    """The source of the balances in use, best first; values of the metric's label."""

    WEBSOCKET = "websocket"
    REST = "rest"
    LAST_GOOD = "last_good"


class LastGood(msgspec.Struct, frozen=True):
    """The last known balances, as they are stored."""

    amounts: dict[str, str]
    """Totals by currency, as exact decimals."""

    at: float
    """Seconds since the epoch."""


@dataclass(frozen=True)
class BalanceReading:
    """Totals by currency at a time (seconds since the epoch)."""

    amounts: Mapping[str, Decimal]
    at: float
    requested_at: float = 0.0
    """When the REST request was sent; 0 for other sources."""


class Balances:
    """Combines the balance sources; has no connection and makes no request itself.

    Example:
        balances = Balances(metrics, currencies=["BTC", "USD"], rest_seconds=5.0)
        balances.rest_answered({"USD": Decimal(1000)}, requested_at=requested_at)
        balances.feed_started({"USD": Decimal(1000)})
        balances.feed_changed("USD", Decimal(900))
        print(balances.source, balances.amounts["USD"], balances.at)
    """

    def __init__(
        self,
        metrics: BotMetrics,
        *,
        currencies: Collection[str],
        rest_seconds: float,
        now: Callable[[], float] = clock.timestamp,
    ) -> None:
        """Start without balances.

        Args:
            metrics: exports the balances, their source and age.
            currencies: exported as metrics; the account may hold others.
            rest_seconds: age up to which a REST answer is current.
            now: the wall clock in seconds since the epoch.
        """
        self.on_mismatch: Callable[[], None] = lambda: None
        """Called when REST shows that the feed is wrong; the feed is not used until it restarts."""

        self._metrics = metrics
        self._currencies = frozenset(currencies)
        self._rest_seconds = rest_seconds
        self._now = now
        self._feed: dict[str, Decimal] | None = None
        self._heard_at = 0.0
        self._changed_at = 0.0
        self._rest: BalanceReading | None = None
        self._last: BalanceReading | None = None
        self._exported: BalanceSource | None = None

    @property
    def source(self) -> BalanceSource:
        """Return the source in use."""
        # A time in the future is from before the clock was set back: its age is unknown.
        now = self._now()
        if self._feed is not None and abs(now - self._heard_at) <= FEED_SILENCE_SECONDS:
            return BalanceSource.WEBSOCKET
        if self._rest is not None and abs(now - self._rest.at) <= self._rest_seconds:
            return BalanceSource.REST
        return BalanceSource.LAST_GOOD

    @property
    def amounts(self) -> Mapping[str, Decimal]:
        """Return totals by currency; empty before the first answer."""
        known = self._known
        return {} if known is None else known.amounts

    @property
    def at(self) -> float | None:
        """Return the time of `amounts` in seconds since the epoch; None before the first answer."""
        known = self._known
        return None if known is None else known.at

    @property
    def last_good(self) -> LastGood | None:
        """Return the balances to store for the next run; None before the first answer."""
        known = self._known
        if known is None:
            return None
        amounts = {currency: str(amount) for currency, amount in known.amounts.items()}
        return LastGood(amounts, known.at)

    def restore(self, last: LastGood) -> None:
        """Use the balances that an earlier run stored until a newer source has answered."""
        amounts = {currency: Decimal(amount) for currency, amount in last.amounts.items()}
        self._keep(BalanceReading(amounts, last.at))
        self.export()

    def rest_answered(self, amounts: Mapping[str, Decimal], *, requested_at: float) -> None:
        """Record a REST answer, and compare the feed with it.

        Args:
            amounts: totals by currency.
            requested_at: when the request was sent, in seconds since the epoch.
        """
        before, answer = self._rest, BalanceReading(dict(amounts), self._now(), requested_at)
        self._rest = answer
        wrong = self._mismatched(before, answer)
        if wrong:
            feed_and_rest = {
                name: (str((self._feed or {}).get(name)), str(amounts.get(name))) for name in wrong
            }
            log.warning("balances_contradict", feed_and_rest=feed_and_rest)
            self._metrics.balances_contradicted()
            self._feed = None
            self._last = answer
            self.on_mismatch()
        elif self._feed is None:
            self._keep(answer)
        self.export()

    def feed_started(self, amounts: Mapping[str, Decimal]) -> None:
        """Record the feed's snapshot of all balances."""
        self._feed = dict(amounts)
        self._changed_at = self._now()
        self.feed_alive()

    def feed_changed(self, currency: str, amount: Decimal) -> None:
        """Record the new total of one currency from the feed; ignored before the snapshot."""
        if self._feed is not None:
            self._feed[currency] = amount
            self._changed_at = self._now()
        self.feed_alive()

    def feed_alive(self) -> None:
        """Record a message of the feed: balances that it did not change are current."""
        self._heard_at = self._now()
        if self._feed is not None:
            self._keep(BalanceReading(self._feed, self._heard_at))
        self.export()

    def feed_lost(self) -> None:
        """Record that the feed's connection ended; it is used again after its next snapshot."""
        self._feed = None
        if self._rest is not None:
            self._keep(self._rest)
        self.export()

    def export(self) -> None:
        """Update the metrics: the source in use, its age and the amounts."""
        known, source = self._known, self.source
        if known is None:
            return
        if source is not self._exported:
            log.info("balance_source", source=source.value)
            self._exported = source
        for currency in self._currencies & known.amounts.keys():
            self._metrics.balance(currency, float(known.amounts[currency]))
        self._metrics.balances_read(source.value, known.at)

    @property
    def _known(self) -> BalanceReading | None:
        source = self.source
        if source is BalanceSource.WEBSOCKET:
            return BalanceReading(self._feed or {}, self._heard_at)
        return self._rest if source is BalanceSource.REST else self._last

    def _keep(self, reading: BalanceReading) -> None:
        if self._last is None or reading.at >= self._last.at:
            self._last = reading

    def _mismatched(self, before: BalanceReading | None, answer: BalanceReading) -> list[str]:
        """Return the currencies for which two REST answers agree and the feed differs.

        One difference proves nothing, because an answer and a feed message can overtake each
        other. A feed without any change since before the first of two equal answers missed one.
        """
        feed = self._feed
        if feed is None or before is None or self._changed_at >= before.requested_at:
            return []
        return sorted(
            name
            for name in feed.keys() | answer.amounts.keys()
            if before.amounts.get(name, ZERO)
            == answer.amounts.get(name, ZERO)
            != feed.get(name, ZERO)
        )
