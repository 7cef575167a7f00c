"""Which signals may be acted on, and who decides: tables and properties, no process."""

import math
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_ops_lab.paper.bot.signals.advice import Decider
from trading_ops_lab.paper.bot.signals.model_process import answer, momentum
from trading_ops_lab.paper.bot.signals.source import Market, Signal
from trading_ops_lab.paper.bot.signals.validation import fault_of, usable
from trading_ops_lab.paper.bot.trading.strategy import Target

NOW = 1_750_000_000.0
MARKET = Market(symbol="BTC/USD", prices=(Decimal(1), Decimal(2)), at=NOW)
GOOD = Signal(
    id="m-1",
    source="model",
    symbol="BTC/USD",
    target=Target.LONG,
    at=NOW - 1,
    confidence=0.7,
    horizon_seconds=30.0,
)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({}, None),
        ({"confidence": 0.0}, None),
        ({"confidence": 1.0}, None),
        ({"confidence": None, "horizon_seconds": None}, None),
        ({"at": NOW + 0.5}, None),
        ({"symbol": "ETH/USD"}, "ETH/USD"),
        ({"symbol": "x" * 10_000}, "instead of"),
        ({"target": Target.UNKNOWN}, "target"),
        ({"confidence": math.nan}, "confidence"),
        ({"confidence": math.inf}, "confidence"),
        ({"confidence": 1.01}, "confidence"),
        ({"confidence": -0.01}, "confidence"),
        ({"horizon_seconds": 0.0}, "horizon"),
        ({"horizon_seconds": -1.0}, "horizon"),
        ({"horizon_seconds": 1e9}, "horizon"),
        ({"horizon_seconds": math.nan}, "horizon"),
        ({"at": math.nan}, "time"),
        ({"at": NOW + 5}, "time"),
        ({"at": NOW - 6}, "old"),
    ],
)
def test_what_is_wrong_with_an_answer(change: dict[str, object], problem: str | None) -> None:
    """Each fault has its word, and a hostile text is cut short."""
    fault = fault_of(replace(GOOD, **change), MARKET, now=NOW, maximum_age=5)  # type: ignore[arg-type]
    assert (fault is None) if problem is None else (fault is not None and problem in fault)
    assert fault is None or len(fault) < 100


@pytest.mark.parametrize(
    ("horizon", "age", "good"),
    [(30.0, 4.9, True), (30.0, 5.1, False), (2.0, 1.9, True), (2.0, 2.1, False), (None, 4, True)],
)
def test_a_signal_lasts_as_long_as_it_says_and_no_longer_than_is_allowed(
    horizon: float | None, age: float, good: bool
) -> None:
    """Whichever is shorter."""
    signal = replace(GOOD, at=NOW - age, horizon_seconds=horizon)
    assert usable(signal, now=NOW, maximum_age=5) is good
    assert not usable(None, now=NOW, maximum_age=5)


@given(
    passes=st.lists(st.tuples(st.booleans(), st.booleans()), max_size=60),
    recover_after=st.integers(1, 6),
)
def test_to_the_fallback_at_once_and_back_after_good_rounds(
    passes: list[tuple[bool, bool]], recover_after: int
) -> None:
    """The model never decides without a usable signal, nor before it proved itself."""
    decider = Decider(recover_after)
    good_rounds = 0
    since_fallback = 0
    for is_usable, answers_well in passes:
        good_rounds = good_rounds + 1 if answers_well else 0
        before = decider.model_decides
        changed = decider.update(usable=is_usable, good_rounds=good_rounds)
        assert changed is (decider.model_decides is not before)
        if decider.model_decides:
            assert is_usable
            assert before or good_rounds >= recover_after
        else:
            since_fallback += 1
            assert not is_usable or not before
            assert not (is_usable and good_rounds >= recover_after)


def test_the_model_is_seeded() -> None:
    """The same question has the same answer; another seed may say another thing."""
    question = {"id": 1, "symbol": "BTC/USD", "prices": ["1", "2", "3", "4"], "at": NOW}
    first, again, other = (answer(question, seed, NOW) for seed in (7, 7, 8))
    assert first == again
    assert first["target"] == "long"
    assert first["confidence"] != other["confidence"]
    assert 0.5 <= first["confidence"] <= 1


@given(st.lists(st.floats(0.01, 1e9), min_size=1, max_size=50))
def test_momentum_is_a_number(prices: list[float]) -> None:
    """Whatever the prices; without any noise it is nothing."""
    assert math.isfinite(momentum(prices))
    assert momentum([5.0] * 8) == 0
