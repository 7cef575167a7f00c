"""The queries of the shipped readiness plan: PromQL, over metrics that exist."""

import json
from pathlib import Path

from tests.rules.configuration import run_tool
from trading_ops.domain.runbook import selectors
from trading_ops.instrument.catalogue import CATALOGUE
from trading_ops.readiness.plan import load_plan

PLAN = load_plan(Path("none"))
QUERIES = {
    f"{stage.name}_{criterion.name}": criterion.query.replace("$window", "60s").replace(
        "$run", "1d"
    )
    for stage in PLAN.stages
    for criterion in stage.criteria
    if criterion.query
} | {"present": PLAN.present.replace("$window", "60s")}


def test_prometheus_accepts_every_query(tmp_path: Path) -> None:
    rules = [
        {"record": f"readiness:{name.replace('-', '_')}", "expr": query}
        for name, query in QUERIES.items()
    ]
    path = tmp_path / "rules.yml"
    path.write_text(json.dumps({"groups": [{"name": "readiness", "rules": rules}]}))
    run_tool("promtool", "check", "rules", str(path))


def test_every_metric_exists() -> None:
    """A name that no process exports would be unknown for ever."""
    names = {
        selector.partition("{")[0].strip() for q in QUERIES.values() for selector in selectors(q)
    }
    assert names - {metric.name for metric in CATALOGUE} == {"up"}  # of Prometheus itself
