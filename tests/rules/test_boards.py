"""The Grafana boards: generated, lint-free by the rules of Grafana's own linter, and queryable."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from grafana.boards.queries import (
    DASHBOARDS,
    board_queries,
    fill_variables,
    raw_queries,
)
from tests.rules.committed import (
    ROOT,
    RUNBOOKS,
    label_names,
    load_rules,
    metric_names,
    read_yaml,
    run_tool,
)
from trading_ops.instrument import catalogue

BOARDS: list[dict[str, Any]] = [
    json.loads(path.read_text(encoding="utf-8")) for path in sorted(DASHBOARDS.glob("*.json"))
]
PANELS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (board, panel) for board in BOARDS for panel in board["panels"] if panel["type"] != "row"
]
EXCLUSIONS: dict[str, Any] = read_yaml(DASHBOARDS / ".lint")["exclusions"]
OF_PROMETHEUS = frozenset({"up", "ALERTS"})
TARGET_LABELS = frozenset({"job", "instance", "bot", "venue"})
every_board = pytest.mark.parametrize("board", BOARDS, ids=lambda board: board["uid"])
every_panel = pytest.mark.parametrize(
    ("board", "panel"), PANELS, ids=lambda value: value.get("title")
)
every_query = pytest.mark.parametrize("query", board_queries(), ids=lambda query: query.title)


def excused(rule: str, board: dict[str, Any], panel: dict[str, Any]) -> bool:
    """Tell whether `.lint` makes an exception."""
    entry = {"dashboard": board["title"], "panel": panel["title"]}
    return entry in EXCLUSIONS.get(f"{rule}-rule", {}).get("entries", ())


def test_the_source_gives_the_committed_boards_byte_for_byte(tmp_path: Path) -> None:
    """Nobody has edited the JSON, and nobody has forgotten to write it anew."""
    command = [sys.executable, "-W", "error", "-m", "grafana.boards", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True)
    written = {path.name: path.read_bytes() for path in tmp_path.glob("*.json")}
    assert written == {path.name: path.read_bytes() for path in DASHBOARDS.glob("*.json")}
    assert written


@every_board
def test_a_board_is_fixed(board: dict[str, Any]) -> None:
    """Its uid is in links, and its only source is the code."""
    assert re.fullmatch(r"[a-z0-9-]{8,40}", board["uid"])
    assert board["editable"] is False
    assert "id" not in board
    assert "trading-ops" in board["tags"]


@every_board
def test_variables_let_it_be_used_with_any_data_source(board: dict[str, Any]) -> None:
    """One data source variable, and the four that narrow the view, reloaded with the time."""
    variables = {variable["name"]: variable for variable in board["templating"]["list"]}
    assert list(variables) == ["datasource", "job", "instance", "venue", "bot"]
    source = variables.pop("datasource")
    assert (source["type"], source["query"]) == ("datasource", "prometheus")
    assert source["label"] == "Data Source"
    for variable in variables.values():
        assert variable["datasource"]["uid"] == "${datasource}"
        assert variable["refresh"] == 2
        assert variable["multi"]
        assert variable["includeAll"]
        assert variable["allValue"] == ".*"


@every_board
def test_annotations_show_alerts_and_restarts(board: dict[str, Any]) -> None:
    """What happened, on every panel."""
    annotations = {entry["name"]: entry for entry in board["annotations"]["list"]}
    assert set(annotations) == {"Alerts", "Restarts"}
    assert 'alertstate="firing"' in annotations["Alerts"]["expr"]
    assert all(entry["datasource"]["uid"] == "${datasource}" for entry in annotations.values())


@every_board
def test_panels_fill_the_grid_without_overlap_or_gap(board: dict[str, Any]) -> None:
    """Every cell of the 24 columns is covered exactly once, from the top to the bottom."""
    cells = [
        (column, line)
        for place in (panel["gridPos"] for panel in board["panels"])
        for column in range(place["x"], place["x"] + place["w"])
        for line in range(place["y"], place["y"] + place["h"])
    ]
    height = max(line for _, line in cells) + 1
    assert len(set(cells)) == len(cells)
    assert set(cells) == {(column, line) for column in range(24) for line in range(height)}


@every_board
def test_panels_have_ids_and_titles_of_their_own(board: dict[str, Any]) -> None:
    """Two of one id break Grafana's links; two of one title confuse people."""
    for key in ("id", "title"):
        values = [panel[key] for panel in board["panels"]]
        assert len(set(values)) == len(values)


