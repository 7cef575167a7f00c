"""Records that missed anything at all are remediated to the last digit, or an operator is called.

An account lives through orders, fills, strangers' trades and deposits; the records saw each of
them or did not. What the comparison says to do is done to the records, and they must then be the
venue's; what nothing explains must be found exactly, and never be remediated away.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from trading_ops.agent import Side
from trading_ops.botkit.orders.order import (
    Order,
    OrderStatus,
    VenueOrder,
    adopted_order,
    apply_report,
)
from trading_ops.botkit.reconciliation.compare import compare
from trading_ops.botkit.reconciliation.findings import (
    AdoptOrder,
    CancelOrder,
    Comparison,
    CountLedgerEntry,
    CountTrade,
    EndOrder,
    ReducePosition,
    Step,
    UpdateOrder,
)
from trading_ops.botkit.reconciliation.state import (
    ExternalTradePolicy,
    OrphanPolicy,
    Policy,
    RecordedState,
    VenueState,
)
from trading_ops.botkit.venue.adapter import (
    AccountHistory,
    AccountSnapshot,
    Balance,
    LedgerEntry,
    VenueTrade,
)

NOW = 10_000.0
SYMBOL = "BTC/USD"
LOT = Decimal("0.00000001")
POLICY = Policy(orphaned_orders=OrphanPolicy.ADOPT, external_trades=ExternalTradePolicy.ADOPT)


@dataclass
class Account:
    """The truth at the venue, and what the records know of it."""

    reports: dict[str, VenueOrder] = field(default_factory=dict)
    trades: list[VenueTrade] = field(default_factory=list)
    ledger: list[LedgerEntry] = field(default_factory=list)
    there: dict[str, Decimal] = field(
        default_factory=lambda: {"BTC": Decimal(5), "USD": Decimal(10_000)}
    )
    orders: dict[str, Order] = field(default_factory=dict)
    expected: dict[str, Decimal] = field(
        default_factory=lambda: {"BTC": Decimal(5), "USD": Decimal(10_000)}
    )
    position: Decimal = Decimal(0)
    adopted: set[tuple[str, str]] = field(default_factory=set)

    def order(self, side: Side, quantity: Decimal, filled: Decimal, *, known: int) -> None:
        """An order of ours that is filled by so much; `known` is how much the records saw of it."""
        name, at = f"own-{len(self.reports)}", NOW - 1000 + len(self.reports)
        full = filled == quantity
        report = VenueOrder(
            venue_id=f"V-{name}",
            client_id=name,
            symbol=SYMBOL,
            side=side,
            price=Decimal(100),
            quantity=quantity,
            status=OrderStatus.FILLED if full else OrderStatus.ACCEPTED,
            filled=filled,
            cost=filled * 100,
            fee=(filled / 10).quantize(LOT),
        )
        self.reports[name] = report
        if filled:
            self.trades.append(_trade(f"T-{name}", report, at))
            _pay(self.there, report.side, report.filled, report.cost, report.fee)
        if known == 0:
            return  # forgotten, or the records are gone
        order = adopted_order(replace(report, status=OrderStatus.ACCEPTED), name, at)
        if known == 1:  # the answer was lost
            order = replace(order, venue_id=None, status=OrderStatus.SUBMITTED)
        self.orders[name] = order
        if known == 3:  # all of it was heard
            self.hear(order, report)

    def hear(self, order: Order, report: VenueOrder) -> None:
        """As the book does."""
        after, fill = apply_report(self.orders.get(order.client_id, order), report)
        self.orders[order.client_id] = after
        if fill is not None:
            _pay(self.expected, order.side, fill.quantity, fill.cost, fill.fee)
            sign = 1 if order.side is Side.BUY else -1
            self.position += sign * fill.quantity

    def take(self, step: Step) -> None:
        """Do to the records what the comparison says."""
        match step:
            case UpdateOrder(order=order, report=report):
                self.hear(order, report)
            case EndOrder(order=order, status=status):
                self.orders[order.client_id] = replace(order, status=status)
            case AdoptOrder(report=report):
                order = adopted_order(report, report.client_id or "", NOW)
                self.orders[order.client_id] = order
                self.hear(order, report)
            case CountTrade(trade=trade):
                self.adopted.add(("trade", trade.trade_id))
                _pay(self.expected, trade.side, trade.quantity, trade.cost, trade.fee)
            case CountLedgerEntry(entry=entry):
                self.adopted.add(("ledger", entry.ledger_id))
                self.expected[entry.currency] += entry.amount - entry.fee
            case ReducePosition(quantity=quantity):
                self.position = quantity
            case CancelOrder():
                raise AssertionError("orphans are adopted here")

    def compare(self, there: dict[str, Decimal] | None = None) -> Comparison:
        """Hold one against the other."""
        ours = RecordedState(
            owns=lambda name: (name or "").startswith("own-"),
            orders=dict(self.orders),
            positions={SYMBOL: self.position},
            expected=dict(self.expected),
            counted=frozenset(self.adopted),
        )
        opened = tuple(report for report in self.reports.values() if report.status.is_open)
        theirs = VenueState(
            snapshot=AccountSnapshot(
                at=NOW,
                open_orders=opened,
                balances={
                    name: Balance(total=total) for name, total in (there or self.there).items()
                },
            ),
            # The venue tells the newest first.
            history=AccountHistory(
                since=0,
                trades=tuple(reversed(self.trades)),
                ledger=tuple(self.ledger),
                complete=True,
            ),
            reports={
                name: report
                for name, report in self.reports.items()
                if name in self.orders and not report.status.is_open
            },
            unrecorded={
                report.venue_id: report
                for name, report in self.reports.items()
                if name not in self.orders
            },
        )
        return compare(ours, theirs, POLICY, now=NOW, at_start=True)


def _trade(name: str, report: VenueOrder, at: float) -> VenueTrade:
    return VenueTrade(
        trade_id=name,
        venue_id=report.venue_id,
        client_id=None,
        symbol=report.symbol,
        side=report.side,
        quantity=report.filled,
        cost=report.cost,
        fee=report.fee,
        at=at,
    )


def _pay(
    amounts: dict[str, Decimal], side: Side, quantity: Decimal, cost: Decimal, fee: Decimal
) -> None:
    sign = 1 if side is Side.BUY else -1
    amounts["BTC"] += sign * quantity
    amounts["USD"] -= sign * cost + fee


QUANTITY = st.integers(1, 10**8).map(lambda lots: lots * LOT)


@st.composite
def lives(draw: Callable[[st.SearchStrategy[object]], object]) -> Account:
    """An account after some events, each of which the records saw or missed."""
    account = Account()
    for number in range(draw(st.integers(0, 8))):  # type: ignore[call-overload]
        kind = draw(st.sampled_from(["order", "order", "order", "stranger", "deposit"]))
        quantity = draw(QUANTITY)
        assert isinstance(quantity, Decimal)
        match kind:
            case "order":
                filled = draw(st.sampled_from([Decimal(0), LOT, quantity]))
                assert isinstance(filled, Decimal)
                side = draw(st.sampled_from(Side))
                assert isinstance(side, Side)
                known = draw(st.integers(0, 3))
                assert isinstance(known, int)
                account.order(side, quantity, min(filled, quantity), known=known)
            case "stranger":
                _stranger(account, number, quantity, seen=bool(draw(st.booleans())))
            case _:
                _deposit(account, number, quantity, seen=bool(draw(st.booleans())))
    return account


def _stranger(account: Account, number: int, quantity: Decimal, *, seen: bool) -> None:
    cost = (quantity * 100).quantize(LOT)
    trade = VenueTrade(
        trade_id=f"S{number}",
        venue_id=f"X{number}",
        client_id=None,
        symbol=SYMBOL,
        side=Side.BUY,
        quantity=quantity,
        cost=cost,
        fee=LOT,
        at=NOW - 500,
    )
    account.trades.append(trade)
    _pay(account.there, trade.side, quantity, cost, LOT)
    if seen:
        account.take(CountTrade(trade=trade))


def _deposit(account: Account, number: int, amount: Decimal, *, seen: bool) -> None:
    entry = LedgerEntry(
        ledger_id=f"L{number}",
        kind="deposit",
        currency="USD",
        amount=amount,
        fee=Decimal(0),
        at=NOW - 500,
    )
    account.ledger.append(entry)
    account.there["USD"] += amount
    if seen:
        account.take(CountLedgerEntry(entry=entry))


@given(lives())
@settings(max_examples=60)
def test_whatever_was_missed_is_remediated_exactly(account: Account) -> None:
    """One correcting pass makes the records the venue's, and a second finds nothing to do."""
    first = account.compare()
    assert not first.drift
    assert not first.halting
    for step in first.steps:
        account.take(step)
    assert account.expected == account.there
    for name, report in account.reports.items():
        if name in account.orders or report.filled or report.status.is_open:
            assert account.orders[name].filled == report.filled
    again = account.compare()
    assert again.steps == ()
    assert again.discrepancies == ()


@given(lives(), st.sampled_from(["BTC", "USD"]), st.integers(-(10**6), 10**6).filter(bool))
@settings(max_examples=60)
def test_what_nothing_explains_is_found_exactly(account: Account, currency: str, lots: int) -> None:
    """However much else was missed, the rest is reported to the last digit and not hidden."""
    wrong = {**account.there, currency: account.there[currency] + lots * LOT}
    found = account.compare(wrong)
    assert found.drift.balances[currency] == -lots * LOT
    assert found.halting
    for step in found.steps:
        account.take(step)
    again = account.compare(wrong)
    assert again.drift.balances[currency] == -lots * LOT
    assert again.halting
    assert again.steps == ()
