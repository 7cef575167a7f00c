"""What the boards ask: known metrics, by labels that they have, in words that Prometheus parses."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from grafana.boards.panels import above, apart, below
from grafana.boards.proof import (
    CAUSES,
    LEGITIMATELY_EMPTY,
    NOT_ON_EVERY_SERVER,
    Answer,
    ask_all,
    count_panels,
    table,
)
from grafana.boards.queries import BoardQuery, board_queries, fill_variables, raw_queries
from grafana.boards.selectors import OF_BOT, WATCHED, select
from grafana.boards.words import age, forecast, gain, least, most, quantiles, rate
from tests.free_ports import free_port
from tests.rules.boards import BOARDS, PANELS, TARGETS, where
from tests.rules.configuration import (
    OF_OTHERS,
    label_names,
    metric_names,
    recorded,
    run_tool,
)
from trading_ops.instrument import catalogue

TARGET_LABELS = frozenset({"job", "instance", "bot", "venue", "team", "host"})
OF_ALERTMANAGER = frozenset({"alertmanager_alerts", "alertmanager_silences"})
OF_PROMETHEUS = frozenset(
    f"prometheus_tsdb_{suffix}"
    for suffix in ("head_series", "retention_limit_bytes", "storage_blocks_bytes")
)
KNOWN = catalogue.sample_names() | OF_OTHERS | OF_ALERTMANAGER | OF_PROMETHEUS
QUERIES = board_queries()


def test_queries_select_known_metrics_by_labels_that_they_have() -> None:
    """An empty panel looks like health."""
    for query in QUERIES:
        names = metric_names(query.expr)
        assert names, query
        assert "$" not in query.expr, query
        assert names <= KNOWN | recorded().keys(), query
        for name in names & catalogue.sample_names():
            metric = catalogue.find(name)
            assert metric is not None
            assert label_names(query.expr, name) <= {*metric.labels, *TARGET_LABELS}, query


def test_grouping_is_by_labels_that_there_are() -> None:
    """`sum by (bto)` is one series, and no one notices."""
    made_by_rules = {"alertname", "severity", "sloth_slo", "sloth_id", "anomaly_name", "le"}
    of_others = {"integration", "state", "currency", "exporter"}
    for board, panel, target in TARGETS:
        names = metric_names(target["expr"])
        metrics = [found for name in names if (found := catalogue.find(name))]
        labels = {label for metric in metrics for label in metric.labels}
        made_here = set(re.findall(r', "(\w+)", "', target["expr"]))  # by label_replace, label_join
        known = labels | TARGET_LABELS | made_by_rules | of_others | made_here
        for group in re.findall(r"\b(?:by|on) \(([^)]*)\)", target["expr"]):
            assert set(re.findall(r"\w+", group)) <= known, where(board, panel)


def test_legends_name_labels_that_the_result_has() -> None:
    """A legend of another label is an empty string in Grafana."""
    for board, panel, target in TARGETS:
        wanted = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
        groups = re.findall(r"\bby \(([^)]*)\)", target["expr"])
        if not wanted or not groups:
            continue
        kept = {label.strip() for group in groups for label in group.split(",")}
        assert wanted <= kept, (where(board, panel), target["legendFormat"])


def test_counters_are_never_shown_bare() -> None:
    """A counter's value says when its process started, and nothing else."""
    for board, panel, target in TARGETS:
        for name in metric_names(target["expr"]):
            if name.endswith(("_total", "_bucket", "_sum", "_count")) and ":" not in name:
                bare = target["expr"].count(name)
                flows = re.findall(rf"\b(?:rate|increase)\({name}\b", target["expr"])
                assert len(flows) == bare, where(board, panel)


def test_every_query_parses(tmp_path: Path) -> None:
    """promtool reads them all as recording rules."""
    rules = [
        {"record": f"board:query:number{number}", "expr": query.expr}
        for number, query in enumerate(QUERIES)
    ]
    file = tmp_path / "queries.yml"
    file.write_text(json.dumps({"groups": [{"name": "boards", "rules": rules}]}), encoding="utf-8")
    assert f"{len(rules)} rules found" in run_tool("promtool", "check", "rules", file).stdout


def test_no_query_of_a_board_is_left_out() -> None:
    """The list that is put to a real Prometheus has the panels, annotations and variables."""
    assert len(QUERIES) == len(TARGETS) + len(BOARDS) * (7 + 7)
    assert len(list(raw_queries(BOARDS[0]))) < len(QUERIES)
    assert count_panels(BOARDS) == {
        board["title"]: len([1 for of_board, _ in PANELS if of_board is board]) for board in BOARDS
    }


def test_hardly_a_panel_may_be_empty() -> None:
    """Few, each with its reason."""
    titles = {where(board, panel) for board, panel in PANELS}
    assert len(LEGITIMATELY_EMPTY) <= 7
    assert set(LEGITIMATELY_EMPTY) <= titles
    assert all(reason.endswith(".") for reason in LEGITIMATELY_EMPTY.values())
    for text in (*NOT_ON_EVERY_SERVER, *CAUSES):
        assert any(text in query.expr for query in QUERIES), text


