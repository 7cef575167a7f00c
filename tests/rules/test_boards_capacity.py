"""The board of capacity: the planned resources, with their thresholds, and a true forecast."""

import json
from pathlib import Path

import pytest

from grafana.boards.queries import board_queries
from tests.rules.configuration import run_tool
from trading_ops.capacity.resources import RESOURCES

BOARD = "9 Capacity"
QUERIES = [query for query in board_queries() if query.board == BOARD]
USED, LEVEL, DAYS = (query.expr for query in QUERIES if query.panel == "Resources")
HOST = 'job="trading-exporter", instance="h"'


def series(name: str, values: str, labels: str = HOST) -> dict[str, str]:
    return {"series": f"{name}{{{labels}}}", "values": values}


def disk(path: str, free: str) -> list[dict[str, str]]:
    labels = f'{HOST}, path="{path}"'
    return [
        series("trading_host_disk_size_bytes", "1000x200", labels),
        series("trading_host_disk_free_bytes", free, labels),
    ]


def test_every_resource_with_a_limit_is_in_the_table() -> None:
    """A new resource of `trading-ops capacity` appears without a change of the board."""
    for expr in (USED, LEVEL, DAYS):
        for resource in RESOURCES:
            assert (f'"{resource.name}"' in expr) == (resource.limit is not None)


@pytest.mark.parametrize(
    ("at", "days", "levels"),
    [
        ("7d", {"/fills": 3.83, "/flat": 3650.0}, {"/fills": 1.0, "/flat": 0.0}),
        ("1d", {"/fills": -1.0, "/flat": -1.0}, {"/fills": 0.0, "/flat": 0.0}),
    ],
    ids=["after a week", "after a day"],
)
def test_the_forecast_is_a_line_through_the_week(
    tmp_path: Path, at: str, days: dict[str, float], levels: dict[str, float]
) -> None:
    """A disk of 1,000 bytes that loses 48 a day has 184 left after a week."""
    samples = [*disk("/fills", "520-2x200"), *disk("/flat", "500x200")]
    expected = [(f"round({DAYS}, 0.01)", days), (LEVEL, levels)]
    cases = [
        {
            "expr": expr,
            "eval_time": at,
            "exp_samples": [
                {"labels": f'{{resource="disk", series="h {path}"}}', "value": value}
                for path, value in sorted(values.items())
            ],
        }
        for expr, values in expected
    ]
    file = tmp_path / "test.yml"
    group = {"interval": "1h", "input_series": samples, "promql_expr_test": cases}
    file.write_text(json.dumps({"rule_files": [], "tests": [group]}), encoding="utf-8")
    run_tool("promtool", "test", "rules", file)
