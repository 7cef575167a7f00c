"""The used bandwidth of a network link: its larger direction."""

import json
from pathlib import Path

from tests.rules.configuration import run_tool
from trading_ops.capacity.resources import RESOURCES

LABELS = '{job="trading-exporter", instance="a", interface="e"}'


def test_the_directions_of_a_link_are_not_added(tmp_path: Path) -> None:
    query = next(resource.used for resource in RESOURCES if resource.name == "network")
    series = [
        {"series": f"trading_host_network_received_bytes_total{LABELS}", "values": "0+4200x70"},
        {"series": f"trading_host_network_sent_bytes_total{LABELS}", "values": "0+3600x70"},
    ]
    expected = [{"labels": '{instance="a", interface="e"}', "value": 70}]
    test = {"expr": query, "eval_time": "65m", "exp_samples": expected}
    cases = [{"interval": "1m", "input_series": series, "promql_expr_test": [test]}]
    path = tmp_path / "tests.yml"
    path.write_text(json.dumps({"rule_files": [], "tests": cases}))
    run_tool("promtool", "test", "rules", str(path))
