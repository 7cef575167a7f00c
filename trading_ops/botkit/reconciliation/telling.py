"""What comparisons found, told: as metrics for the rules, as events for whoever looks later."""

from collections.abc import Callable, Collection, Mapping

from trading_ops import clock
from trading_ops.botkit.orders.book import Book
from trading_ops.botkit.reconciliation.findings import (
    Cause,
    Comparison,
    Discrepancy,
    Drift,
    Remedy,
    told,
)
from trading_ops.botkit.records.events import Event, EventKind
from trading_ops.instrument import BotMetrics

LONGEST_TOLD = 200
"""Discrepancies in one event; their number is told in any case."""


class Telling:
    """Tells each difference once, and of a recovery all that it found."""

    def __init__(
        self,
        metrics: BotMetrics,
        book: Book,
        *,
        currencies: Collection[str],
        away_seconds: Callable[[], float | None],
    ) -> None:
        """Take where to tell it.

        Args:
            metrics: of the bot.
            book: takes the events.
            currencies: that are traded; of others a drift is told only when there is one.
            away_seconds: for how long nobody looked after the account; None for unknown.
        """
        self._metrics = metrics
        self._book = book
        self._currencies = frozenset(currencies)
        self._away_seconds = away_seconds
        self._began = clock.monotonic()
        self._told: tuple[Discrepancy, ...] = ()
        self._found: dict[Discrepancy, None] = {}

    def remember(self, comparison: Comparison) -> None:
        """Keep what a recovery finds until its end: what is healed is not found again."""
        self._found |= dict.fromkeys(comparison.discrepancies)

    def forget(self) -> None:
        """The recovery has ended, and is on record."""
        self._found.clear()

    async def recovery(self) -> None:
        """Record what the recovery found, be it nothing.

        Raises:
            Unavailable: the store is closed.
            StoreError: it could not be written.
        """
        found, seconds = self._found, clock.monotonic() - self._began
        detail = {
            "found": told(list(found)[:LONGEST_TOLD]),
            "count": len(found),
            "away_seconds": self._away_seconds(),
            "took_seconds": round(seconds, 3),
        }
        await self.note("recovered", detail)
        self._metrics.recovery_took(seconds)

    async def tell(self, comparison: Comparison, *, at_start: bool) -> None:
        """Record every discrepancy with its cause, and the counts that rules look at.

        Raises:
            Unavailable: the store is closed.
            StoreError: it could not be written.
        """
        by_cause: dict[Cause, int] = {}
        for found in comparison.discrepancies:
            by_cause[found.cause] = by_cause.get(found.cause, 0) + 1
            self._metrics.discrepancy(found.cause)
        self._metrics.orphaned_orders(by_cause.get(Cause.ORPHANED_ORDER, 0))
        self._metrics.lost_orders(by_cause.get(Cause.LOST_ORDER, 0))
        worth = tuple(one for one in comparison.discrepancies if one.remedy is not Remedy.WAIT)
        if worth and worth != self._told:
            found_now = told(comparison.discrepancies)
            await self.note("recovery" if at_start else "comparison", {"found": found_now})
        self._told = worth  # what stays different is told once, not every minute

    def show(self, drift: Drift) -> None:
        """Show what is confirmed to differ, or that nothing does."""
        for symbol, quantity in drift.positions.items():
            self._metrics.position_drift(symbol, float(quantity))
        for currency, amount in drift.balances.items():
            if amount or currency in self._currencies:
                self._metrics.balance_drift(currency, float(amount))

    async def note(self, code: str, detail: Mapping[str, object]) -> None:
        """Record an event of the reconciliation.

        Raises:
            Unavailable: the store is closed.
            StoreError: it could not be written.
        """
        event = Event(at=clock.timestamp(), kind=EventKind.RECOVERY, code=code, detail=dict(detail))
        await self._book.note(event)
