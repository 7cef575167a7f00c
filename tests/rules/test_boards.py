"""The Grafana boards: generated, set up, and free of what Grafana's own linter finds.

The rules of dashboard-linter are these tests, over all boards; `.lint` has the exceptions for both.
"""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from grafana.boards.layout import add_rows
from grafana.boards.panels import PER_MINUTE, PER_SECOND, row, stat, timeline
from grafana.boards.queries import DASHBOARDS, panels_of
from grafana.boards.sdk import dashboard_builder
from grafana.boards.writing import differences, write_boards
from tests.rules.boards import BOARDS, EXCLUSIONS, PANELS, Board, excused, where
from tests.rules.configuration import ROOT, metric_names

UNITS = frozenset(
    [
        "short",
        "none",
        "percentunit",
        "s",
        "bytes",
        "Bps",
        PER_SECOND,
        PER_MINUTE,
        "reqps",
        "ops",
        "pps",
        "bool",
        "locale",
        "currencyUSD",
        "dateTimeFromNow",
    ]
)
"""Those of Grafana's units that are used here: a wrong name is shown as text behind the value."""

LEGENDS = ("timeseries", "state-timeline")
COLORS = {"green", "yellow", "red"}
every_board = pytest.mark.parametrize("board", BOARDS, ids=lambda board: board["uid"])


def test_the_source_gives_the_committed_boards_byte_for_byte(tmp_path: Path) -> None:
    """No one has edited the JSON, and no one has forgotten to write it again."""
    command = [sys.executable, "-W", "error", "-m", "grafana.boards", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True)
    written = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert written == {path.name: path.read_bytes() for path in DASHBOARDS.iterdir()}
    assert len(written) == len(BOARDS) + 1


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: (folder / "bot.json").write_text("{}"),
        lambda folder: (folder / "bot.json").unlink(),
        lambda folder: (folder / "old.json").write_text("{}"),
        lambda folder: (folder / ".lint").write_text(""),
    ],
    ids=["edited", "missing", "left over", "lint edited"],
)
def test_a_difference_is_found(tmp_path: Path, spoil: Callable[[Path], object]) -> None:
    """`make boards` says which file."""
    write_boards(tmp_path)
    assert differences(tmp_path) == []
    spoil(tmp_path)
    assert len(differences(tmp_path)) == 1
    write_boards(tmp_path)
    assert differences(tmp_path) == []


def test_there_are_nine_boards_and_one_is_the_first() -> None:
    """Their uids are in alerts and bookmarks."""
    names = "bot capacity databases host overview recovery slo trading venue"
    assert [board["uid"] for board in BOARDS] == [f"trading-ops-{name}" for name in names.split()]


def test_the_menu_is_in_the_order_of_the_questions() -> None:
    """Grafana sorts it by title."""
    uids = [board["uid"] for board in sorted(BOARDS, key=lambda board: str(board["title"]))]
    asked = "overview trading bot venue recovery slo host databases capacity"
    assert uids == [f"trading-ops-{name}" for name in asked.split()]


@every_board
def test_a_board_is_fixed(board: Board) -> None:
    """Its uid is in links, and its only source is the code."""
    assert re.fullmatch(r"[a-z0-9-]{8,40}", board["uid"])
    assert board["editable"] is False
    assert "id" not in board
    assert board["tags"] == ["trading-ops"]
    assert board["description"].endswith((".", "?"))
    assert board["timezone"] == "utc"


@every_board
def test_variables_let_it_be_used_with_any_data_source(board: Board) -> None:
    """One data source variable, and those that narrow the view, reloaded with the time."""
    variables = {variable["name"]: variable for variable in board["templating"]["list"]}
    assert list(variables) == [
        *("datasource", "job", "instance", "team", "host", "venue", "bot", "bots")
    ]
    source = variables.pop("datasource")
    assert (source["type"], source["query"]) == ("datasource", "prometheus")
    assert source["label"] == "Data source"
    for name, variable in variables.items():
        assert variable["type"] == "query"
        assert variable["label"] == name.title()
        assert variable["datasource"]["uid"] == "${datasource}"
        assert variable["refresh"] == 2
        if (board["uid"], name) == ("trading-ops-bot", "bot"):  # it shows one at a time
            assert not variable["multi"]
            assert not variable["includeAll"]
            continue
        assert variable["multi"]
        assert variable["includeAll"]
        # Every scrape has a job and an instance; not everything has a team, a bot or a venue.
        every = {"job": ".+", "instance": ".+", "bots": None}
        assert variable.get("allValue") == every.get(name, ".*")
        assert re.fullmatch(r"label_values\(.+, *\w+\)", variable["query"]["query"])


@every_board
def test_annotations_show_what_happened(board: Board) -> None:
    """On every panel: alerts, what the reconciler did, deployments, and what is stalled."""
    annotations = {entry["name"]: entry for entry in board["annotations"]["list"]}
    happened = "Alerts Incidents Attempts Deploys Restarts Halts Maintenance"
    assert list(annotations) == happened.split()
    assert 'alertstate="firing"' in annotations["Alerts"]["expr"]
    assert all(entry["datasource"]["uid"] == "${datasource}" for entry in annotations.values())
    assert all(entry["enable"] for entry in annotations.values())


@every_board
def test_panels_fill_the_grid_without_overlap_or_gap(board: Board) -> None:
    """Every cell of the 24 columns is covered once, to the bottom; a closed row is the last."""
    cells = [
        (column, line)
        for place in (panel["gridPos"] for panel in panels_of(board))
        for column in range(place["x"], place["x"] + place["w"])
        for line in range(place["y"], place["y"] + place["h"])
    ]
    assert not any(panel.get("collapsed") for panel in board["panels"][:-1])
    height = max(line for _, line in cells) + 1
    assert len(set(cells)) == len(cells)
    assert set(cells) == {(column, line) for column in range(24) for line in range(height)}