@every_panel
def test_a_panel_explains_itself(board: dict[str, Any], panel: dict[str, Any]) -> None:
    """Title, description, unit, thresholds, the variable data source."""
    assert panel["title"]
    assert panel["description"].endswith(".")
    defaults = panel["fieldConfig"]["defaults"]
    assert defaults["unit"]
    assert defaults["thresholds"]["steps"]
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    legend = panel["options"].get("legend")
    assert panel["type"] == "stat" or legend["showLegend"] is True


@every_panel
def test_its_queries_follow_the_variables(board: dict[str, Any], panel: dict[str, Any]) -> None:
    """Each has a source, a name, the chosen jobs and instances, and a window that fits the zoom."""
    assert panel["targets"]
    for target in panel["targets"]:
        expr = target["expr"]
        assert target["datasource"]["uid"] == "${datasource}"
        assert target["legendFormat"]
        for name in ("job", "instance"):
            assert f'{name}=~"${name}"' in expr or excused(f"target-{name}", board, panel)
        if re.search(r"\b(i?rate|increase)\(", expr):
            assert "[$__rate_interval]" in expr or excused("target-rate-interval", board, panel)


@every_panel
def test_counters_are_never_shown_bare(board: dict[str, Any], panel: dict[str, Any]) -> None:
    """A counter's value says when its process started, and nothing else."""
    for target in panel["targets"]:
        for name in metric_names(target["expr"]):
            if name.endswith(("_total", "_bucket", "_sum", "_count")):
                assert re.search(rf"\b(rate|increase)\(\s*{name}\b", target["expr"])


@every_panel
def test_runbook_links_lead_to_runbooks(board: dict[str, Any], panel: dict[str, Any]) -> None:
    """A link to a runbook that is gone would be noticed at the worst time."""
    for link in panel.get("links", ()):
        assert (RUNBOOKS / link["url"].rpartition("/")[2]).exists()


@every_board
def test_every_recovery_alert_has_its_panel(board: dict[str, Any]) -> None:
    """The last part of a slice: a picture, with a link to the runbook."""
    linked = {link["url"] for panel in board["panels"] for link in panel.get("links", ())}
    for rule in load_rules():
        if rule.labels.get("recovery") == "auto":
            assert rule.annotations["runbook_url"] in linked


def test_alerts_link_to_a_board_that_exists() -> None:
    """By its fixed uid, at Grafana's own port."""
    uids = {board["uid"] for board in BOARDS}
    for rule in load_rules():
        found = re.search(r"/d/([a-z0-9-]+)", rule.annotations["dashboard_url"])
        assert found is not None
        assert found.group(1) in uids


@every_query
def test_queries_select_known_metrics_by_labels_that_they_have(query: Any) -> None:
    """An empty panel looks like health."""
    names = metric_names(query.expr)
    assert names <= catalogue.sample_names() | OF_PROMETHEUS
    assert "$" not in query.expr
    for name in names - OF_PROMETHEUS:
        metric = catalogue.find(name)
        assert metric is not None
        assert label_names(query.expr, name) <= {*metric.labels, *TARGET_LABELS}


def test_every_query_parses(tmp_path: Path) -> None:
    """promtool reads them all as recording rules."""
    rules = [
        {"record": f"board:query:number{number}", "expr": query.expr}
        for number, query in enumerate(board_queries())
    ]
    file = tmp_path / "queries.yml"
    file.write_text(json.dumps({"groups": [{"name": "boards", "rules": rules}]}), encoding="utf-8")
    assert f"{len(rules)} rules found" in run_tool("promtool", "check", "rules", file).stdout


def test_no_query_of_a_board_is_left_out() -> None:
    """The list that is put to a real Prometheus has the panels, annotations and variables."""
    (board,) = BOARDS
    targets = sum(len(panel["targets"]) for _, panel in PANELS)
    assert len(list(raw_queries(board))) == len(board_queries()) == targets + 2 + 4


def test_an_unknown_variable_is_an_error_and_not_an_empty_answer() -> None:
    """A query that could not be filled must not be run as it is."""
    with pytest.raises(KeyError):
        fill_variables('up{bot="$bott"}')


def test_data_sources_are_provisioned_with_fixed_uids() -> None:
    """Links and boards never depend on who created them; nobody edits them in place."""
    folder = ROOT / "grafana" / "provisioning"
    (file,) = (folder / "datasources").glob("*.yaml")
    sources = {source["type"]: source for source in read_yaml(file)["datasources"]}
    assert set(sources) == {"prometheus", "alertmanager"}
    assert all(source["uid"] and not source["editable"] for source in sources.values())
    (boards,) = read_yaml(folder / "dashboards" / "trading-ops.yaml")["providers"]
    assert boards["allowUiUpdates"] is False
