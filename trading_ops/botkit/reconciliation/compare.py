"""Compares records and venue: pure, so that each case is a row of a table.

The venue is the truth about what happened, and our records are the truth about what we meant. What
an order of ours, a trade or an entry of the ledger explains is healed; what nothing explains is a
person's matter. What the venue did not tell proves nothing.
"""

from collections.abc import Iterator
from decimal import Decimal

from trading_ops.botkit.orders.order import (
    ZERO,
    Order,
    OrderStatus,
    VenueOrder,
    adopted,
    progress,
)
from trading_ops.botkit.reconciliation.findings import (
    Adopt,
    Cancel,
    Cause,
    Comparison,
    CountLedger,
    CountTrade,
    Discrepancy,
    Drift,
    End,
    Hear,
    Remedy,
    Shrink,
    Step,
)
from trading_ops.botkit.reconciliation.projected import Projected
from trading_ops.botkit.reconciliation.sides import Orphans, Ours, Policy, Strangers, Theirs
from trading_ops.botkit.venue.port import VenueTrade


def compare(
    ours: Ours, theirs: Theirs, policy: Policy, *, now: float, at_start: bool
) -> Comparison:
    """Return what differs and what to do about it.

    Args:
        ours: the records.
        theirs: the venue's whole answers.
        policy: of the settings.
        now: seconds since the epoch.
        at_start: whether the bot was away, so that what it missed is worth telling.
    """
    return _Comparing(ours, theirs, policy, now=now, at_start=at_start).result()


