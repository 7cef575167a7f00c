"""Money that is no finite number is not exported: a NaN would silence the rules that read it."""

import math
from collections.abc import Callable

import pytest
from prometheus_client import CollectorRegistry

from trading_ops.instrument import BotMetrics

USD = {"currency": "USD"}
SAYS: list[tuple[str, dict[str, str], Callable[[BotMetrics, float], None]]] = [
    ("trading_position", {"symbol": "BTC/USD"}, lambda m, v: m.position("BTC/USD", v)),
    (
        "trading_position_unrealized_pnl",
        {"symbol": "BTC/USD"},
        lambda m, v: m.position_profit("BTC/USD", v),
    ),
    ("trading_balance", USD, lambda m, v: m.balance("USD", v)),
    ("trading_equity", USD, lambda m, v: m.equity("USD", v)),
    ("trading_realized_pnl", USD, lambda m, v: m.profit("USD", realized=v, unrealized=1)),
    ("trading_unrealized_pnl", USD, lambda m, v: m.profit("USD", realized=1, unrealized=v)),
    ("trading_daily_loss", USD, lambda m, v: m.daily_loss("USD", v)),
    ("trading_drawdown", USD, lambda m, v: m.drawdown("USD", v)),
    ("trading_drawdown_ratio", USD, lambda m, v: m.drawdown("USD", v, highest=1.0)),
    ("trading_exposure", USD, lambda m, v: m.exposure("USD", v)),
    (
        "trading_risk_limit_used_ratio",
        {"limit": "daily_loss"},
        lambda m, v: m.risk_limit_used("daily_loss", v),
    ),
]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(("metric", "labels", "say"), SAYS, ids=[row[0] for row in SAYS])
def test_the_last_amount_stays_and_the_refusal_is_counted(
    metric: str, labels: dict[str, str], say: Callable[[BotMetrics, float], None], value: float
) -> None:
    """By metric, from zero: the rule sees the first one too."""
    metrics = BotMetrics(
        CollectorRegistry(), version="1", mode="paper", symbols=["BTC/USD"], currencies=["USD"]
    )
    shown = metrics.registry.get_sample_value
    refused = {"metric": metric}
    assert shown("trading_values_refused_total", refused) == 0
    say(metrics, 0.5)
    say(metrics, value)
    assert shown(metric, labels) == 0.5
    assert shown("trading_values_refused_total", refused) == 1


def test_a_first_amount_that_is_refused_leaves_the_metric_absent() -> None:
    """No money is no zero."""
    metrics = BotMetrics(CollectorRegistry(), version="1", mode="paper", currencies=["USD"])
    metrics.daily_loss("USD", math.nan)
    assert metrics.registry.get_sample_value("trading_daily_loss", USD) is None
