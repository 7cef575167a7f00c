"""What a board looks like: no data is never healthy, severity has its color, axes fit."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from grafana.boards.panels import PER_MINUTE, PER_SECOND
from tests.rules.boards import PANELS, TARGETS, Panel, where

UNKNOWN = {"text": "unknown", "color": "purple"}
OTHERWISE_ABSENT = {"MTTA", "MTTR", "Query time", "Dead man"}
"""Figures of which there is legitimately none: nothing happened, or nothing is armed."""

LABELS_WITH_A_MEANING = ("outcome", "level", "result")
FIRING = [panel for _, panel in PANELS if panel["title"] == "Firing alerts"]


def mappings_of(panel: Panel) -> Iterator[list[dict[str, Any]]]:
    """Yield the mappings of a figure, or of each column of a table that is a value."""
    if panel["type"] == "stat":
        yield panel["fieldConfig"]["defaults"].get("mappings") or []
    if panel["type"] == "table":
        overrides = {
            override["matcher"]["options"]: override
            for override in panel["fieldConfig"]["overrides"]
        }
        for target in panel["targets"]:
            entries = overrides[target["legendFormat"]]["properties"]
            yield next((entry["value"] for entry in entries if entry["id"] == "mappings"), [])


def test_no_data_is_never_shown_as_healthy() -> None:
    """When a bot dies its series end: its figures are unknown then, and not green."""
    figures = [
        (where(board, panel), panel["title"], mappings)
        for board, panel in PANELS
        for mappings in mappings_of(panel)
    ]
    assert figures
    for what, title, mappings in figures:
        special = [mapping["options"] for mapping in mappings if mapping["type"] == "special"]
        assert [variant["match"] for variant in special] == ["null+nan"], what
        shown = {key: special[0]["result"][key] for key in UNKNOWN}
        assert shown == UNKNOWN or title in OTHERWISE_ABSENT, what
        assert shown["color"] != "green", what


def test_no_query_answers_zero_for_a_bot_that_does_not_answer() -> None:
    """`or vector(0)` is true of alerts, which Prometheus itself knows, and of nothing else."""
    for board, panel, target in TARGETS:
        if re.search(r"\bor vector\(", target["expr"]):
            assert set(re.findall(r"\b(?:trading|slo|up|ALERTS)\w*", target["expr"])) == {
                "ALERTS"
            }, where(board, panel)


@pytest.mark.parametrize("title", ["Daily loss", "Exposure", "Drawdown"])
def test_money_of_a_bot_that_died_stays_visible(title: str) -> None:
    """What it held and lost is still held and lost."""
    panels = [panel for _, panel in PANELS if (panel["title"], panel["type"]) == (title, "stat")]
    assert len(panels) == 2
    for panel in panels:
        assert "last_over_time(" in panel["targets"][0]["expr"]


def test_money_and_stopped_bots_come_first_on_the_overview() -> None:
    """They are what is asked first at night."""
    titles = [panel["title"] for board, panel in PANELS if board["uid"] == "trading-ops-overview"]
    assert titles[:6] == [
        "Daily loss",
        "Exposure",
        "Drawdown",
        "Bots stopped",
        "Critical",
        "Escalated",
    ]


def test_no_figure_is_green_without_data() -> None:
    """`vector(0)` would say that nothing is wrong while nothing is watched."""
    figures = [panel for _, panel in PANELS if panel["type"] == "stat"]
    made_up = [
        panel["title"]
        for panel in figures
        if any("vector(0)" in target["expr"] for target in panel["targets"])
    ]
    assert figures
    assert made_up == []


def test_a_critical_alert_looks_different_from_a_warning() -> None:
    """In the band of what fires, by the label of the alert."""
    assert FIRING
    for panel in FIRING:
        (states,) = panel["fieldConfig"]["defaults"]["mappings"]
        shown = {
            option["text"]: (value, option["color"]) for value, option in states["options"].items()
        }
        assert shown["critical"] == ("3", "red")
        assert shown["warning"] == ("2", "yellow")
        assert shown["none"] == ("0", "green")
        expr = panel["targets"][0]["expr"]
        for severity, (value, _) in shown.items():
            if value in {"2", "3"}:
                assert re.search(rf'severity="{severity}"[^}}]*}}\) \* {value}', expr)


def test_the_list_of_alerts_is_of_those_that_fire() -> None:
    """The newest first: the front end cannot sort the rules of Prometheus by importance."""
    lists = [panel["options"] for _, panel in PANELS if panel["type"] == "alertlist"]
    assert lists
    for options in lists:
        assert options["stateFilter"]["firing"] is True
        assert options["stateFilter"]["pending"] is False
        assert options["sortOrder"] == 5
    filters = {alert_list["alertInstanceLabelFilter"] for alert_list in lists}
    critical = 'severity=~"critical|emergency"'
    assert {critical in label_filter for label_filter in filters} == {True, False}, (
        "critical alerts apart"
    )


def test_percentiles_of_nothing_are_absent() -> None:
    """NaN gives a graph an axis without figures."""
    for board, panel in PANELS:
        for target in panel.get("targets", []):
            if panel["type"] == "timeseries" and "histogram_quantile(" in target["expr"]:
                assert target["expr"].endswith(" >= 0"), where(board, panel)


def test_a_color_has_one_meaning() -> None:
    """Series whose label says how something ended have fixed colors; the rest go by name."""
    for board, panel in PANELS:
        if panel["type"] != "timeseries":
            continue
        mode = panel["fieldConfig"]["defaults"]["color"]["mode"]
        assert mode in {"palette-classic-by-name", "thresholds"}, where(board, panel)
        legends = " ".join(target["legendFormat"] for target in panel["targets"])
        if any(f"{{{{{label}}}}}" in legends for label in LABELS_WITH_A_MEANING):
            matchers = [override["matcher"]["id"] for override in panel["fieldConfig"]["overrides"]]
            assert "byRegexp" in matchers, where(board, panel)


SCALED = {"short", "percentunit", PER_SECOND, PER_MINUTE}


def test_a_graph_of_zeros_keeps_a_scale() -> None:
    """Without one its axis goes to 100, or to 10,000 %, and the limit lies on the floor."""
    for board, panel in PANELS:
        defaults = panel["fieldConfig"]["defaults"]
        custom = defaults.get("custom", {})
        if (custom.get("axisSoftMin"), custom.get("axisSoftMax")) == (0, 0):
            continue  # profit and loss: both sides of zero
        if panel["type"] == "timeseries" and defaults["unit"] in SCALED:
            assert custom.get("axisSoftMax") or "axisSoftMin" not in custom, where(board, panel)


def test_a_floor_is_drawn_as_an_area() -> None:
    """A dashed line in green or yellow does not say on which side it is bad."""
    for board, panel in PANELS:
        defaults = panel["fieldConfig"]["defaults"]
        if panel["type"] == "timeseries" and defaults["thresholds"]["steps"][0]["color"] == "red":
            mode = defaults["custom"]["thresholdsStyle"]["mode"]
            assert mode == "dashed+area", where(board, panel)


def test_state_timelines_say_what_their_colors_mean() -> None:
    """In the bands, without pages below them."""
    for board, panel in PANELS:
        if panel["type"] == "state-timeline":
            assert panel["options"]["showValue"] == "auto", where(board, panel)
            assert panel["options"]["perPage"] == 0, where(board, panel)
            colors = [
                option["color"]
                for mapping in panel["fieldConfig"]["defaults"]["mappings"]
                for option in mapping["options"].values()
            ]
            assert len(colors) > 1, where(board, panel)


def test_titles_of_figures_fit_their_tiles() -> None:
    """On a laptop with the menu open a tile has room for about twelve letters."""
    for board, panel in PANELS:
        if panel["type"] == "stat":
            assert len(panel["title"]) <= 12, where(board, panel)
            assert panel["gridPos"]["w"] >= 4, where(board, panel)
            assert not panel.get("links"), where(board, panel)


def test_a_table_of_bots_or_objectives_begins_with_the_worst() -> None:
    """With a dozen bots the one that is down must not be below the fold."""
    sorted_by = {
        panel["title"]: panel["options"].get("sortBy")
        for _, panel in PANELS
        if panel["type"] == "table"
    }
    assert sorted_by["All bots"] == [{"displayName": "State", "desc": True}]
    assert sorted_by["All objectives"] == [{"displayName": "Burn rate now", "desc": True}]


def test_the_board_of_a_bot_shows_one_bot() -> None:
    """Its figures have no room for a dozen."""
    (board,) = {
        board["uid"]: board for board, _ in PANELS if board["uid"].endswith("-bot")
    }.values()
    (bot,) = (variable for variable in board["templating"]["list"] if variable["name"] == "bot")
    assert not bot["multi"]
    assert not bot["includeAll"]


def only(title: str, kind: str) -> Panel:
    """Return the one panel of this title and type."""
    (found,) = (panel for _, panel in PANELS if (panel["title"], panel["type"]) == (title, kind))
    return found


def limits_of(panel: Panel) -> list[tuple[str, float]]:
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    return [(step["color"], step["value"]) for step in steps if step["value"] is not None]


def test_an_age_is_not_counted_from_1970() -> None:
    """A time of ours is 0 until there is one."""
    for board, panel, target in TARGETS:
        for name in re.findall(r"time\(\) - \(?\w+\((\w+)", target["expr"]):
            if name.startswith("trading_ops_"):
                assert "> 0" in target["expr"], where(board, panel)


def test_a_forecast_stops_at_nothing_left() -> None:
    """A disk has no less than no space, and a budget is not spent a hundred times."""
    for board, panel, target in TARGETS:
        if "predict_linear(" in target["expr"]:
            assert "clamp" in target["expr"], where(board, panel)


def test_events_are_whole() -> None:
    """`increase` extrapolates: one event would be 1.33."""
    for board, panel, target in TARGETS:
        expr = target["expr"]
        if "increase(" in expr and "/" not in expr and "histogram_quantile" not in expr:
            assert "round(" in expr, where(board, panel)


def test_the_fastest_burn_is_red_when_its_alert_can_fire() -> None:
    """Both windows of each pair, as a share of the alert's threshold."""
    panel = only("Fastest burn", "stat")
    (target,) = panel["targets"]
    assert set(re.findall(r"ratio_rate(\w+)", target["expr"])) == {"5m", "1h", "30m", "6h"}
    assert ("red", 1) in limits_of(panel)


