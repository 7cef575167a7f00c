"""What a trade of ccxt changes on the account."""

from decimal import Decimal

import pytest

from trading_ops.botkit.venue.ccxt_values import trade_of


@pytest.mark.parametrize(("side", "change"), [("buy", "0.299"), ("sell", "0.301")])
def test_a_fee_in_base_currency_is_part_of_the_quantity(side: str, change: str) -> None:
    """A purchase brings less, a sale takes more."""
    trade = trade_of(
        {
            "id": "1",
            "order": "2",
            "symbol": "BTC/USD",
            "side": side,
            "amount": "0.3",
            "cost": "30",
            "fee": {"currency": "BTC", "cost": "0.001"},
            "timestamp": 1000,
        }
    )
    assert (trade.quantity, trade.fee) == (Decimal(change), Decimal(0))
