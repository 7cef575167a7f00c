"""Reports what comparisons found: as metrics for alert rules, as events for the records."""

from collections.abc import Callable, Collection, Mapping

from trading_ops import clock
from trading_ops.botkit.orders.book import Book
from trading_ops.botkit.orders.events import RECOVERED
from trading_ops.botkit.reconciliation.findings import (
    Cause,
    Comparison,
    Discrepancy,
    Drift,
    Remedy,
    event_detail,
)
from trading_ops.botkit.records.events import Event, EventLogKind
from trading_ops.instrument import BotMetrics

MAX_IN_EVENT = 200
"""Maximum number of discrepancies in one event; the event has their full count as well."""


class DifferenceReporter:
    """Reports each difference once, and everything that a recovery found."""

    def __init__(
        self,
        metrics: BotMetrics,
        book: Book,
        *,
        currencies: Collection[str],
        downtime_seconds: Callable[[], float | None],
    ) -> None:
        """Start the clock of the recovery.

        Args:
            metrics: of the bot.
            book: stores the events.
            currencies: the traded ones; drift of others is exported only when it is not zero.
            downtime_seconds: returns how long the bot was down before this start; None if unknown.
        """
        self._metrics = metrics
        self._book = book
        self._currencies = frozenset(currencies)
        self._downtime_seconds = downtime_seconds
        self._began = clock.monotonic()
        self._reported: tuple[Discrepancy, ...] = ()
        self._recovery: dict[Discrepancy, None] = {}

    def add_to_recovery(self, comparison: Comparison) -> None:
        """Collect what a recovery finds: a later comparison no longer sees what was corrected."""
        self._recovery |= dict.fromkeys(comparison.discrepancies)

    def clear_recovery(self) -> None:
        """Discard the collected discrepancies, once the recovery is recorded."""
        self._recovery.clear()

    async def record_recovery(self) -> None:
        """Record the end of the recovery and what it found, even if that is nothing.

        Raises:
            Unavailable: the store is closed.
            StoreError: the event could not be written.
        """
        found, seconds = self._recovery, clock.monotonic() - self._began
        detail = {
            "found": event_detail(list(found)[:MAX_IN_EVENT]),
            "count": len(found),
            "away_seconds": self._downtime_seconds(),
            "took_seconds": round(seconds, 3),
        }
        await self.record(RECOVERED, detail)
        self._metrics.recovery_took(seconds)

    async def report(self, comparison: Comparison, *, at_start: bool) -> None:
        """Count the discrepancies by cause, and record them unless they are already reported.

        Args:
            comparison: with the discrepancies.
            at_start: whether it is part of the recovery.

        Raises:
            Unavailable: the store is closed.
            StoreError: the event could not be written.
        """
        by_cause: dict[Cause, int] = {}
        for found in comparison.discrepancies:
            by_cause[found.cause] = by_cause.get(found.cause, 0) + 1
            self._metrics.discrepancy(found.cause)
        self._metrics.orphaned_orders(by_cause.get(Cause.ORPHANED_ORDER, 0))
        self._metrics.lost_orders(by_cause.get(Cause.LOST_ORDER, 0))
        current = tuple(
            discrepancy
            for discrepancy in comparison.discrepancies
            if discrepancy.remedy is not Remedy.WAIT
        )
        if current and current != self._reported:
            found_now = event_detail(comparison.discrepancies)
            await self.record("recovery" if at_start else "comparison", {"found": found_now})
        self._reported = current  # a lasting difference is recorded once, not at each comparison

    def export_drift(self, drift: Drift) -> None:
        """Export confirmed drift as metrics, zeros included."""
        for symbol, quantity in drift.positions.items():
            self._metrics.position_drift(symbol, float(quantity))
        for currency, amount in drift.balances.items():
            if amount or currency in self._currencies:
                self._metrics.balance_drift(currency, float(amount))

    async def record(self, code: str, detail: Mapping[str, object]) -> None:
        """Record an event of the reconciliation.

        Raises:
            Unavailable: the store is closed.
            StoreError: the event could not be written.
        """
        event = Event(
            at=clock.timestamp(), kind=EventLogKind.RECOVERY, code=code, detail=dict(detail)
        )
        await self._book.record_events(event)
