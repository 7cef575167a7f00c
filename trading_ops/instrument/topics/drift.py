"""Differences between our records and the venue, and results of the comparisons."""

import time
from typing import TYPE_CHECKING

from trading_ops.instrument.metric import Metric, bot_counter, bot_gauge

if TYPE_CHECKING:
    from trading_ops.instrument.recorder import Recorder

COMPARISONS = ("clean", "corrected", "drifted", "failed")
DISCREPANCIES = (
    "orphaned_order",
    "lost_order",
    "missed_fill",
    "unknown_fill",
    "finished_order",
    "quantity_smaller",
    "quantity_larger",
    "side_flipped",
    "external_trade",
    "partial_history",
    "balance",
)

DRIFT: tuple[Metric, ...] = (
    bot_gauge(
        name="trading_position_drift",
        labels=("symbol",),
        vital=True,
        help="Position in our records minus the venue's, in base currency, once confirmed by a "
        "second read with no order in flight.",
        why="The bot makes decisions on a wrong position.",
    ),
    bot_gauge(
        name="trading_balance_drift",
        labels=("currency",),
        help="Balance in our records minus the venue's, in units of the currency.",
        why="Fees, deposits or trades of other clients that the records miss.",
    ),
    bot_gauge(
        name="trading_orphaned_orders",
        vital=True,
        help="Orphaned orders: open at the venue, unknown to our records.",
        why="They may fill at any time, and no bot manages them.",
    ),
    bot_gauge(
        name="trading_missing_orders",
        vital=True,
        help="Missing orders: open in our records, unknown to the venue.",
        why="The bot relies on orders that do not exist.",
    ),
    bot_gauge(
        name="trading_recovery_complete",
        vital=True,
        help="1 once the startup reconciliation with the venue succeeded, else 0; absent if the "
        "bot makes none.",
        why="A bot that stays at 0 does not trade: an operator must resolve a difference.",
    ),
    bot_gauge(
        name="trading_startup_reconciliation_duration_seconds",
        unit="seconds",
        help="Duration of the startup reconciliation with the venue until it succeeded; absent "
        "until then.",
        why="The time after a restart in which the bot opens nothing new.",
    ),
    bot_gauge(
        name="trading_reconciliation_timestamp_seconds",
        unit="seconds",
        vital=True,
        help="Time of the last complete comparison with the venue, Unix time; absent before that.",
        why="No drift means nothing without recent comparisons.",
    ),
    bot_counter(
        name="trading_reconciliations_total",
        labels=("result",),
        values={"result": COMPARISONS},
        help="Comparisons with the venue by result; a failed one does not check positions.",
        why="Comparisons that fail, or always fix something, mean that the records have a bug.",
    ),
    bot_counter(
        name="trading_discrepancies_total",
        labels=("cause",),
        values={"cause": DISCREPANCIES},
        help="Differences found between our records and the venue, by cause.",
        why="Shows what happened while the bot was down, or through other clients.",
    ),
)


FAILED = "failed"


class DriftMetrics:
    """Records a bot's comparisons with the venue."""

    def position_drift(self, symbol: str, quantity: float) -> None:
        """Set the position in our records minus the venue's, in base currency."""
        self._position_drift.labels(symbol).value = quantity

    def balance_drift(self, currency: str, amount: float) -> None:
        """Set the balance in our records minus the venue's, in units of the currency."""
        self._balance_drift.labels(currency).value = amount

    def orphaned_orders(self, count: int) -> None:
        """Set the number of orders at the venue that our records do not know."""
        self._orphaned.labels().value = count

    def lost_orders(self, count: int) -> None:
        """Set the number of open orders in our records that the venue does not know."""
        self._lost.labels().value = count

    def recovery_complete(self, *, complete: bool) -> None:
        """Set whether the startup reconciliation has succeeded.

        Absent until set: a bot that reconciles sets False first.
        """
        self._recovery.labels().value = 1 if complete else 0

    def recovery_took(self, seconds: float) -> None:
        """Set the duration of the successful startup reconciliation."""
        self._recovery_seconds.labels().value = seconds

    def reconciled(self, result: str, at: float | None = None) -> None:
        """Record a finished comparison with the venue.

        Args:
            result: clean, corrected, drifted or failed; a failed one does not update the time of
                the last complete comparison.
            at: end of the comparison, seconds since the epoch; None: now.
        """
        self._reconciliations.labels(result).value += 1
        if result != FAILED:
            self._reconciled_at.labels().value = time.time() if at is None else at

    def discrepancy(self, cause: str) -> None:
        """Count a difference from the venue, by cause."""
        self._discrepancies.labels(cause).value += 1

    def _register_drift(
        self, recorder: "Recorder", symbols: tuple[str, ...], currencies: tuple[str, ...]
    ) -> None:
        self._position_drift = recorder.gauge(
            "trading_position_drift", {"symbol": symbols}, at_once=False
        )
        self._balance_drift = recorder.gauge(
            "trading_balance_drift", {"currency": currencies}, at_once=False
        )
        self._orphaned = recorder.gauge("trading_orphaned_orders", at_once=False)
        self._lost = recorder.gauge("trading_missing_orders", at_once=False)
        self._recovery = recorder.gauge("trading_recovery_complete", at_once=False)
        self._recovery_seconds = recorder.gauge(
            "trading_startup_reconciliation_duration_seconds", at_once=False
        )
        self._reconciled_at = recorder.gauge(
            "trading_reconciliation_timestamp_seconds", at_once=False
        )
        self._reconciliations = recorder.counter("trading_reconciliations_total")
        self._discrepancies = recorder.counter("trading_discrepancies_total")
