"""Every exported metric is used by a rule, a panel, a runbook or a query of the product."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import yaml

from tests.rules.configuration import ROOT
from trading_ops.instrument.catalogue import CATALOGUE
from trading_ops.instrument.metric import MetricType, Owner

NAME = re.compile(r"\b(?:trading|process)_[a-z0-9_]+")
HISTOGRAM = ("_bucket", "_sum", "_count")
READERS = ("reports", "capacity", "readiness", "cli", "api", "console", "reconciler", "clients")
"""Packages of the product that put queries to Prometheus."""

EXPORTS = ROOT / "trading_ops" / "reconciler" / "metrics.py"


PROMQL = re.compile(r"^ *```promql\n(.*?)^ *```", re.MULTILINE | re.DOTALL)


def texts() -> Iterator[str]:
    """Yield everything that queries metrics: rules, boards, runbooks, and our own code.

    Comments, docstrings and prose are left out: they only mention a metric.
    """
    for path in (ROOT / "prometheus" / "rules").rglob("*.yml"):
        for group in yaml.safe_load(path.read_text())["groups"]:
            for rule in group["rules"]:
                yield str(rule["expr"])
                yield from rule.get("annotations", {}).values()
    for path in (ROOT / "grafana" / "dashboards").glob("*.json"):
        yield "\n".join(expressions(json.loads(path.read_text())))
    for path in (ROOT / "runbooks").glob("*.md"):
        yield from PROMQL.findall(path.read_text())
    for package in READERS:
        for path in (ROOT / "trading_ops" / package).rglob("*.py"):
            if path != EXPORTS:
                yield from strings(path)


def strings(path: Path) -> Iterator[str]:
    """Yield the strings of a module that are values, not docstrings."""
    tree = ast.parse(path.read_text())
    mentions = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str() as text) if id(node) not in mentions:
                yield text
            case _:
                pass


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


def test_a_docstring_does_not_count_as_a_query(tmp_path: Path) -> None:
    """Of a class, a function or a constant."""
    path = tmp_path / "module.py"
    path.write_text(
        '"""Of trading_a."""\nQUERY = "max(trading_b)"\n"""Like trading_c."""\n'
        'def f():\n    """Of trading_d."""\n    return f"sum({QUERY} + trading_e)"\n'
    )
    assert {name for text in strings(path) for name in NAME.findall(text)} == {
        "trading_b",
        "trading_e",
    }


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
