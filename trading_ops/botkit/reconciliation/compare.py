"""Compares records and venue: a pure function, tested as a table of cases.

The venue is the source of truth about what happened, the records about what the bot intended. A
difference that an order of the bot, a trade or a ledger entry explains is corrected. A difference
without an explanation is drift, and needs an operator. Missing answers of the venue prove nothing.
"""

from collections.abc import Iterator
from decimal import Decimal

from trading_ops.botkit.orders.order import (
    ZERO,
    Order,
    OrderStatus,
    VenueOrder,
    adopted_order,
    apply_report,
)
from trading_ops.botkit.reconciliation.findings import (
    AdoptOrder,
    CancelOrder,
    Cause,
    Comparison,
    CountLedgerEntry,
    CountTrade,
    Discrepancy,
    Drift,
    EndOrder,
    ReducePosition,
    Remedy,
    Step,
    UpdateOrder,
)
from trading_ops.botkit.reconciliation.projected import Projected
from trading_ops.botkit.reconciliation.state import (
    ExternalTradePolicy,
    OrphanPolicy,
    Policy,
    RecordedState,
    VenueState,
)
from trading_ops.botkit.venue.adapter import VenueTrade


def compare(
    recorded: RecordedState,
    venue: VenueState,
    policy: Policy,
    *,
    now: float,
    at_start: bool,
) -> Comparison:
    """Return the discrepancies, and the steps that correct them.

    Args:
        recorded: the bot's side.
        venue: the venue's side, complete answers only.
        policy: from the settings.
        now: seconds since the epoch.
        at_start: whether the bot was down before, so that what it missed is reported.
    """
    return _Comparing(recorded, venue, policy, now=now, at_start=at_start).result()


