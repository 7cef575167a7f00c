"""The queries of reports give what they say, by Prometheus' own unit tests."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from trading_ops.reports.figures import QUERIES

BOT = '{job="trading-bot", instance="b:1", bot="alpha"}'
MONEY = '{job="trading-bot", instance="b:1", bot="alpha", currency="USD"}'
OFF = '{job="trading-bot", instance="b:2", bot="off", currency="USD"}'
NEW = '{job="trading-bot", instance="b:3", bot="new", currency="USD"}'
LIMIT = '{job="trading-bot", instance="b:1", bot="alpha", limit="daily_loss"}'
DISK = '{job="trading-exporter", instance="e:1", path="/"}'

SERIES = {
    f"trading_realized_pnl{MONEY}": "100x1440 130x1440",
    f"trading_realized_pnl{OFF}": "50x1440 20x60",
    f"trading_realized_pnl{NEW}": "_x2000 5x880",
    f"trading_realized_pnl{MONEY.replace('trading-bot', 'supervisor')}": "900x2880",
    f"trading_unrealized_pnl{MONEY}": "-3x2880",
    f"trading_unrealized_pnl{OFF}": "7x1500",
    f"trading_equity{MONEY}": "1000x2880",
    f"trading_exposure{MONEY}": "250x2880",
    f"trading_daily_loss{MONEY}": "0x2000 8x10 2x870",
    f'trading_position{BOT[:-1]}, symbol="ETH/USD"}}': "1.5x2880",
    f'trading_position{BOT[:-1]}, symbol="BTC/USD"}}': "1x1500 0x1380",
    f'trading_position_unrealized_pnl{BOT[:-1]}, symbol="ETH/USD"}}': "-4.5x2880",
    f"trading_open_positions{BOT}": "2x2880",
    f'trading_orders_total{BOT[:-1]}, outcome="filled"}}': "0x1500 3x1380",
    f'trading_orders_total{BOT[:-1]}, outcome="rejected"}}': "0x1500 9x1380",
    f"trading_freqtrade_closed_trades_total{BOT}": "10x1500 14x1380",
    f"trading_freqtrade_won_trades_total{BOT}": "5x1500 8x1380",
    f"trading_risk_limit_used_ratio{LIMIT}": "0x2000 0.8x10 0.2x870",
    'slo:period_error_budget_remaining:ratio{sloth_slo="availability", bot="alpha"}': "0.9x2880",
    'slo:period_error_budget_remaining:ratio{sloth_slo="availability", bot="beta"}': "0.4x2880",
    f"trading_host_disk_free_bytes{DISK}": "25x2880",
    f"trading_host_disk_size_bytes{DISK}": "100x2880",
}
ALPHA = '{bot="alpha", currency="USD"}'
WANTED: dict[str, dict[str, float]] = {
    # A bot that is off keeps its last result; one that has no value at the beginning has none.
    "result": {ALPHA: 30, '{bot="off", currency="USD"}': -30},
    "unrealized": {ALPHA: -3},
    "equity": {ALPHA: 1000},
    "exposure": {ALPHA: 250},
    "worst_daily_loss": {ALPHA: 8},
    "positions": {'{bot="alpha", symbol="ETH/USD"}': 1.5},
    "position_profits": {'{bot="alpha", symbol="ETH/USD"}': -4.5},
    "open_positions": {'{bot="alpha"}': 2},
    "orders_filled": {'{bot="alpha"}': 3},
    "trades_closed": {'{bot="alpha"}': 4},
    "trades_won": {'{bot="alpha"}': 3},
    "limits": {'{bot="alpha", limit="daily_loss"}': 0.8},
    "budgets": {'{sloth_slo="availability"}': 0.4},
    "disks": {'{instance="e:1", path="/"}': 0.25},
}


def test_every_query_gives_what_it_says(tmp_path: Path) -> None:
    """At the end of the second of two days, for that day."""
    assert WANTED.keys() == QUERIES.keys()
    checks: list[dict[str, Any]] = [
        {
            "expr": query.replace("$span", "86400s"),
            "eval_time": "2d",
            "exp_samples": [
                {"labels": labels, "value": value} for labels, value in WANTED[name].items()
            ],
        }
        for name, (query, _) in QUERIES.items()
    ]
    series = [{"series": name, "values": values} for name, values in SERIES.items()]
    test = {"interval": "1m", "input_series": series, "promql_expr_test": checks}
    path = tmp_path / "queries.yml"
    path.write_text(yaml.safe_dump({"rule_files": [], "tests": [test]}))
    done = subprocess.run(
        ["promtool", "test", "rules", str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", QUERIES)
def test_the_labels_of_a_query_are_those_that_it_keeps(name: str) -> None:
    query, labels = QUERIES[name]
    assert f"by ({', '.join(labels)})" in query