class _Comparing:
    def __init__(
        self, ours: Ours, theirs: Theirs, policy: Policy, *, now: float, at_start: bool
    ) -> None:
        self._ours = ours
        self._theirs = theirs
        self._policy = policy
        self._now = now
        self._at_start = at_start
        self._found: list[Discrepancy] = []
        self._steps: list[Step] = []
        self._in_flight = False
        self._untold = False  # an order of ours has traded, and the venue did not show it
        self._then = Projected(ours.expected, ours.positions)

    def result(self) -> Comparison:
        self._look_at_recorded()
        self._look_at_orphans()
        self._look_at_trades()
        self._look_at_ledger()
        drift = self._look_at_what_is_there()
        if not self._theirs.history.complete:
            self._note(
                Cause.PARTIAL_HISTORY,
                Remedy.HALT if drift else Remedy.LEAVE,
                subject="history",
                theirs=f"{len(self._theirs.history.trades)} trades, not all",
                detail="what is missing may explain the difference" if drift else "nothing differs",
            )
        return Comparison(
            discrepancies=tuple(self._found),
            steps=tuple(self._steps),
            drift=drift,
            in_flight=self._in_flight,
            read_at=self._theirs.snapshot.at,
            counted=self._theirs.history.complete and not self._in_flight and not self._untold,
        )

    # Orders

    def _look_at_recorded(self) -> None:
        open_words = {
            word.client_id: word
            for word in self._theirs.snapshot.open_orders
            if word.client_id is not None
        }
        for order in self._ours.orders.values():
            word = open_words.get(order.client_id) or self._theirs.words.get(order.client_id)
            if word is not None:
                self._hear(order, word)
            elif order.status.alive and order.client_id in self._theirs.words:
                self._lose(order)
            elif order.status.alive:
                self._in_flight = True  # nobody asked about it: it was sent while we read

    def _hear(self, order: Order, word: VenueOrder) -> None:
        after, fill = progress(order, word)
        if after == order:
            return
        self._steps.append(Hear(order=order, word=word))
        if fill is not None:
            self._then.fill(order, fill)
            self._in_flight = self._in_flight or not self._at_start
            if self._at_start or not order.status.alive:
                told = f"{after.filled} of {order.quantity}"
                self._note(Cause.MISSED_FILL, Remedy.HEAL, order.client_id, order.filled, told)
        if self._at_start and order.status.alive and not after.status.alive:
            self._note(
                Cause.FINISHED_ORDER, Remedy.HEAL, order.client_id, order.status, after.status
            )

    def _lose(self, order: Order) -> None:
        if self._now - order.created_at <= self._policy.lost_seconds:
            # A request that is delayed may still arrive.
            self._in_flight = True
            self._note(Cause.LOST_ORDER, Remedy.WAIT, order.client_id, order.status, "unknown")
            return
        filled = order.filled > 0
        status = OrderStatus.CANCELLED if filled else OrderStatus.REJECTED
        self._steps.append(End(order=order, status=status, reason="the venue does not know it"))
        self._note(Cause.LOST_ORDER, Remedy.HEAL, order.client_id, order.status, "unknown")

    def _look_at_orphans(self) -> None:
        for word in self._theirs.snapshot.open_orders:
            if not self._ours.owns(word.client_id) or word.client_id in self._ours.orders:
                continue
            adopts = self._policy.orphans is Orphans.ADOPT
            self._adopt(word)
            if not adopts:
                self._steps.append(Cancel(venue_id=word.venue_id))
            self._note(
                Cause.ORPHANED_ORDER,
                Remedy.HEAL if adopts else Remedy.CANCEL,
                word.client_id or word.venue_id,
                "unknown",
                f"{word.side} {word.quantity} {word.symbol}, filled {word.filled}",
            )

    def _adopt(self, word: VenueOrder) -> None:
        """Record it in any case: a cancel may come too late, and then its fills must count."""
        self._steps.append(Adopt(word=word))
        order = adopted(word, word.client_id or word.venue_id, self._now)
        fill = progress(order, word)[1]
        if fill is not None:
            self._then.fill(word, fill)

    # What happened

    def _look_at_trades(self) -> None:
        recorded = self._recorded_ids()
        open_now = {word.venue_id for word in self._theirs.snapshot.open_orders}
        taken: set[str] = set()
        # Oldest first: what is sold must have been bought before.
        for trade in sorted(self._theirs.history.trades, key=lambda one: (one.at, one.trade_id)):
            if trade.venue_id in recorded or trade.client_id in self._ours.orders:
                continue
            word = self._theirs.others.get(trade.venue_id)
            client_id = trade.client_id or (word.client_id if word else None)
            if client_id in self._ours.orders:
                continue
            if self._ours.owns(client_id):
                self._untold = self._untold or word is None
                if word is not None and trade.venue_id not in open_now | taken:
                    taken.add(trade.venue_id)
                    self._adopt(word)
                    told = f"{word.filled} {word.symbol}"
                    self._note(Cause.UNKNOWN_FILL, Remedy.HEAL, client_id or "", "unknown", told)
            elif ("trade", trade.trade_id) not in self._ours.adopted:
                self._meet_stranger(trade)

    def _recorded_ids(self) -> set[str | None]:
        """Return the venue's ids of our recorded orders, those of lost answers among them."""
        told = [*self._theirs.snapshot.open_orders, *filter(None, self._theirs.words.values())]
        return {order.venue_id for order in self._ours.orders.values()} | {
            word.venue_id for word in told if word.client_id in self._ours.orders
        }

    def _meet_stranger(self, trade: VenueTrade) -> None:
        self._steps.append(CountTrade(trade=trade))
        self._then.trade(trade)
        halts = self._policy.strangers is Strangers.HALT
        self._note(
            Cause.EXTERNAL_TRADE,
            Remedy.HALT if halts else Remedy.HEAL,
            trade.symbol,
            "unknown",
            f"{trade.side} {trade.quantity} for {trade.cost} (trade {trade.trade_id})",
        )

    def _look_at_ledger(self) -> None:
        for entry in self._theirs.history.ledger:
            if ("ledger", entry.ledger_id) in self._ours.adopted:
                continue
            self._steps.append(CountLedger(entry=entry))
            before = self._then.enter(entry)
            told = f"{entry.kind} of {entry.amount} (entry {entry.ledger_id})"
            self._note(Cause.BALANCE, Remedy.HEAL, entry.currency, before, told)

    # What is there

    def _look_at_what_is_there(self) -> Drift:
        balances = dict(self._balance_drift())
        positions: dict[str, Decimal] = {}
        reported = self._theirs.snapshot.positions
        for symbol in sorted({*self._then.positions, *reported}):
            if symbol in reported:
                positions[symbol] = self._look_at_reported(symbol, reported[symbol])
            else:
                base = symbol.partition("/")[0]
                positions[symbol] = self._look_at_spot(symbol, base, balances.get(base, ZERO))
        bases = {symbol.partition("/")[0] for symbol in positions if symbol not in reported}
        for currency, drift in balances.items():
            if drift and currency not in bases:
                ours = self._then.expected.get(currency, ZERO)
                self._note(Cause.BALANCE, Remedy.HALT, currency, ours, ours - drift)
        return Drift(positions=positions, balances=balances)

    def _balance_drift(self) -> Iterator[tuple[str, Decimal]]:
        told = self._theirs.snapshot.balances
        for currency in sorted({*self._then.expected, *told}):
            theirs = told[currency].total if currency in told else ZERO
            yield currency, self._then.expected.get(currency, ZERO) - theirs

    def _look_at_spot(self, symbol: str, base: str, drift: Decimal) -> Decimal:
        """Return the drift of a position that is a balance of its base currency."""
        position = self._then.positions.get(symbol, ZERO)
        if drift > 0:
            self._note(Cause.QUANTITY_SMALLER, Remedy.HALT, symbol, position, position - drift)
        elif drift < 0:
            self._note(Cause.QUANTITY_LARGER, Remedy.HALT, symbol, position, position - drift)
        elif (there := max(ZERO, self._then.expected.get(base, ZERO))) < position:
            # Every change of the balance is explained: somebody sold what the bot had bought.
            self._steps.append(Shrink(symbol=symbol, quantity=there))
            self._note(Cause.QUANTITY_SMALLER, Remedy.HEAL, symbol, position, there)
        return drift

    def _look_at_reported(self, symbol: str, theirs: Decimal) -> Decimal:
        """Return the drift of a position that the venue itself keeps."""
        ours = self._then.positions.get(symbol, ZERO)
        if ours == theirs:
            return ZERO
        if ours * theirs < 0:
            cause = Cause.SIDE_FLIPPED
        elif abs(theirs) < abs(ours):
            cause = Cause.QUANTITY_SMALLER
        else:
            cause = Cause.QUANTITY_LARGER
        self._note(cause, Remedy.HALT, symbol, ours, theirs)
        return ours - theirs

    def _note(
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