class _Comparing:
    def __init__(
        self,
        recorded: RecordedState,
        venue: VenueState,
        policy: Policy,
        *,
        now: float,
        at_start: bool,
    ) -> None:
        self._recorded = recorded
        self._venue = venue
        self._policy = policy
        self._now = now
        self._at_start = at_start
        self._found: list[Discrepancy] = []
        self._steps: list[Step] = []
        self._in_flight = False
        self._unreported = False  # an own order has traded, and the venue did not return it
        self._projected = Projected(recorded.expected, recorded.positions)

    def result(self) -> Comparison:
        self._compare_recorded_orders()
        self._compare_orphans()
        self._compare_trades()
        self._compare_ledger()
        drift = self._drift()
        if not self._venue.history.complete:
            self._add(
                Cause.PARTIAL_HISTORY,
                Remedy.HALT if drift else Remedy.LEAVE,
                subject="history",
                theirs=f"{len(self._venue.history.trades)} trades, not all",
                detail="the missing part may explain the drift" if drift else "no drift",
            )
        return Comparison(
            discrepancies=tuple(self._found),
            steps=tuple(self._steps),
            drift=drift,
            in_flight=self._in_flight,
            read_at=self._venue.snapshot.at,
            all_counted=self._venue.history.complete
            and not self._in_flight
            and not self._unreported,
        )

    # Orders

    def _compare_recorded_orders(self) -> None:
        open_reports = {
            report.client_id: report
            for report in self._venue.snapshot.open_orders
            if report.client_id is not None
        }
        for order in self._recorded.orders.values():
            report = open_reports.get(order.client_id) or self._venue.reports.get(order.client_id)
            if report is not None:
                self._update(order, report)
            elif order.status.is_open and order.client_id in self._venue.reports:
                self._handle_lost(order)
            elif order.status.is_open:
                self._in_flight = True  # not queried: it was sent while the venue was read

    def _update(self, order: Order, report: VenueOrder) -> None:
        after, fill = apply_report(order, report)
        if after == order:
            return
        self._steps.append(UpdateOrder(order=order, report=report))
        if fill is not None:
            self._projected.fill(order, fill)
            self._in_flight = self._in_flight or not self._at_start
            if self._at_start or not order.status.is_open:
                filled = f"{after.filled} of {order.quantity}"
                self._add(Cause.MISSED_FILL, Remedy.CORRECT, order.client_id, order.filled, filled)
        if self._at_start and order.status.is_open and not after.status.is_open:
            self._add(
                Cause.FINISHED_ORDER, Remedy.CORRECT, order.client_id, order.status, after.status
            )

    def _handle_lost(self, order: Order) -> None:
        if self._now - order.created_at <= self._policy.lost_seconds:
            # A delayed request may still arrive.
            self._in_flight = True
            self._add(Cause.LOST_ORDER, Remedy.WAIT, order.client_id, order.status, "unknown")
            return
        filled = order.filled > 0
        status = OrderStatus.CANCELLED if filled else OrderStatus.REJECTED
        self._steps.append(
            EndOrder(order=order, status=status, reason="the venue does not know it")
        )
        self._add(Cause.LOST_ORDER, Remedy.CORRECT, order.client_id, order.status, "unknown")

    def _compare_orphans(self) -> None:
        for report in self._venue.snapshot.open_orders:
            if (
                not self._recorded.owns(report.client_id)
                or report.client_id in self._recorded.orders
            ):
                continue
            adopts = self._policy.orphaned_orders is OrphanPolicy.ADOPT
            self._adopt(report)
            if not adopts:
                self._steps.append(CancelOrder(venue_id=report.venue_id))
            self._add(
                Cause.ORPHANED_ORDER,
                Remedy.CORRECT if adopts else Remedy.CANCEL,
                report.client_id or report.venue_id,
                "unknown",
                f"{report.side} {report.quantity} {report.symbol}, filled {report.filled}",
            )

    def _adopt(self, report: VenueOrder) -> None:
        """Record the order even if it is to be cancelled: it may fill before the cancel."""
        self._steps.append(AdoptOrder(report=report))
        order = adopted_order(report, report.client_id or report.venue_id, self._now)
        fill = apply_report(order, report)[1]
        if fill is not None:
            self._projected.fill(report, fill)

    # History

    def _compare_trades(self) -> None:
        recorded_ids = self._recorded_venue_ids()
        open_ids = {report.venue_id for report in self._venue.snapshot.open_orders}
        adopted_ids: set[str] = set()
        # Oldest first: what is sold must have been bought before.
        for trade in sorted(
            self._venue.history.trades, key=lambda traded: (traded.at, traded.trade_id)
        ):
            if trade.venue_id in recorded_ids or trade.client_id in self._recorded.orders:
                continue
            report = self._venue.unrecorded.get(trade.venue_id)
            client_id = trade.client_id or (report.client_id if report else None)
            if client_id in self._recorded.orders:
                continue
            if self._recorded.owns(client_id):
                self._unreported = self._unreported or report is None
                if report is not None and trade.venue_id not in open_ids | adopted_ids:
                    adopted_ids.add(trade.venue_id)
                    self._adopt(report)
                    filled = f"{report.filled} {report.symbol}"
                    self._add(
                        Cause.UNKNOWN_FILL, Remedy.CORRECT, client_id or "", "unknown", filled
                    )
            elif ("trade", trade.trade_id) not in self._recorded.counted:
                self._count_external(trade)

    def _recorded_venue_ids(self) -> set[str | None]:
        """Return the venue ids of the recorded orders, those with a lost answer included."""
        reported = [*self._venue.snapshot.open_orders, *filter(None, self._venue.reports.values())]
        return {order.venue_id for order in self._recorded.orders.values()} | {
            report.venue_id for report in reported if report.client_id in self._recorded.orders
        }

    def _count_external(self, trade: VenueTrade) -> None:
        self._steps.append(CountTrade(trade=trade))
        self._projected.trade(trade)
        halts = self._policy.external_trades is ExternalTradePolicy.HALT
        self._add(
            Cause.EXTERNAL_TRADE,
            Remedy.HALT if halts else Remedy.CORRECT,
            trade.symbol,
            "unknown",
            f"{trade.side} {trade.quantity} for {trade.cost} (trade {trade.trade_id})",
        )

    def _compare_ledger(self) -> None:
        for entry in self._venue.history.ledger:
            if ("ledger", entry.ledger_id) in self._recorded.counted:
                continue
            self._steps.append(CountLedgerEntry(entry=entry))
            before = self._projected.enter(entry)
            change = f"{entry.kind} of {entry.amount} (entry {entry.ledger_id})"
            self._add(Cause.BALANCE, Remedy.CORRECT, entry.currency, before, change)

    # Balances and positions

    def _drift(self) -> Drift:
        balances = dict(self._balance_drift())
        positions: dict[str, Decimal] = {}
        reported = self._venue.snapshot.positions
        for symbol in sorted({*self._projected.positions, *reported}):
            if symbol in reported:
                positions[symbol] = self._reported_position_drift(symbol, reported[symbol])
            else:
                base = symbol.partition("/")[0]
                positions[symbol] = self._spot_drift(symbol, base, balances.get(base, ZERO))
        bases = {symbol.partition("/")[0] for symbol in positions if symbol not in reported}
        for currency, drift in balances.items():
            if drift and currency not in bases:
                ours = self._projected.expected.get(currency, ZERO)
                self._add(Cause.BALANCE, Remedy.HALT, currency, ours, ours - drift)
        return Drift(positions=positions, balances=balances)

    def _balance_drift(self) -> Iterator[tuple[str, Decimal]]:
        balances = self._venue.snapshot.balances
        for currency in sorted({*self._projected.expected, *balances}):
            theirs = balances[currency].total if currency in balances else ZERO
            yield currency, self._projected.expected.get(currency, ZERO) - theirs

    def _spot_drift(self, symbol: str, base: str, drift: Decimal) -> Decimal:
        """Return the drift of a spot position, which is a balance of its base currency."""
        position = self._projected.positions.get(symbol, ZERO)
        if drift > 0:
            self._add(Cause.QUANTITY_SMALLER, Remedy.HALT, symbol, position, position - drift)
        elif drift < 0:
            self._add(Cause.QUANTITY_LARGER, Remedy.HALT, symbol, position, position - drift)
        elif (there := max(ZERO, self._projected.expected.get(base, ZERO))) < position:
            # Every change of the balance is explained: an external trade sold the bot's position.
            self._steps.append(ReducePosition(symbol=symbol, quantity=there))
            self._add(Cause.QUANTITY_SMALLER, Remedy.CORRECT, symbol, position, there)
        return drift

    def _reported_position_drift(self, symbol: str, theirs: Decimal) -> Decimal:
        """Return the drift of a position that the venue reports apart from balances."""
        ours = self._projected.positions.get(symbol, ZERO)
        if ours == theirs:
            return ZERO
        if ours * theirs < 0:
            cause = Cause.SIDE_FLIPPED
        elif abs(theirs) < abs(ours):
            cause = Cause.QUANTITY_SMALLER
        else:
            cause = Cause.QUANTITY_LARGER
        self._add(cause, Remedy.HALT, symbol, ours, theirs)
        return ours - theirs

    def _add(
        self,
        cause: Cause,
        remedy: Remedy,
        subject: str,
        ours: object = "",
        theirs: object = "",
        detail: str = "",
    ) -> None:
        self._found.append(
            Discrepancy(
                cause=cause,
                remedy=remedy,
                subject=subject,
                ours=str(ours),
                theirs=str(theirs),
                detail=detail,
            )
        )
