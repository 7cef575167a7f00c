"""Orders, positions and money, as values."""

from decimal import Decimal

import pytest

from tests.service.bot.values import QUOTE, order
from trading_ops.agent import Side
from trading_ops.botkit.orders.order import (
    Fill,
    OrderStatus,
    Position,
    VenueOrder,
    apply_report,
    new_client_id,
    own_prefix,
)
from trading_ops.instrument import BotMetrics
from trading_ops_lab.paper.bot.trading.money import record_money

pytestmark = pytest.mark.processes


def fill(quantity: str, cost: str, fee: str = "0") -> Fill:
    return Fill(
        client_id="c",
        quantity=Decimal(quantity),
        upto=Decimal(quantity),
        cost=Decimal(cost),
        fee=Decimal(fee),
    )


def position(quantity: str, cost: str, realized: str = "0") -> Position:
    return Position(quantity=Decimal(quantity), cost=Decimal(cost), realized=Decimal(realized))


def test_position_through_a_round_trip() -> None:
    """Buying averages with fees, selling realizes its share, and all sold leaves nothing."""
    held = Position().after(Side.BUY, fill("1", "100", "1")).after(Side.BUY, fill("1", "102", "1"))
    assert held == position("2", "204")
    assert held.unrealized(Decimal(110)) == 16
    held = held.after(Side.SELL, fill("1", "110", "2"))
    assert held == position("1", "102", "6")
    held = held.after(Side.SELL, fill("1", "90", "0"))
    assert held == position("0", "0", "-6")


def test_selling_more_than_is_known_never_goes_short() -> None:
    """When records were lost, the position ends at zero and what was not paid cost nothing."""
    held = Position(quantity=Decimal(1), cost=Decimal(100)).after(Side.SELL, fill("2", "300"))
    assert held == position("0", "0", "200")
    assert Position().after(Side.SELL, fill("1", "50")).realized == 50


@pytest.mark.parametrize(
    ("filled", "new"), [("0", None), ("0.02", "0.02"), ("0.05", "0.05")], ids=str
)
def test_progress(filled: str, new: str | None) -> None:
    """The venue's word moves an order on, and yields what was newly filled."""
    report = VenueOrder(
        venue_id="v",
        client_id="c",
        symbol="BTC/USD",
        side=Side.BUY,
        price=Decimal(1000),
        quantity=Decimal("0.05"),
        status=OrderStatus.ACCEPTED,
        filled=Decimal(filled),
        cost=Decimal(20),
        fee=Decimal(1),
    )
    after, found = apply_report(order(), report)
    assert after.filled == Decimal(filled)
    assert after.remaining == Decimal("0.05") - Decimal(filled)
    assert (found.quantity if found else None) == (Decimal(new) if new else None)
    assert apply_report(after, report) == (after, None)


def test_client_ids_show_whose_they_are() -> None:
    """Ids are UUIDs that start with the bot's own prefix, and never repeat."""
    ids = {new_client_id("alpha") for _ in range(100)}
    assert len(ids) == 100
    assert all(len(name) == 36 and name.startswith(own_prefix("alpha")) for name in ids)
    assert own_prefix("alpha") != own_prefix("beta")


def test_money_counts_what_has_a_price() -> None:
    """Equity holds cash and traded coins; profit only positions with a price."""
    metrics = BotMetrics(version="1", mode="paper", currencies=["USD"])
    record_money(
        metrics,
        balances={"USD": Decimal(100), "BTC": Decimal(2), "XMR": Decimal(9)},
        positions={
            "BTC/USD": Position(quantity=Decimal(1), cost=Decimal(900), realized=Decimal(5))
        },
        quotes={"BTC/USD": QUOTE, "BTC/EUR": QUOTE},
    )

    def value(name: str) -> float | None:
        return metrics.registry.get_sample_value(name, {"currency": "USD"})

    assert value("trading_equity") == 100 + 2 * 1000.5
    assert value("trading_realized_pnl") == 5
    assert value("trading_unrealized_pnl") == 100.5