def test_what_has_no_alert_is_not_red() -> None:
    assert limits_of(only("MTTA", "stat")) == []


def test_both_measures_of_the_clock_are_in_figure_and_graph() -> None:
    for title, kind in (("Clock skew", "stat"), ("Venue clock skew", "timeseries")):
        asked = " ".join(target["expr"] for target in only(title, kind)["targets"])
        for name in ("trading_venue_clock_skew_seconds", "trading_clock_skew_seconds"):
            assert re.search(rf"\b{name}\b", asked), title


@pytest.mark.parametrize("title", ["Equity", "Prices"])
def test_what_is_far_from_zero_has_no_axis_from_zero(title: str) -> None:
    defaults = only(title, "timeseries")["fieldConfig"]["defaults"]
    assert defaults.get("min") is None
    assert defaults["custom"].get("axisSoftMin") is None


def test_the_age_of_a_backup_is_on_the_board_of_databases() -> None:
    asked = [
        target["expr"] for board, _, target in TARGETS if board["uid"] == "trading-ops-databases"
    ]
    assert any("trading_ops_backup_recoverable_to_timestamp_seconds" in expr for expr in asked)


def test_a_line_among_many_is_found_by_its_value() -> None:
    """In the tooltip the largest is first, and a wide graph has the values in its legend."""
    for board, panel in PANELS:
        if panel["type"] == "timeseries":
            options = panel["options"]
            assert options["tooltip"]["sort"] == "desc", where(board, panel)
            assert options["tooltip"]["hideZeros"], where(board, panel)
            assert options["legend"]["calcs"] or panel["gridPos"]["w"] < 12, where(board, panel)


