"""Which series a query reads, and how old they are."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from trading_ops.domain.runbook import age_of, selectors


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ('up{job="a b",bot="x"} == 1', ['up{job="a b",bot="x"}']),
        ('max by (bot) (abs(drift{bot="by (x)"})) == 0', ['drift{bot="by (x)"}']),
        ('increase(a_total{x="}{"}[3s]) == 0', ['a_total{x="}{"}']),
        ("time() - max by (bot) (ts) < 10", ["ts"]),
        ("a and on (bot, pool) b:c:d unless ignoring(x) a / 2.5e3 > bool 1", ["a", "b:c:d"]),
        ("a * on (bot) group_left (x) b offset 5m", ["a", "b"]),
        ('label_replace(a{x="1"}, "host", "$1", "instance", "(.+):[0-9]+")', ['a{x="1"}']),
        ('{__name__="a"} or inf', ['{__name__="a"}']),
        ("sum without (x) (rate(on_time[5m:1m]))  # why (not)\n > 0", ["on_time"]),
        ("vector(1)", []),
    ],
)
def test_selectors(query: str, found: list[str]) -> None:
    """Functions, keywords, lists of labels, strings and comments are no series."""
    assert list(selectors(query)) == found


def test_the_age_is_that_of_the_oldest_series_by_prometheus_clock(tmp_path: Path) -> None:
    """15-second metrics, a series that has stopped and one that is absent: each as it is."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed")
    query = age_of('fast{bot="x"} == 1 and on (bot) slow{bot="x"} > 0 unless absent_{bot="x"}')
    samples = [
        {"labels": '{selector="0"}', "value": 0},
        {"labels": '{selector="1"}', "value": 10},
    ]
    test = {
        "interval": "5s",
        "input_series": [
            {"series": 'fast{bot="x"}', "values": "1x20"},
            {"series": 'slow{bot="x", part="a"}', "values": "1x20"},
            {"series": 'slow{bot="x", part="b"}', "values": "1 _ _ 1 _ _ 1 _ _ 1 _ _ 1"},
            {"series": 'slow{bot="other"}', "values": "1"},
        ],
        "promql_expr_test": [{"expr": query, "eval_time": "55s", "exp_samples": samples}],
    }
    path = tmp_path / "ages.yml"
    path.write_text(yaml.safe_dump({"evaluation_interval": "5s", "tests": [test]}))
    done = subprocess.run(
        [promtool, "test", "rules", str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
