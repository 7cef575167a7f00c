"""A small account to compare: what the records say, and what the venue does."""

from decimal import Decimal
from typing import Any

from trading_ops.agent import Side
from trading_ops.botkit.orders.order import Order, OrderStatus, VenueOrder
from trading_ops.botkit.reconciliation.compare import compare
from trading_ops.botkit.reconciliation.findings import Comparison
from trading_ops.botkit.reconciliation.state import Policy, RecordedState, VenueState
from trading_ops.botkit.venue.adapter import (
    AccountHistory,
    AccountSnapshot,
    Balance,
    LedgerEntry,
    VenueTrade,
)

NOW = 1_000.0
SYMBOL = "BTC/USD"
PREFIX = "own-"


def order(name: str = "own-1", **given: Any) -> Order:
    fields: dict[str, Any] = {
        "client_id": name,
        "symbol": SYMBOL,
        "side": Side.BUY,
        "price": Decimal(100),
        "quantity": Decimal(2),
        "created_at": NOW - 60,
        "venue_id": f"V{name[-1]}",
        "status": OrderStatus.ACCEPTED,
    }
    return Order(**(fields | given))


def venue_order(name: str | None = "own-1", filled: str = "0", **given: Any) -> VenueOrder:
    done = Decimal(filled)
    fields: dict[str, Any] = {
        "venue_id": f"V{(name or '?')[-1]}",
        "client_id": name,
        "symbol": SYMBOL,
        "side": Side.BUY,
        "price": Decimal(100),
        "quantity": Decimal(2),
        "status": OrderStatus.ACCEPTED,
        "filled": done,
        "cost": done * 100,
        "fee": done / 10,
    }
    return VenueOrder(**(fields | given))


def trade(name: str = "T1", venue_id: str = "X", **given: Any) -> VenueTrade:
    fields: dict[str, Any] = {
        "trade_id": name,
        "venue_id": venue_id,
        "client_id": None,
        "symbol": SYMBOL,
        "side": Side.SELL,
        "quantity": Decimal(1),
        "cost": Decimal(100),
        "fee": Decimal(0),
        "at": NOW - 10,
    }
    return VenueTrade(**(fields | given))


def deposit(name: str = "L1", amount: str = "10") -> LedgerEntry:
    return LedgerEntry(
        ledger_id=name,
        kind="deposit",
        currency="USD",
        amount=Decimal(amount),
        fee=Decimal(1),
        at=NOW - 10,
    )


def run(
    *,
    orders: tuple[Order, ...] = (),
    held: str = "0",
    expected: tuple[str, str] = ("0", "1000"),
    opened: tuple[VenueOrder, ...] = (),
    reports: dict[str, VenueOrder | None] | None = None,
    unrecorded: tuple[VenueOrder, ...] = (),
    trades: tuple[VenueTrade, ...] = (),
    ledger: tuple[LedgerEntry, ...] = (),
    complete: bool = True,
    counted: tuple[tuple[str, str], ...] = (),
    there: tuple[str, str] = ("0", "1000"),
    reported: dict[str, Decimal] | None = None,
    policy: Policy | None = None,
    at_start: bool = True,
) -> Comparison:
    """Compare; `expected` and `there` are the balances in BTC and USD."""
    ours = RecordedState(
        owns=lambda name: (name or "").startswith(PREFIX),
        orders={recorded.client_id: recorded for recorded in orders},
        positions={SYMBOL: Decimal(held)},
        expected=dict(zip(("BTC", "USD"), map(Decimal, expected), strict=True)),
        counted=counted,
    )
    theirs = VenueState(
        snapshot=AccountSnapshot(
            at=NOW,
            open_orders=opened,
            balances={
                currency: Balance(total=Decimal(total))
                for currency, total in zip(("BTC", "USD"), there, strict=True)
            },
            positions=reported or {},
        ),
        history=AccountHistory(since=0, trades=trades, ledger=ledger, complete=complete),
        reports=reports or {},
        unrecorded={unknown.venue_id: unknown for unknown in unrecorded},
    )
    return compare(ours, theirs, policy or Policy(), now=NOW, at_start=at_start)