def test_the_bar_of_controls_is_one_line() -> None:
    """Only what users choose is shown, and the switch of the alerts."""
    for board in {board["uid"]: board for board, _ in PANELS}.values():
        shown = [
            variable["name"]
            for variable in board["templating"]["list"]
            if variable.get("hide") != 2
        ]
        assert shown == ["datasource", "team", "host", "venue", "bot"], board["title"]
        switches = [
            annotation["name"]
            for annotation in board["annotations"]["list"]
            if not annotation.get("hide")
        ]
        assert switches == ["Alerts"], board["title"]


def test_an_alert_marks_its_beginning_only() -> None:
    """A region to the present would tint what one wants to read, and a warning marks nothing."""
    for board in {board["uid"]: board for board, _ in PANELS}.values():
        (alerts,) = (
            annotation
            for annotation in board["annotations"]["list"]
            if annotation["name"] == "Alerts"
        )
        assert 'severity=~"critical|emergency"' in alerts["expr"]
        assert re.search(r"unless ALERTS\{.*\} offset \d+s$", alerts["expr"]), alerts["expr"]


def test_a_limit_is_red_where_its_alert_fires() -> None:
    """An order may use its limit up in normal operation; the three limits with alerts may not."""
    with_alerts, of_orders = (
        only("Limits with alerts", "timeseries"),
        only("Order limits", "timeseries"),
    )
    assert [color for color, _ in limits_of(of_orders)] == []
    ((color, value),) = limits_of(with_alerts)
    assert color == "red"
    assert value > 1
    names = 'limit{}"daily_loss|total_drawdown|exposure"'
    assert names.format("=~") in with_alerts["targets"][0]["expr"]
    assert names.format("!~") in of_orders["targets"][0]["expr"]


def test_a_venue_that_is_online_is_green_and_each_other_state_is_not() -> None:
    """The states have names: a number says nothing about a venue."""
    (panel,) = (panel for _, panel in PANELS if panel["title"] == "Status that the venue reports")
    (mapping,) = panel["fieldConfig"]["defaults"]["mappings"]
    colors = {state["text"]: state["color"] for state in mapping["options"].values()}
    green = {name for name, color in colors.items() if color == "green"}
    assert green == {"online"}
    assert {"restricted", "maintenance"} <= colors.keys()