@every_board
def test_the_most_important_comes_first(board: Board) -> None:
    """The head is one or two lines of large figures, of which at least one can be red."""
    panels = list(panels_of(board))
    head = [panel for panel in panels if panel["type"] == "stat"]
    assert panels[: len(head)] == head
    assert any(panel["fieldConfig"]["defaults"]["thresholds"]["steps"][1:] for panel in head)
    assert len({panel["gridPos"]["y"] for panel in head}) <= 2
    rows = [panel["gridPos"]["y"] for panel in panels_of(board) if panel["type"] == "row"]
    assert rows == sorted(rows)
    assert rows[0] > 0


@every_board
def test_panels_have_ids_and_titles_of_their_own(board: Board) -> None:
    """Two of one id break Grafana's links; two with one title confuse readers and `.lint`."""
    for key in ("id", "title"):
        values = [panel[key] for panel in panels_of(board)]
        assert len(set(values)) == len(values)


@every_board
def test_a_panel_explains_itself(board: Board) -> None:
    """Title, description, unit, thresholds, the variable data source, a legend."""
    for panel in (panel for panel in panels_of(board) if panel["type"] != "row"):
        place = where(board, panel)
        assert panel["title"], place
        assert panel["description"].endswith("."), place
        defaults = panel["fieldConfig"]["defaults"]
        assert defaults["unit"] in UNITS, place
        steps = defaults["thresholds"]["steps"]
        assert steps[0]["value"] is None, place
        values = [step["value"] for step in steps[1:]]
        assert values == sorted(values), place
        assert {step["color"] for step in steps} <= COLORS, place
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}, place
        if panel["type"] in LEGENDS:
            assert panel["options"]["legend"]["showLegend"] is True, place


@every_board
def test_the_columns_of_a_table_are_those_of_its_queries(board: Board) -> None:
    """Each value has a title, a unit and thresholds of its own; a misspelt one would have none."""
    for panel in (panel for panel in panels_of(board) if panel["type"] == "table"):
        overrides = {
            override["matcher"]["options"]: override
            for override in panel["fieldConfig"]["overrides"]
        }
        titles = [target["legendFormat"] for target in panel["targets"]]
        assert list(overrides)[: len(titles)] == titles
        renamed = panel["transformations"][1]["options"]["renameByName"]
        values = {
            f"Value #{target['refId']}": target["legendFormat"] for target in panel["targets"]
        }
        assert values.items() <= renamed.items()
        assert set(overrides) <= set(renamed.values())
        expr = panel["targets"][0]["expr"]
        outermost = re.match(r"\w+ by \(([^)]*)\)", expr)
        for labels in outermost.groups() if outermost else re.findall(r"\bby \(([^)]*)\)", expr):
            assert set(labels.split(", ")) <= set(renamed)
        assert all(target["format"] == "table" for target in panel["targets"])
        assert all(target["instant"] for target in panel["targets"])
        for override in (overrides[title] for title in titles):
            values = {entry["id"]: entry["value"] for entry in override["properties"]}
            assert values["unit"] in UNITS
            assert values["thresholds"]["steps"]


def test_exceptions_from_the_lint_are_all_needed() -> None:
    """One that names a panel that is gone, or that needs none, hides the next mistake."""
    for rule, name in (("target-job-rule", "job"), ("target-instance-rule", "instance")):
        needed = {
            (board["title"], panel["title"])
            for board, panel in PANELS
            for target in panel.get("targets") or ()
            if selectors_without(name, target["expr"])
        }
        entries = EXCLUSIONS[rule]["entries"]
        assert {(entry["dashboard"], entry["panel"]) for entry in entries} == needed
        assert len(entries) == len(needed)
    assert set(EXCLUSIONS) == {"target-job-rule", "target-instance-rule"}


def selectors_without(label: str, expr: str) -> list[str]:
    """Find the metrics that a query does not narrow by a variable."""
    return [
        name
        for name in metric_names(expr)
        for matchers in re.findall(rf"(?<![\w:]){name}(?![\w:])(\{{[^}}]*\}})?", expr)
        if f'{label}=~"${label}"' not in matchers
    ]


@every_board
def test_queries_follow_the_variables(board: Board) -> None:
    """Each has a source, a name, the chosen jobs and instances, and a window that fits the zoom."""
    for panel in (panel for panel in panels_of(board) if panel["type"] not in {"row", "alertlist"}):
        place = where(board, panel)
        assert panel["targets"], place
        letters = [target["refId"] for target in panel["targets"]]
        assert len(set(letters)) == len(letters), place
        names = [target["legendFormat"] for target in panel["targets"]]
        assert all(names), place
        assert len(set(names)) == len(names), place
        for target in panel["targets"]:
            expr = target["expr"]
            assert target["datasource"]["uid"] == "${datasource}", place
            for name in ("job", "instance"):
                missing = selectors_without(name, expr)
                assert not missing or excused(f"target-{name}", board, panel), (place, missing)
            for window in re.findall(r"\bi?rate\([^\[]*\[([^\]]+)\]", expr):
                assert window == "$__rate_interval", place


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ([stat("a", "short", "up", "A."), timeline("b", "up", "b", "B.")], "differ in height"),
        ([stat(title, "short", "up", "A.") for title in "abcde"], "cannot share 24 columns"),
    ],
)
def test_a_line_that_does_not_fill_the_grid_is_an_error(line: Any, problem: str) -> None:
    """Found when the board is made, by name."""
    with pytest.raises(ValueError, match=problem):
        add_rows(dashboard_builder.Dashboard("a"), [row("", line)])
