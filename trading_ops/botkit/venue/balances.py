"""What the account has, from the best source there is: the private feed, REST, or the last good.

The feed knows of a change within milliseconds, REST is asked at an interval, and what either said
last stays known with its age, over a restart too. The tier in use changes by itself, both ways.
REST is right when the two differ: the feed sums up changes, and one that it missed stays missed.
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
"""The name of what is kept in the records."""

HEARD_SECONDS = 5.0
"""Silence of the feed from which its balances are no longer those of now; Kraken's feed has a
heartbeat each second."""

ZERO = Decimal(0)


class Source(StrEnum):
    """Where the balances in use came from."""

    WEBSOCKET = "websocket"
    REST = "rest"
    LAST_GOOD = "last_good"


class LastGood(msgspec.Struct, frozen=True):
    """What was last known, as it is kept in the records."""

    amounts: dict[str, str]
    at: float
    """Seconds since the epoch."""


@dataclass(frozen=True)
class Reading:
    """Totals by currency, and when they held (seconds since the epoch)."""

    amounts: Mapping[str, Decimal]
    at: float
    asked_at: float = 0.0
    """Of an answer, when it was asked for."""


class Balances:
    """Hears all sources and says which counts; holds no connection and makes no request."""

    def __init__(
        self,
        metrics: BotMetrics,
        *,
        currencies: Collection[str],
        rest_seconds: float,
        now: Callable[[], float] = clock.timestamp,
    ) -> None:
        """Begin with nothing known.

        Args:
            metrics: of the bot.
            currencies: whose balances are recorded; the account may hold others.
            rest_seconds: age up to which a REST answer counts as current.
            now: the clock.
        """
        self.on_contradiction: Callable[[], None] = lambda: None
        """Told when the feed turned out to be wrong; it is not used until it begins anew."""

        self._metrics = metrics
        self._currencies = frozenset(currencies)
        self._rest_seconds = rest_seconds
        self._now = now
        self._feed: dict[str, Decimal] | None = None
        self._heard_at = 0.0
        self._moved_at = 0.0
        self._rest: Reading | None = None
        self._last: Reading | None = None
        self._shown: Source | None = None

    @property
    def source(self) -> Source:
        """Return the tier in use."""
        # What comes from the future is of before a clock that was set back: its age is unknown.
        now = self._now()
        if self._feed is not None and abs(now - self._heard_at) <= HEARD_SECONDS:
            return Source.WEBSOCKET
        if self._rest is not None and abs(now - self._rest.at) <= self._rest_seconds:
            return Source.REST
        return Source.LAST_GOOD

    @property
    def amounts(self) -> Mapping[str, Decimal]:
        """Return totals by currency; empty before any were ever known."""
        known = self._known
        return {} if known is None else known.amounts

    @property
    def at(self) -> float | None:
        """Return when they held, in seconds since the epoch; None before any were known."""
        known = self._known
        return None if known is None else known.at

    @property
    def last_good(self) -> LastGood | None:
        """Return what a restarted bot should know."""
        known = self._known
        if known is None:
            return None
        told = {currency: str(amount) for currency, amount in known.amounts.items()}
        return LastGood(told, known.at)

    def restore(self, last: LastGood) -> None:
        """Take up what an earlier process knew last."""
        amounts = {currency: Decimal(amount) for currency, amount in last.amounts.items()}
        self._keep(Reading(amounts, last.at))
        self.show()

    def answered(self, amounts: Mapping[str, Decimal], *, asked_at: float) -> None:
        """Take a REST answer, and hold the feed against it."""
        before, answer = self._rest, Reading(dict(amounts), self._now(), asked_at)
        self._rest = answer
        wrong = self._contradicted(before, answer)
        if wrong:
            told = {
                name: (str((self._feed or {}).get(name)), str(amounts.get(name))) for name in wrong
            }
            log.warning("balances_contradict", feed_and_rest=told)
            self._metrics.balances_contradicted()
            self._feed = None
            self._last = answer
            self.on_contradiction()
        elif self._feed is None:
            self._keep(answer)
        self.show()

    def begun(self, amounts: Mapping[str, Decimal]) -> None:
        """Take the feed's snapshot: all that the account has."""
        self._feed = dict(amounts)
        self._moved_at = self._now()
        self.heard()

    def moved(self, currency: str, amount: Decimal) -> None:
        """Take the feed's word that the account has this of a currency now."""
        if self._feed is not None:
            self._feed[currency] = amount
            self._moved_at = self._now()
        self.heard()

    def heard(self) -> None:
        """Note that the feed's connection is alive: what has not changed still holds."""
        self._heard_at = self._now()
        if self._feed is not None:
            self._keep(Reading(self._feed, self._heard_at))
        self.show()

    def lost(self) -> None:
        """Do without the feed until it begins anew."""
        self._feed = None
        if self._rest is not None:
            self._keep(self._rest)
        self.show()

    def show(self) -> None:
        """Record the tier in use, its age and the amounts."""
        known, source = self._known, self.source
        if known is None:
            return
        if source is not self._shown:
            log.info("balance_source", source=source.value)
            self._shown = source
        for currency in self._currencies & known.amounts.keys():
            self._metrics.balance(currency, float(known.amounts[currency]))
        self._metrics.balances_read(source.value, known.at)

    @property
    def _known(self) -> Reading | None:
        source = self.source
        if source is Source.WEBSOCKET:
            return Reading(self._feed or {}, self._heard_at)
        return self._rest if source is Source.REST else self._last

    def _keep(self, reading: Reading) -> None:
        if self._last is None or reading.at >= self._last.at:
            self._last = reading

    def _contradicted(self, before: Reading | None, answer: Reading) -> list[str]:
        """Return the currencies of which REST twice said the same and the feed another amount.

        An answer and the news of a change overtake each other, so that one difference is nothing.
        A feed that has not changed since before the first of two answers has missed it.
        """
        feed = self._feed
        if feed is None or before is None or self._moved_at >= before.asked_at:
            return []
        return sorted(
            name
            for name in feed.keys() | answer.amounts.keys()
            if before.amounts.get(name, ZERO)
            == answer.amounts.get(name, ZERO)
            != feed.get(name, ZERO)
        )
