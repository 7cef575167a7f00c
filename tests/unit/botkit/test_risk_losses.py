"""Results, trading days, heights and accepted losses."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_ops.botkit.orders.order import Position
from trading_ops.botkit.risk.losses import (
    LossState,
    TradingDay,
    begin_day,
    daily_loss,
    drawdown,
    result_of,
    threshold,
    trading_day,
    update_highest,
)

LIMIT = Decimal(30)


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("moment", "zone", "start", "day"),
    [
        ("2026-11-21T00:00", "UTC", "00:00", "2026-11-21"),
        ("2026-11-20T23:59", "UTC", "00:00", "2026-11-20"),
        ("2026-11-21T21:59", "UTC", "22:00", "2026-11-20"),
        ("2026-11-21T22:00", "UTC", "22:00", "2026-11-21"),
        ("2026-11-21T22:00", "America/New_York", "17:00", "2026-11-21"),
        ("2026-11-21T21:59", "America/New_York", "17:00", "2026-11-20"),
        # Summer time: 17:00 there is an hour earlier in UTC.
        ("2026-07-21T21:00", "America/New_York", "17:00", "2026-07-21"),
        ("2026-11-21T15:00", "Asia/Tokyo", "00:00", "2026-11-22"),
    ],
)
def test_trading_day(moment: str, zone: str, start: str, day: str) -> None:
    """It starts at its hour, in its zone."""
    assert trading_day(at(moment), zone=zone, start=start) == day


@given(st.floats(0, 4e9), st.floats(0, 86_400 * 3))
def test_days_follow_each_other(moment: float, later: float) -> None:
    """Never backwards, as long as the clock does not go so."""
    days = [trading_day(t, zone="Europe/Berlin", start="17:30") for t in (moment, moment + later)]
    assert days == sorted(days)


def test_result_counts_what_was_realized_and_what_is_open() -> None:
    """Of the currency's symbols alone; what has no price makes it unknown."""
    positions = {
        "BTC/USD": Position(quantity=Decimal(2), cost=Decimal(10), realized=Decimal(-1)),
        "ETH/USD": Position(realized=Decimal(3)),
        "ETH/EUR": Position(realized=Decimal(100)),
    }
    assert result_of(positions, {"BTC/USD": Decimal(4)}, "USD") == Decimal(0)
    assert result_of(positions, {}, "USD") is None
    assert result_of(positions, {}, "EUR") == Decimal(100)


def test_a_day_begins_once_and_never_again() -> None:
    """Neither a restart on the same day nor a clock that was set back gives a new allowance."""
    state = LossState()
    assert begin_day(state, "USD", "2026-11-21", Decimal(5))
    assert not begin_day(state, "USD", "2026-11-21", Decimal(1))
    assert not begin_day(state, "USD", "2026-11-20", Decimal(1))
    assert state.days["USD"] == TradingDay(name="2026-11-21", first=Decimal(5))
    assert daily_loss(state, "USD", Decimal(1)) == Decimal(4)
    assert daily_loss(state, "USD", Decimal(6)) == Decimal(0)
    assert begin_day(state, "USD", "2026-11-22", Decimal(1))
    assert daily_loss(state, "USD", Decimal(1)) == Decimal(0)


def test_drawdown_is_from_the_highest_result_and_at_least_from_zero() -> None:
    """A bot that never won has lost what it is below its beginning."""
    state = LossState()
    assert drawdown(state, "USD", Decimal(-7)) == Decimal(7)
    assert not update_highest(state, "USD", Decimal("0.3"), LIMIT)
    assert update_highest(state, "USD", Decimal("0.31"), LIMIT)
    assert update_highest(state, "USD", Decimal(10), LIMIT)
    assert not update_highest(state, "USD", Decimal(9), LIMIT)
    assert drawdown(state, "USD", Decimal(-7)) == Decimal(17)


@given(st.lists(st.decimals(-100, 100, places=2), max_size=50))
def test_what_is_remembered_is_at_most_a_hundredth_of_the_limit_off(
    results: list[Decimal],
) -> None:
    """So much a crash, or the saving of writes, may cost; and the height never falls."""
    state, top = LossState(), Decimal(0)
    for result in results:
        before = drawdown(state, "USD", Decimal(-100))
        update_highest(state, "USD", result, LIMIT)
        top = max(top, result)
        assert drawdown(state, "USD", Decimal(-100)) >= before
        assert 0 <= top - state.highest.get("USD", Decimal(0)) <= LIMIT / 100


@pytest.mark.parametrize(
    ("accepted", "expected"), [(None, "10"), ("10.5", "13"), ("7", "10"), ("20", "22.5")]
)
def test_after_a_person_released_a_quarter_more_holds_it_again(
    accepted: str | None, expected: str
) -> None:
    """Beyond what was accepted, and never below the limit itself."""
    given_up = None if accepted is None else Decimal(accepted)
    assert threshold(Decimal(10), given_up, Decimal(25)) == Decimal(expected)
