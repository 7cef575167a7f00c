"""What our records and the venue's disagree on; absent for a bot that does not compare them."""

import time

from trading_ops.instrument.recorder import Recorder

FAILED = "failed"


class DriftFacts:
    """What a bot says of its comparisons with the venue."""

    def position_drift(self, symbol: str, quantity: float) -> None:
        """Our records have so much more of the symbol's base currency than the venue."""
        self._position_drift.labels(symbol).value = quantity

    def balance_drift(self, currency: str, amount: float) -> None:
        """Our records have so much more of a currency than the venue."""
        self._balance_drift.labels(currency).value = amount

    def orphaned_orders(self, count: int) -> None:
        """So many orders rest at the venue that our records do not know."""
        self._orphaned.labels().value = count

    def lost_orders(self, count: int) -> None:
        """So many orders are open in our records that the venue does not know."""
        self._lost.labels().value = count

    def recovery_complete(self, *, complete: bool) -> None:
        """The comparison at the start ended well, or did not yet.

        Absent until a bot says it: one that compares says False first of all.
        """
        self._recovery.labels().value = 1 if complete else 0

    def recovery_took(self, seconds: float) -> None:
        """The comparison at the start ended well after so long."""
        self._recovery_seconds.labels().value = seconds

    def reconciled(self, result: str, at: float | None = None) -> None:
        """A comparison with the venue ended, now or at this time in seconds since the epoch.

        Args:
            result: clean, healed, drifted or failed; a failed one was not whole, and the time of
                the last one stays.
            at: when it ended.
        """
        self._reconciliations.labels(result).value += 1
        if result != FAILED:
            self._reconciled_at.labels().value = time.time() if at is None else at

    def discrepancy(self, cause: str) -> None:
        """A difference from the venue was found, for this cause."""
        self._discrepancies.labels(cause).value += 1

    def _register_drift(
        self, recorder: Recorder, symbols: tuple[str, ...], currencies: tuple[str, ...]
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
