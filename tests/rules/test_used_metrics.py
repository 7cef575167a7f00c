"""Every exported metric is used by a rule, a panel, a runbook or a query of the product."""

import json
import re
from collections.abc import Iterator

from tests.rules.configuration import ROOT
from trading_ops.instrument.catalogue import CATALOGUE
from trading_ops.instrument.metric import MetricType, Owner

NAME = re.compile(r"\b(?:trading|process)_[a-z0-9_]+")
HISTOGRAM = ("_bucket", "_sum", "_count")
READERS = ("reports", "capacity", "readiness", "cli", "api", "console", "reconciler", "clients")
"""Packages of the product that put queries to Prometheus."""

EXPORTS = ROOT / "trading_ops" / "reconciler" / "metrics.py"


def texts() -> Iterator[str]:
    """Yield everything that queries metrics: rules, boards, runbooks, and our own code."""
    for path in (ROOT / "prometheus" / "rules").rglob("*.yml"):
        lines = path.read_text().splitlines()
        yield "\n".join(line for line in lines if not line.lstrip().startswith("#"))
    for path in (ROOT / "grafana" / "dashboards").glob("*.json"):
        yield "\n".join(expressions(json.loads(path.read_text())))
    for path in (ROOT / "runbooks").glob("*.md"):
        yield path.read_text()
    for package in READERS:
        for path in (ROOT / "trading_ops" / package).rglob("*.py"):
            if path != EXPORTS:
                yield path.read_text()


def expressions(board: object) -> Iterator[str]:
    """Yield the queries of a board, not its texts."""
    if isinstance(board, dict):
        for key, value in board.items():
            if isinstance(value, str):
                if key in {"expr", "query", "definition"}:
                    yield value
            else:
                yield from expressions(value)
    elif isinstance(board, list):
        for item in board:
            yield from expressions(item)


def test_every_metric_is_read_by_a_rule_a_panel_a_runbook_or_our_own_code() -> None:
    """Those of prometheus_client's own process collector are standard, and cannot be left out."""
    asked = {name for text in texts() for name in NAME.findall(text)}
    unused = [
        metric.name
        for metric in CATALOGUE
        if metric.owner is not Owner.PROCESS
        and metric.name not in asked
        and not (
            metric.kind is MetricType.HISTOGRAM
            and any(metric.name + ending in asked for ending in HISTOGRAM)
        )
    ]
    assert unused == [], "use them in a rule, a panel or a runbook, or delete them"
