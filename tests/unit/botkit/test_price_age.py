"""How old a price may be that an order is placed on, whatever the clock does."""

from dataclasses import replace

import pytest

from tests.unit.botkit.risky import NOW, intent
from trading_ops.botkit.orders.checks import fresh_quote


@pytest.mark.parametrize(
    ("age", "denied"), [(0.0, False), (10.0, False), (10.1, True), (-10.0, False), (-600.0, True)]
)
def test_a_price_of_the_future_is_of_before_a_clock_that_was_set_back(
    age: float, denied: bool
) -> None:
    """It may be of any age, so it is too old."""
    meant = intent()
    denial = fresh_quote(10)(replace(meant, at=NOW, quote=replace(meant.quote, at=NOW - age)))
    assert (denial is not None) is denied
