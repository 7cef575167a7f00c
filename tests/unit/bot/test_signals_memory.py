"""What the signals go on from after a restart."""

from decimal import Decimal

import msgspec
import pytest

from trading_ops_lab.paper.bot.signals.prices import (
    MAX_PRICES,
    SignalPrices,
    prices_to_store,
    recent_prices,
)
from trading_ops_lab.paper.bot.trading.strategy import Cross, Target

PRICES = [Decimal(text) for text in ("1.10", "2", "3", "4", "5.000")]


@pytest.mark.parametrize(("age", "kept"), [(0, True), (60, True), (61, False), (-1, False)])
def test_only_young_prices_are_gone_on_from(age: float, kept: bool) -> None:
    """After a longer gap, or with a clock that was set back, the averages start again."""
    stored = prices_to_store(1000.0, {"BTC/USD": PRICES})
    found = recent_prices(stored, 1000.0 + age, within_seconds=60)
    assert found == ({"BTC/USD": PRICES} if kept else {})


def test_nothing_is_recalled_of_nothing() -> None:
    """A first start has no earlier prices."""
    assert recent_prices(None, 0.0, within_seconds=60) == {}


def test_what_is_kept_is_exact_and_small() -> None:
    """Every digit comes back, and an average that is too long is left out."""
    stored = prices_to_store(
        7.0, {"BTC/USD": PRICES, "ETH/USD": [Decimal(1)] * (MAX_PRICES + 1), "X/Y": []}
    )
    again = msgspec.json.decode(msgspec.json.encode(stored), type=SignalPrices)
    assert again == stored
    assert [str(price) for price in again.prices["BTC/USD"]] == [str(price) for price in PRICES]
    assert set(again.prices) == {"BTC/USD"}


def test_a_cross_goes_on_as_if_nothing_had_been() -> None:
    """With an earlier life's prices the next one decides what the first one would have."""
    first = Cross(2, 5)
    for price in PRICES:
        first.see(price)
    second = Cross(2, 5)
    second.resume(first.prices)
    assert second.see(Decimal(1)) is first.see(Decimal(1)) is not Target.UNKNOWN
    assert second.prices == first.prices
