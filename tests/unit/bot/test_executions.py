"""What executions add up to: with losses, repeats and late fills nothing ever counts twice."""

from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_ops_lab.paper.bot.brokerage.executions import Execution, Executions, Fee, Sums


def opened(order: str = "O1", filled: str = "0") -> Execution:
    return Execution(order_id=order, exec_type="pending_new", cum_qty=Decimal(filled))


def trade(number: int, qty: str = "1", asset: str = "USD", order: str = "O1") -> Execution:
    return Execution(
        order_id=order,
        exec_type="trade",
        exec_id=f"T{number}",
        symbol="BTC/USD",
        last_qty=Decimal(qty),
        cost=Decimal(qty) * 100,
        fees=[Fee(asset=asset, qty=Decimal(qty) / 10)],
    )


def ended(kind: str, qty: str, cost: str | None = None) -> Execution:
    return Execution(
        order_id="O1",
        exec_type=kind,
        cum_qty=Decimal(qty),
        cum_cost=Decimal(cost) if cost else Decimal(qty) * 100,
    )


def sums(qty: str) -> Sums:
    return Sums(Decimal(qty), Decimal(qty) * 100, Decimal(qty) / 10)


def test_fills_of_an_order_seen_from_nothing_on_add_up() -> None:
    executions = Executions()
    received = [opened(), trade(1), trade(2, "0.5"), trade(1), ended("filled", "1.5")]
    totals = [executions.hear(message) for message in received]
    assert totals == [Sums(), sums("1"), sums("1.5"), sums("1.5"), sums("1.5")]
    assert executions.sums("O1") is None, "an order that ended is forgotten"
    assert executions.hear(trade(3)) is None


def test_nothing_is_reported_of_an_order_that_was_partly_filled_before() -> None:
    executions = Executions()
    executions.begin([opened("O1", "1"), opened("O2")])
    assert executions.hear(trade(1)) is None
    assert executions.hear(trade(2, order="O2")) == sums("1")
    assert executions.hear(opened("O3", "0.1")) is None
    assert executions.hear(trade(4, order="O3")) is None
    executions.begin([])
    assert executions.hear(trade(3, order="O2")) is None, "what was before a gap is no base"


SPOILERS: list[tuple[str, Callable[[], Execution]]] = [
    ("a fee in another currency", lambda: trade(1, asset="BTC")),
    ("no id", lambda: Execution(order_id="O1", exec_type="trade", last_qty=Decimal(1))),
    ("an end with another quantity", lambda: ended("filled", "2")),
    ("an end with another cost", lambda: ended("canceled", "0", "5")),
]


@pytest.mark.parametrize(("what", "spoiler"), SPOILERS, ids=[name for name, _ in SPOILERS])
def test_what_does_not_fit_has_to_be_asked(what: str, spoiler: Callable[[], Execution]) -> None:
    executions = Executions()
    executions.hear(opened())
    assert executions.hear(spoiler()) is None, what
    assert executions.hear(trade(9)) is None, "and so has all that follows"


@given(
    quantities=st.lists(st.integers(1, 1000), min_size=1, max_size=8),
    order=st.randoms(use_true_random=False),
    repeats=st.lists(st.integers(0, 7), max_size=6),
)
def test_any_order_with_repeats_has_the_same_sum(
    quantities: list[int], order: object, repeats: list[int]
) -> None:
    fills = [trade(n, str(Decimal(q) / 1000)) for n, q in enumerate(quantities)]
    repeated = fills + [fills[n % len(fills)] for n in repeats]
    order.shuffle(repeated)  # type: ignore[attr-defined]
    executions = Executions()
    executions.hear(opened())
    for message in repeated:
        executions.hear(message)
    total = str(sum((Decimal(q) / 1000 for q in quantities), Decimal(0)))
    assert executions.hear(ended("filled", total)) == sums(total)


@given(
    quantities=st.lists(st.integers(1, 1000), min_size=2, max_size=8),
    lost=st.sets(st.integers(0, 7), min_size=1),
)
def test_an_end_after_lost_fills_is_never_believed(quantities: list[int], lost: set[int]) -> None:
    fills = [trade(n, str(Decimal(q) / 1000)) for n, q in enumerate(quantities)]
    gone = {n % len(fills) for n in lost}
    executions = Executions()
    executions.hear(opened())
    for number, fill in enumerate(fills):
        if number not in gone:
            executions.hear(fill)
    total = str(sum((Decimal(q) / 1000 for q in quantities), Decimal(0)))
    assert executions.hear(ended("filled", total)) is None