def test_an_unknown_variable_is_an_error_and_not_an_empty_answer() -> None:
    """A query that could not be filled must not be run as it is."""
    with pytest.raises(KeyError):
        fill_variables('up{bot="$bott"}')


@pytest.mark.parametrize(
    ("bare", "narrowed"),
    [
        ("trading_drawdown", f"trading_drawdown{{{OF_BOT}}}"),
        (
            'max by (bot) (trading_state{state="halted"} * 2)',
            f'max by (bot) (trading_state{{state="halted",{OF_BOT}}} * 2)',
        ),
        ("trading_host_load1", f'trading_host_load1{{{WATCHED},host=~"$host"}}'),
        ("trading_venue_up", f'trading_venue_up{{{WATCHED},venue=~"$venue"}}'),
        (
            "rate(trading_ops_attempts_total[5m])",
            f"rate(trading_ops_attempts_total{{{WATCHED}}}[5m])",
        ),
        ('up{job="trading-bot"}', f'up{{job="trading-bot",{OF_BOT}}}'),
        ("up", f"up{{{WATCHED}}}"),
        ("ALERTS", 'ALERTS{bot=~"$bot",bot=~"$bots|",venue=~"$venue"}'),
        ("slo:error_budget:ratio", "slo:error_budget:ratio"),
        ("fleet:trading_daily_loss:sum", "fleet:trading_daily_loss:sum"),
        (
            "slo:current_burn_rate:ratio",
            'slo:current_burn_rate:ratio{bot=~"$bot",bot=~"$bots|",venue=~"$venue"}',
        ),
        ("time() - 3 * 24", "time() - 3 * 24"),
        ("trading_nothing", "trading_nothing"),
    ],
)
def test_the_board_narrows_what_it_can(bare: str, narrowed: str) -> None:
    """By who exports a metric, and what a rule leaves it."""
    assert select(bare) == narrowed


@pytest.mark.parametrize(
    ("written", "queries"),
    [
        (age("a_seconds", "bot"), {"{{bot}}": "time() - max by (bot) (a_seconds > 0)"}),
        (most("a", "bot", called="now"), {"{{bot}} now": "max by (bot) (a)"}),
        (least("a", "bot", "symbol"), {"{{bot}} {{symbol}}": "min by (bot, symbol) (a)"}),
        (rate("a_total", "bot"), {"{{bot}}": "sum by (bot) (rate(a_total[$__rate_interval]))"}),
        (gain("a_total", "x", window="1d"), {"{{x}}": "round(sum by (x) (increase(a_total[1d])))"}),
        (
            gain("a_total", "x", growing=True),
            {"{{x}}": "round(sum by (x) (increase(a_total[$__rate_interval]))) > 0"},
        ),
        (
            forecast("a", "x", over="1h", hours=4),
            {"{{x}}": "max by (x) (clamp_min(predict_linear(a[1h], 14400), 0) and a offset 30m)"},
        ),
        (
            quantiles("a_seconds", "x", window="1h"),
            {
                f"{{{{x}}}} {name}": f"histogram_quantile({quantile}, "
                "sum by (le, x) (increase(a_seconds_bucket[1h]))) >= 0"
                for name, quantile in (("p50", 0.5), ("p95", 0.95))
            },
        ),
    ],
)
def test_a_phrase_is_one_query_with_its_legend(written: Any, queries: Any) -> None:
    """As the panels take them."""
    assert written == queries


def test_limits_are_colors_from_a_value_on() -> None:
    """Bad when large, bad when small, bad on either side."""
    assert above(5) == ((None, "green"), (5, "red"))
    assert above(1, 5) == ((None, "green"), (1, "yellow"), (5, "red"))
    assert below(5) == ((None, "red"), (5, "green"))
    assert below(1, 5) == ((None, "red"), (1, "yellow"), (5, "green"))
    assert apart(2) == ((None, "red"), (-2, "green"), (2, "red"))


def answer(series: int = 0, **fields: Any) -> Answer:
    """An answer to a query of a panel."""
    query = BoardQuery("Board", "Panel", "up")
    return Answer(query=query, series=series, **fields)


def test_what_shows_nothing_is_missing() -> None:
    """An error even if the panel may be empty; not what was never asked."""
    assert not answer(1).missing
    assert answer().missing
    assert answer(error="parse error").missing
    assert "parse error" in str(answer(error="parse error"))
    assert not answer(skipped=True).missing


def test_the_table_counts_what_was_asked_only() -> None:
    """Panels, queries and series of each board, and of all."""
    text = table([answer(3), answer(2), answer(skipped=True)], {"Board": 2})
    assert re.search(r"^Board +2 +2 +5  \(1 more ask for PostgreSQL", text, re.MULTILINE)
    assert re.search(r"^all +2 +2 +5$", text, re.MULTILINE)


def test_a_prometheus_that_is_away_is_an_error() -> None:
    """Not a table of zeros."""
    with pytest.raises(OSError, match="refused"):
        ask_all(f"http://127.0.0.1:{free_port()}", QUERIES, end=0, seconds=60)
