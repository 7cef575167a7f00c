"""Records against the venue: each way in which they can differ, what is made of it, and why."""

from decimal import Decimal
from typing import Any

import pytest

from tests.unit.botkit.compared_account import NOW, SYMBOL, deposit, order, run, trade, venue_order
from trading_ops.agent import Side
from trading_ops.botkit.orders.order import OrderStatus
from trading_ops.botkit.reconciliation.findings import (
    AdoptOrder,
    CancelOrder,
    CountLedgerEntry,
    CountTrade,
    EndOrder,
    ReducePosition,
    UpdateOrder,
)
from trading_ops.botkit.reconciliation.state import ExternalTradePolicy, OrphanPolicy, Policy

FILLED, CANCELLED = OrderStatus.FILLED, OrderStatus.CANCELLED
SUBMITTED, PARTLY = OrderStatus.SUBMITTED, OrderStatus.PARTIALLY_FILLED
ADOPT = Policy(orphaned_orders=OrphanPolicy.ADOPT, external_trades=ExternalTradePolicy.ADOPT)

# name: what is given, the findings as (cause, remedy), the kinds of the steps
CASES: dict[str, tuple[dict[str, Any], list[tuple[str, str]], list[type]]] = {
    "nothing differs": ({"orders": (order(),), "opened": (venue_order(),)}, [], []),
    "filled while we were away": (
        {
            "orders": (order(),),
            "reports": {"own-1": venue_order(filled="2", status=FILLED)},
            "there": ("2", "799.8"),
        },
        [("missed_fill", "correct"), ("finished_order", "correct")],
        [UpdateOrder],
    ),
    "cancelled while we were away": (
        {"orders": (order(),), "reports": {"own-1": venue_order(status=CANCELLED)}},
        [("finished_order", "correct")],
        [UpdateOrder],
    ),
    "partly filled and still open": (
        {"orders": (order(),), "opened": (venue_order(filled="1"),), "there": ("1", "899.9")},
        [("missed_fill", "correct")],
        [UpdateOrder],
    ),
    "a fill that was reported late, after the order had ended here": (
        {
            "orders": (order(status=CANCELLED),),
            "reports": {"own-1": venue_order(filled="1", status=CANCELLED)},
            "there": ("1", "899.9"),
        },
        [("missed_fill", "correct")],
        [UpdateOrder],
    ),
    "the answer was lost, and the order is there": (
        {"orders": (order(status=SUBMITTED, venue_id=None),), "opened": (venue_order(),)},
        [],
        [UpdateOrder],
    ),
    "the answer was lost, and the order was filled: its trade is ours": (
        {
            "orders": (order(status=SUBMITTED, venue_id=None),),
            "reports": {"own-1": venue_order(filled="1", status=FILLED)},
            "trades": (trade(venue_id="V1", side=Side.BUY),),
            "there": ("1", "899.9"),
        },
        [("missed_fill", "correct"), ("finished_order", "correct")],
        [UpdateOrder],
    ),
    "the answer was lost, and the order is partly filled": (
        {
            "orders": (order(status=SUBMITTED, venue_id=None),),
            "opened": (venue_order(filled="1"),),
            "trades": (trade(venue_id="V1", side=Side.BUY),),
            "there": ("1", "899.9"),
        },
        [("missed_fill", "correct")],
        [UpdateOrder],
    ),
    "the answer was lost, and the order never arrived": (
        {"orders": (order(status=SUBMITTED, venue_id=None),), "reports": {"own-1": None}},
        [("lost_order", "correct")],
        [EndOrder],
    ),
    "sent a moment ago: it may still arrive": (
        {
            "orders": (order(status=SUBMITTED, venue_id=None, created_at=NOW - 1),),
            "reports": {"own-1": None},
        },
        [("lost_order", "wait")],
        [],
    ),
    "an orphan is recorded and cancelled": (
        {"opened": (venue_order("own-9"),)},
        [("orphaned_order", "cancel")],
        [AdoptOrder, CancelOrder],
    ),
    "an orphan that is partly filled counts": (
        {"opened": (venue_order("own-9", filled="1"),), "there": ("1", "899.9")},
        [("orphaned_order", "cancel")],
        [AdoptOrder, CancelOrder],
    ),
    "an orphan is adopted by setting": (
        {"opened": (venue_order("own-9"),), "policy": ADOPT},
        [("orphaned_order", "correct")],
        [AdoptOrder],
    ),
    "another client's open order is not ours": ({"opened": (venue_order("theirs"),)}, [], []),
    "an open order without any id is none of ours": ({"opened": (venue_order(None),)}, [], []),
    "a fill of an order that we forgot": (
        {
            "trades": (trade(venue_id="V9", side=Side.BUY),),
            "unrecorded": (venue_order("own-9", filled="1", status=FILLED),),
            "there": ("1", "899.9"),
        },
        [("unknown_fill", "correct")],
        [AdoptOrder],
    ),
    "two fills of it are one order": (
        {
            "trades": (
                trade("T1", venue_id="V9", side=Side.BUY),
                trade("T2", venue_id="V9", side=Side.BUY),
            ),
            "unrecorded": (venue_order("own-9", filled="2", status=FILLED),),
            "there": ("2", "799.8"),
        },
        [("unknown_fill", "correct")],
        [AdoptOrder],
    ),
    "our own recorded trade is no news": (
        {"orders": (order(status=FILLED),), "trades": (trade(venue_id="V1"),)},
        [],
        [],
    ),
    "another client sells on the account": (
        {"expected": ("3", "1000"), "trades": (trade(),), "there": ("2", "1100")},
        [("external_trade", "halt")],
        [CountTrade],
    ),
    "another client sells, and that is allowed": (
        {"expected": ("3", "1000"), "trades": (trade(),), "there": ("2", "1100"), "policy": ADOPT},
        [("external_trade", "correct")],
        [CountTrade],
    ),
    "it is counted once": (
        {
            "expected": ("2", "1100"),
            "trades": (trade(),),
            "there": ("2", "1100"),
            "counted": (("trade", "T1"),),
        },
        [],
        [],
    ),
    "another client sells what the bot had bought": (
        {
            "held": "2",
            "expected": ("2", "1000"),
            "trades": (trade(),),
            "there": ("1", "1100"),
            "policy": ADOPT,
        },
        [("external_trade", "correct"), ("quantity_smaller", "correct")],
        [CountTrade, ReducePosition],
    ),
    "a deposit": (
        {"ledger": (deposit(),), "there": ("0", "1009")},
        [("balance", "correct")],
        [CountLedgerEntry],
    ),
    "a deposit that was counted before": (
        {"ledger": (deposit(),), "counted": (("ledger", "L1"),)},
        [],
        [],
    ),
    "less is there, and nothing says why": (
        {"held": "2", "expected": ("2", "1000"), "there": ("1", "1000")},
        [("quantity_smaller", "halt")],
        [],
    ),
    "more is there, and nothing says why": (
        {"held": "1", "expected": ("1", "1000"), "there": ("2", "1000")},
        [("quantity_larger", "halt")],
        [],
    ),
    "cash is missing, to the last digit": (
        {"there": ("0", "999.99999999")},
        [("balance", "halt")],
        [],
    ),
    "the venue keeps positions, and ours has the other sign": (
        {"held": "1", "reported": {SYMBOL: Decimal(-1)}},
        [("side_flipped", "halt")],
        [],
    ),
    "the venue's position is smaller": (
        {"held": "2", "reported": {SYMBOL: Decimal(1)}},
        [("quantity_smaller", "halt")],
        [],
    ),
    "the venue's position is larger": (
        {"held": "1", "reported": {SYMBOL: Decimal(2)}},
        [("quantity_larger", "halt")],
        [],
    ),
    "the venue has a position that we know nothing of": (
        {"reported": {"ETH/USD": Decimal(2)}},
        [("quantity_larger", "halt")],
        [],
    ),
    "history is cut off, and nothing differs": (
        {"complete": False},
        [("partial_history", "leave")],
        [],
    ),
    "history is cut off, and something differs": (
        {"complete": False, "there": ("0", "990")},
        [("balance", "halt"), ("partial_history", "halt")],
        [],
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_each_case(case: tuple[dict[str, Any], list[tuple[str, str]], list[type]]) -> None:
    given, findings, steps = case
    found = run(**given)
    assert [
        (discrepancy.cause, discrepancy.remedy) for discrepancy in found.discrepancies
    ] == findings
    assert [type(step) for step in found.steps] == steps
    unexplained = {"quantity_smaller", "quantity_larger", "side_flipped", "balance"}
    assert bool(found.drift) == any(
        remedy == "halt" and cause in unexplained for cause, remedy in findings
    )


def test_drift_is_exact_and_signed() -> None:
    """It is ours minus theirs, in decimal digits that no float has."""
    found = run(held="1", expected=("1", "1000"), there=("1.00000001", "1000.5"))
    assert found.drift.positions == {SYMBOL: Decimal("-0.00000001")}
    assert found.drift.balances == {"BTC": Decimal("-0.00000001"), "USD": Decimal("-0.5")}


def test_what_was_heard_between_is_no_news_and_proves_nothing() -> None:
    """While the bot trades, a fill is heard like any other; drift beside it is not counted."""
    found = run(
        orders=(order(),), opened=(venue_order(filled="1"),), there=("1", "899.9"), at_start=False
    )
    assert not found.discrepancies
    assert found.in_flight
    assert [type(step) for step in found.steps] == [UpdateOrder]


@pytest.mark.parametrize(
    ("given", "in_flight"),
    [
        (order(status=SUBMITTED, venue_id=None, created_at=NOW), True),
        (order(status=OrderStatus.ACCEPTED), True),
        (order(status=CANCELLED), False),
    ],
)
def test_an_order_that_no_one_asked_about_is_in_flight(given: Any, in_flight: bool) -> None:
    """One that was sent while the venue was read is in no answer, and is not lost for that."""
    found = run(orders=(given,))
    assert found.in_flight == in_flight
    assert not found.steps


def test_partly_filled_order_that_is_lost_ends_as_cancelled() -> None:
    """What was filled stays filled; only the rest is gone."""
    held = order(status=PARTLY, filled=Decimal(1), cost=Decimal(100), fee=Decimal("0.1"))
    found = run(
        orders=(held,),
        reports={"own-1": None},
        held="1",
        expected=("1", "899.9"),
        there=("1", "899.9"),
    )
    (step,) = found.steps
    assert isinstance(step, EndOrder)
    assert step.status is CANCELLED
    assert not found.drift


def test_forgotten_orders_are_reported_in_the_order_of_their_trades() -> None:
    """The venue tells the newest first; a position is made in the order in which it was."""
    found = run(
        trades=(
            trade("T2", venue_id="V9", side=Side.SELL, at=NOW - 1),
            trade("T1", venue_id="V8", side=Side.BUY, at=NOW - 2),
        ),
        unrecorded=(
            venue_order("own-9", filled="1", status=FILLED, side=Side.SELL),
            venue_order("own-8", filled="1", status=FILLED),
        ),
        there=("0", "999.8"),
    )
    assert [step.report.client_id for step in found.steps if isinstance(step, AdoptOrder)] == [
        "own-8",
        "own-9",
    ]
    assert not found.drift
