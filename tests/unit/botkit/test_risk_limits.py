"""Each limit as a table: what passes, what does not, and what always may."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from tests.unit.botkit.risky import NOW, Bot, holding, intent
from trading_ops.agent import Side
from trading_ops.botkit.orders.checks import Intent
from trading_ops.botkit.orders.order import OrderType, Purpose
from trading_ops.botkit.risk.limits import Holding, OrderRate, open_symbols
from trading_ops.botkit.risk.settings import RiskLimits
from trading_ops.instrument.topics.orders import DENIALS
from trading_ops.instrument.topics.risk import LIMITS

ETHER, SOLANA = "ETH/USD", "SOL/USD"
BUY, SELL = Side.BUY, Side.SELL


@pytest.mark.parametrize(
    ("quantity", "held", "denied"),
    [
        ("0.05", [], None),
        ("0.0501", [], "risk_position_size"),
        ("0.02", [holding(quantity="0.03")], None),
        ("0.0201", [holding(quantity="0.03")], "risk_position_size"),
        ("0.03", [holding(buying=Decimal(2))], None),
        ("0.0301", [holding(buying=Decimal(2))], "risk_position_size"),
        # A rest that cannot be sold is no position, so it keeps no one from trading.
        ("0.05", [holding(quantity="0.0099")], None),
        ("0.0001", [holding(quantity="0.03", price=Decimal(200))], "risk_position_size"),
    ],
)
def test_position_size(quantity: str, held: list[Holding], denied: str | None) -> None:
    """What is held, what is being bought and this order, together and not above the limit."""
    assert Bot(holdings=held).code(intent(quantity=quantity)) == denied


@pytest.mark.parametrize(
    ("held", "denied"),
    [
        ([holding(ETHER, "0.01")], None),
        ([holding(ETHER, "0.01"), holding(SOLANA, "0.01")], "risk_open_positions"),
        ([holding(ETHER, buying=Decimal(1)), holding(SOLANA, "0.01")], "risk_open_positions"),
        ([holding(ETHER, "0.0099"), holding(SOLANA, "0.01")], None),
        ([holding(quantity="0.01"), holding(ETHER, "0.01")], None),
    ],
)
def test_open_positions(held: list[Holding], denied: str | None) -> None:
    """A third symbol is refused, more of one that is held is not."""
    assert Bot(holdings=held).code(intent(quantity="0.01")) == denied


@pytest.mark.parametrize(
    ("other", "quantity", "denied"),
    [
        (holding(ETHER, "0.06"), "0.04", None),
        (holding(ETHER, "0.06"), "0.0401", "risk_exposure"),
        (holding(ETHER, buying=Decimal(6)), "0.0401", "risk_exposure"),
        (holding(ETHER, "0.0099", price=Decimal(1000)), "0.0011", "risk_exposure"),
        (holding("ETH/EUR", "0.06"), "0.05", None),
    ],
)
def test_exposure(other: Holding, quantity: str, denied: str | None) -> None:
    """All positions, rests and open buys count, in each quote currency on its own."""
    assert Bot(holdings=[other]).code(intent(quantity=quantity)) == denied


@pytest.mark.parametrize(
    ("side", "price", "held", "denied"),
    [
        (BUY, "102", "0", None),
        (BUY, "102.1", "0", "price_collar"),
        (BUY, "97.9", "0", "price_collar"),
        (SELL, "98", "0.04", None),
        (SELL, "97.9", "0.04", "price_collar"),
        (SELL, "130", "0.04", None),
    ],
)
def test_price_collar(side: Side, price: str, held: str, denied: str | None) -> None:
    """Neither side is bought at; of exits only the side that gives money away is denied."""
    bot = Bot(holdings=[holding(quantity=held)])
    wanted = intent(side, "0.04", price=Decimal(price), position=Decimal(held))
    assert bot.code(wanted) == denied


def test_a_stop_is_away_from_the_market_by_its_nature() -> None:
    """The collar is for limit prices."""
    bot = Bot(holdings=[holding(quantity="0.04")])
    stop = intent(
        SELL,
        position=Decimal("0.04"),
        type=OrderType.STOP_LOSS,
        stop_price=Decimal(50),
        price=Decimal(50),
        purpose=Purpose.PROTECTION,
    )
    assert bot.code(stop) is None


@pytest.mark.parametrize(
    ("age", "denied"), [(0.0, None), (30.0, None), (30.1, "balance_stale"), (None, "balance_stale")]
)
def test_balance_age(age: float | None, denied: str | None) -> None:
    """Old balances, and none at all, are no ground to buy on."""
    assert Bot(balance_age=age).code(intent()) == denied


def test_what_cannot_be_valued_lets_nothing_new_in() -> None:
    """A silent feed, or a guard that does not come round, is an end of new risk."""
    assert Bot(unknown_reason="no price").code(intent()) == "risk_unknown"


def exit_order(quantity: str = "0.04", committed: str = "0", position: str = "0.04") -> Intent:
    return intent(SELL, quantity, position=Decimal(position), committed=Decimal(committed))


def test_what_shrinks_a_position_passes_whatever_else_is_wrong() -> None:
    """Too large, too many, too much, blind, without balances: the way out is open."""
    crowd = [holding(quantity="9"), holding(ETHER, "9"), holding(SOLANA, "9")]
    bot = Bot(holdings=crowd, unknown_reason="no prices", balance_age=None)
    assert bot.code(exit_order(position="9")) is None


def test_selling_more_than_is_held_is_no_exit() -> None:
    """With what other sells take already, it would go below nothing."""
    bot = Bot(holdings=[holding(quantity="0.04")])
    assert bot.code(exit_order(committed="0.01")) == "risk_position_size"


def test_order_rate_leaves_exits_room() -> None:
    """Entries end at the limit, exits at twice that; what leaves the window makes room."""
    limits = RiskLimits(orders=2, orders_seconds=10.0)
    bot = Bot(limits, [holding(quantity="0.04")], sent=[NOW - 10.0, NOW - 1.0])
    small = intent(quantity="0.01", position=Decimal("0.04"))
    assert [bot.code(small) for _ in range(2)] == [None, "risk_order_rate"]
    assert [bot.code(exit_order()) for _ in range(3)] == [None, None, "risk_order_rate"]
    later = intent(quantity="0.01", position=Decimal("0.04"), at=NOW + 10.0)
    assert bot.code(later) is None


def test_an_order_that_is_only_asked_about_is_not_counted() -> None:
    """It is when it is sent; until then the room that it was promised is kept from others."""
    limits = RiskLimits(orders=1, orders_seconds=10.0)
    bot = Bot(limits, [holding(quantity="0.04")])
    held = Decimal("0.04")
    for _ in range(3):
        assert bot.code(intent(SELL, position=held, dry=True)) is None
    assert bot.rate.count(NOW) == 0
    assert bot.code(intent(SELL, position=held, ahead=1)) is None
    assert bot.code(intent(SELL, position=held, dry=True, ahead=1)) == "risk_order_rate"
    assert bot.code(intent(SELL, position=held, dry=True)) is None
    assert bot.rate.count(NOW) == 1


def test_denied_orders_do_not_count_in_the_rate() -> None:
    """Only what is sent is counted."""
    bot = Bot()
    for _ in range(5):
        assert bot.code(intent(quantity="9")) == "risk_position_size"
    assert bot.rate.count(NOW) == 0
    broken = bot.metrics.registry.get_sample_value(
        "trading_risk_breaches_total", {"limit": "position_size"}
    )
    assert broken == 5


def test_rate_counts_in_a_window() -> None:
    """Orders from before a restart count, in whatever order they are reported."""
    rate = OrderRate(10.0, [5.0, 1.0, 3.0])
    assert [rate.count(at) for at in (10.9, 11.0, 13.0, 15.0)] == [3, 2, 1, 0]


def test_codes_are_in_the_catalogue() -> None:
    """A code that no metric knows would be counted as another."""
    codes = {"risk_unknown", "risk_position_size", "risk_open_positions", "risk_exposure"}
    codes |= {"risk_order_rate", "price_collar", "balance_stale", "paper_mode"}
    assert codes <= set(DENIALS)
    limits = {"position_size", "open_positions", "exposure", "daily_loss", "total_drawdown"}
    limits |= {"order_rate", "price_collar", "market_data_age", "balance_age"}
    assert limits == set(LIMITS)


def test_a_rest_is_no_position() -> None:
    """What is below the venue's smallest order cannot be sold."""
    held = [holding(quantity="0.0099"), holding(ETHER, "0.01"), holding(SOLANA, buying=Decimal(1))]
    assert open_symbols(held) == {ETHER, SOLANA}


def test_defaults_are_those_of_a_cautious_first_week() -> None:
    """As documented: 5 a position, 2 positions, 10 a day, 30 in all, exposure 10, collar 2 %."""
    limits = RiskLimits()
    amounts = (limits.position_size, limits.exposure, limits.daily_loss, limits.total_drawdown)
    assert [str(amount) for amount in amounts] == ["5", "10", "10", "30"]
    assert (limits.open_positions, str(limits.collar_percent)) == (2, "2")


@pytest.mark.parametrize(
    "wrong",
    [
        {"position_size": "0"},
        {"daily_loss": "-1"},
        {"exposure": "NaN"},
        {"total_drawdown": "Infinity"},
        {"collar_percent": 0},
        {"stop_percent": 100},
        {"orders": 0},
        {"orders_seconds": 0},
        {"open_positions": 0},
        {"day_start": "24:00"},
        {"day_zone": "Mars/Olympus"},
        {"day_zone": "../etc"},
        {"daily_loss_state": "active"},
        {"unknown": 1},
    ],
)
def test_what_is_no_limit_is_refused(wrong: dict[str, Any]) -> None:
    """A limit that is read wrongly would be none."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, RiskLimits)
