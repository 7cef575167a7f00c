"""The venue's small rules as tables: rate limits, checksums, targets of faults."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from trading_ops_lab.paper.venue.errors import VenueRefusal
from trading_ops_lab.paper.venue.faults import Caller, FaultBoard, FaultRequest
from trading_ops_lab.paper.venue.feed.shapes import checksum
from trading_ops_lab.paper.venue.limits import Counter, Limits
from trading_ops_lab.paper.venue.pairs import PAIRS

ALPHA = Caller("Balance", "private", "alpha", "alpha")


def test_a_counter_sinks_with_time_and_never_below_zero() -> None:
    """Costs add up, decay takes away; a clock that goes back gives nothing back."""
    counter = Counter()
    assert counter.add(10, 100.0, 0.5) == 10
    assert counter.add(1, 110.0, 0.5) == 6
    assert counter.add(1, 105.0, 0.5) == 7
    assert counter.add(1, 9999.0, 0.5) == 1


@pytest.mark.parametrize(
    ("tier", "calls"), [("starter", 15), ("intermediate", 20), ("pro", 20), (None, 1000)]
)
def test_each_tier_has_its_calls(tier: Any, calls: int) -> None:
    """So many at once, and then one each time the counter has sunk by one."""
    limits = Limits(FaultBoard(), tier)
    for _ in range(calls):
        limits.call(ALPHA, 100.0)
    if tier is not None:
        with pytest.raises(VenueRefusal, match="EAPI:Rate limit exceeded"):
            limits.call(ALPHA, 100.0)
        limits.call(ALPHA, 200.0)


@pytest.mark.parametrize(
    ("age", "cost"), [(0, 8), (4.9, 8), (5, 6), (10, 5), (15, 4), (45, 2), (90, 1), (300, 0)]
)
def test_a_cancel_costs_less_the_older_the_order(age: float, cost: int) -> None:
    """Kraken's table: what is left for new orders tells what the cancel cost."""
    limits = Limits(FaultBoard(), "starter")
    limits.cancel(ALPHA, "XXBTZUSD", age, 100.0)
    for _ in range(60 - cost):
        limits.add(ALPHA, "XXBTZUSD", 0, 100.0)
    with pytest.raises(VenueRefusal, match="EOrder:Rate limit exceeded"):
        limits.add(ALPHA, "XXBTZUSD", 0, 100.0)
    limits.add(ALPHA, "XETHZUSD", 0, 100.0)


def test_only_so_many_orders_may_be_open() -> None:
    """The sixtieth of a Starter is the last."""
    limits = Limits(FaultBoard(), "starter")
    limits.add(ALPHA, "XXBTZUSD", 59, 100.0)
    with pytest.raises(VenueRefusal, match="EOrder:Orders limit exceeded"):
        limits.add(ALPHA, "XXBTZUSD", 60, 101.0)


def test_the_checksum_is_krakens() -> None:
    """The example of Kraken's documentation, so that the formula is theirs and not only ours."""
    pair = msgspec.structs.replace(PAIRS["XETHXXBT"], price_decimals=5)
    volume = Decimal("0.00000500")
    asks = {Decimal(5005 + 5 * n).scaleb(-5): volume for n in range(10)}
    prices = ("5000", "4995", "4990", "4980", "4975", "4970", "4965", "4960", "4955", "4950")
    bids = {Decimal(price).scaleb(-5): volume for price in prices}
    assert checksum(pair, bids, asks) == 974947235


def inject(board: FaultBoard, **fields: Any) -> str:
    context: dict[str, Any] = {"now": 100.0, "last_session": 0, "connections": frozenset()}
    request = msgspec.convert(fields, FaultRequest)
    return board.inject(request, fault_id=str(len(board.active)), **context).id


@pytest.mark.parametrize(
    ("target", "met"),
    [
        ({}, True),
        ({"methods": ["Balance"]}, True),
        ({"methods": ["balances"]}, True),
        ({"methods": ["private", "AddOrder"]}, True),
        ({"methods": ["orders"]}, False),
        ({"methods": ["public"]}, False),
        ({"keys": ["alpha"]}, True),
        ({"keys": ["manual"]}, False),
        ({"accounts": ["manual"], "keys": ["alpha"]}, False),
    ],
)
def test_a_target_is_all_that_it_names(target: dict[str, Any], met: bool) -> None:
    """Method and key and account must fit."""
    board = FaultBoard()
    inject(board, kind="slow", **target)
    assert (board.strike("slow", ALPHA) is not None) is met


def test_no_fault_meets_a_hand() -> None:
    """Requests to the fault port are never broken."""
    board = FaultBoard()
    inject(board, kind="partial_cancel")
    assert board.strike("partial_cancel", Caller("AddOrder", "hand", "hand", "alpha")) is None


def test_a_count_is_struck_and_then_over() -> None:
    """It strikes so often, meets no one afterwards, and ends; what hangs is let go later."""
    board = FaultBoard()
    spent = inject(board, kind="slow", count=2)
    assert [board.strike("slow", ALPHA) is not None for _ in range(4)] == [True, True, False, False]
    assert board.find("slow") is None
    assert [fault.id for fault in board.expire(100.0)] == [spent]
    hangs = inject(board, kind="hang", count=1)
    assert board.strike("hang", ALPHA) is not None
    assert board.strike("hang", ALPHA) is None
    assert board.expire(100.0) == []
    assert list(board.active) == [hangs]


def test_an_older_fault_strikes_when_the_newer_one_does_not_meet() -> None:
    """Two faults of a kind for two keys do not hide each other."""
    board = FaultBoard()
    inject(board, kind="http_5xx", code=501, keys=["alpha"])
    inject(board, kind="http_5xx", code=502, keys=["manual"])
    struck = board.strike("http_5xx", ALPHA)
    assert struck is not None
    assert struck.code == 501
