"""`Panel` → Grafana's classic panel JSON, through grafana-foundation-sdk.

The SDK leaves panel ids, data sources and legends to its user; they are set here for every panel.
"""

import re

from grafana.boards import links
from grafana.boards.panels import (
    GREEN,
    PER_MINUTE,
    PER_SECOND,
    RED,
    UNKNOWN,
    Absent,
    Axis,
    Column,
    Limits,
    Link,
    Look,
    Panel,
    Query,
    States,
)
from grafana.boards.sdk import (
    common,
    common_builder,
    dashboard,
    dashboard_builder,
    prometheus,
    prometheus_builder,
    stat_builder,
    table_builder,
    timeline_builder,
    timeseries_builder,
)
from grafana.boards.selectors import select

LABELS = {
    "bot": "Bot",
    "symbol": "Symbol",
    "currency": "Currency",
    "alertname": "Alert",
    "sloth_slo": "Objective",
    "decision": "Decision",
    "reason": "Reason",
    "resource": "Resource",
    "series": "Series",
}
"""Titles of the columns that are labels."""

NARROW = 80
"""Minimum width of a column, in pixels."""

CLEAR = "transparent"

DATASOURCE = common.DataSourceRef(type_val="prometheus", uid="${datasource}")

PanelBuilder = (
    stat_builder.Panel
    | timeline_builder.Panel
    | timeseries_builder.Panel
    | table_builder.Panel
    | dashboard_builder.Panel
)
"""The builders that have the setters of every panel."""

COUNTS = frozenset({"short", PER_MINUTE})
RATES = frozenset({PER_SECOND, "ops", "pps", "reqps", "Bps"})
HEADROOM = 1.2
"""How far above the first limit an axis reaches when the values are far below it."""

WIDE = 12
"""Minimum width in columns for a legend at the right."""


def build_panel(
    panel: Panel, number: int, place: dashboard.GridPos, *, opens: str = ""
) -> PanelBuilder:
    """Build one panel; `opens` is the uid of the board with more details."""
    built = _look(panel, place.w)
    built.id(number).title(panel.title).description(panel.description).grid_pos(place)
    built.unit(panel.unit).datasource(DATASOURCE).thresholds(thresholds(panel.thresholds))
    if panel.queries and panel.look is not Look.ALERTS:
        built.targets([_target(query, index, panel) for index, query in enumerate(panel.queries)])
    if panel.decimals is not None:
        built.decimals(panel.decimals)
    if mappings := _mappings(panel.states, panel.absent if panel.look is Look.STAT else None):
        built.mappings(mappings)
    if panel.value_links and not panel.linked:
        built.data_links([build_link(link) for link in panel.value_links])
    for pattern, color in (panel.colors or {}).items():
        fixed = {"mode": "fixed", "fixedColor": color}
        built.override_by_regexp(f"/{pattern}/", _properties({"color": fixed}))
    if any(re.search(r"(^| )limit", query.legend) for query in panel.queries):
        drawn = {"fill": "dash", "dash": [10, 10]}
        fixed = {"mode": "fixed", "fixedColor": RED}
        limit = {"color": fixed, "custom.fillOpacity": 0, "custom.lineStyle": drawn}
        built.override_by_regexp("/limit/", _properties(limit))
    own = [links.runbook(alert) for alert in panel.runbook.split()]
    if panel.look is Look.STAT:
        built.description(_with_links(panel.description, own))
        return built
    more = [links.board(opens)] if opens else []
    if own or more:
        built.links([build_link(link) for link in (*own, *more)])
    return built


def build_link(link: Link) -> dashboard_builder.DashboardLink:
    """Build one link."""
    built = dashboard_builder.DashboardLink(link.title).url(link.url)
    return built.type(dashboard.DashboardLinkType.LINK).target_blank(target_blank=link.new_tab)


def thresholds(limits: Limits) -> dashboard_builder.ThresholdsConfig:
    """Build the thresholds from which a value has a color."""
    steps = [dashboard.Threshold(value=value, color=color) for value, color in limits]
    return dashboard_builder.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(steps)


def _with_links(description: str, runbooks: list[Link]) -> str:
    """Append links to a description: a small panel has no room for them next to its title."""
    written = " ".join(f"[{link.title}]({link.url})." for link in runbooks)
    return f"{description}\n\n{written}" if written else description


def _look(panel: Panel, width: int) -> PanelBuilder:
    if panel.look is Look.STAT:
        return _stat(panel)
    if panel.look is Look.TABLE:
        return _table(panel)
    if panel.look is Look.ALERTS:
        return _alert_list(panel.queries[0].expr)
    legend = common_builder.VizLegendOptions().show_legend(show_legend=True)
    legend.display_mode(common.LegendDisplayMode.LIST).placement(common.LegendPlacement.BOTTOM)
    tooltip = common_builder.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI)
    if panel.look is Look.TIMELINE:
        timeline = timeline_builder.Panel().legend(legend).tooltip(tooltip)
        timeline.color_scheme(_color(dashboard.FieldColorModeId.FIXED))
        return timeline.show_value(common.VisibilityMode.AUTO).row_height(0.8).fill_opacity(80)
    tooltip.sort(common.SortOrder.DESCENDING).hide_zeros(hide_zeros=True)
    if width >= WIDE:
        legend.display_mode(common.LegendDisplayMode.TABLE).calcs(["lastNotNull", "max"])
        legend.placement(common.LegendPlacement.RIGHT).sort_by("Max").sort_desc(sort_desc=True)
    lines = timeseries_builder.Panel().legend(legend).tooltip(tooltip)
    lines.line_width(1).fill_opacity(0).show_points(common.VisibilityMode.NEVER)
    lines.no_value("none in the time shown")
    _scale(lines, panel)
    if panel.look is Look.BARS:
        lines.draw_style(common.GraphDrawStyle.BARS).fill_opacity(70)
    if panel.look is Look.STACK:
        stacked = common_builder.StackingConfig().mode(common.StackingMode.NORMAL)
        lines.stacking(stacked).fill_opacity(60)
    if panel.look is Look.STEPS:
        lines.line_interpolation(common.LineInterpolation.STEP_AFTER)
    return lines


def _scale(lines: timeseries_builder.Panel, panel: Panel) -> None:
    """Set the axis, the colors of the series, and how the limits are drawn."""
    by_name = dashboard.FieldColorModeId.PALETTE_CLASSIC_BY_NAME
    lines.color_scheme(_color(by_name))
    # A line alone does not show that values below it are bad.
    bad_below = panel.thresholds[0][1] == RED
    mode = common.GraphThresholdsStyleMode
    style = common_builder.GraphThresholdsStyleConfig()
    shown = mode.DASHED_AND_AREA if bad_below else mode.DASHED
    lines.thresholds_style(style.mode(shown))
    if panel.axis is Axis.FREE:
        return
    lines.axis_soft_min(0)
    if panel.axis is Axis.SIGNED:
        lines.axis_soft_max(0)
        return
    values = [value for value, _ in panel.thresholds if value is not None]
    if values and values[0] < 0 < values[-1]:
        lines.axis_soft_min(HEADROOM * values[0])
    if bad_below and panel.unit != "percentunit" and values:
        lines.axis_soft_max(HEADROOM * values[-1])
    elif values and not bad_below:
        lines.axis_soft_max(HEADROOM * values[0])
    elif panel.unit in COUNTS | RATES | {"percentunit"}:
        lines.axis_soft_max(0.1 if panel.unit in RATES else 1)


def _color(mode: dashboard.FieldColorModeId) -> dashboard_builder.FieldColor:
    return dashboard_builder.FieldColor().mode(mode)


def _stat(panel: Panel) -> stat_builder.Panel:
    calculation = common_builder.ReduceDataOptions().calcs(["lastNotNull"]).values(values=False)
    stat = stat_builder.Panel().reduce_options(calculation)
    # A value without thresholds is neither good nor bad, so it has no color.
    judged = len(panel.thresholds) > 1
    mode = common.BigValueColorMode
    stat.color_mode(mode.BACKGROUND if judged else mode.NONE)
    return stat.graph_mode(common.BigValueGraphMode.NONE)


def _table(panel: Panel) -> table_builder.Panel:
    """One row for each label set: the queries' frames merged, values and labels as columns."""
    titles = [query.legend for query in panel.queries]
    values = {f"Value #{_letter(index)}": title for index, title in enumerate(titles)}
    renamed = {**LABELS, **values}
    organize = {"excludeByName": {"Time": True}, "renameByName": renamed, "indexByName": {}}
    built = table_builder.Panel().show_header(show_header=True).min_width(NARROW)
    built.with_transformation(dashboard.DataTransformerConfig(id_val="merge", options={}))
    built.with_transformation(dashboard.DataTransformerConfig(id_val="organize", options=organize))
    if panel.worst_first:
        built.sort_by(
            [common_builder.TableSortByFieldState().display_name(panel.worst_first).desc(desc=True)]
        )
    for title, column in (panel.columns or {}).items():
        built.override_by_name(title, _column(column))
    if panel.linked:
        linked = [build_link(link).build() for link in panel.value_links]
        built.override_by_name(LABELS[panel.linked], _properties({"links": linked}))
    return built


def _column(column: Column) -> list[dashboard.DynamicConfigValue]:
    limits = tuple((value, _quiet(color)) for value, color in column.limits)
    states = tuple((value, text, _quiet(color)) for value, text, color in column.states)
    values: dict[str, object] = {
        "unit": column.unit,
        "thresholds": thresholds(limits).build(),
        "custom.cellOptions": {"type": "color-background", "mode": "basic"},
        "mappings": _mappings(states, UNKNOWN),
    }
    if column.decimals is not None:
        values["decimals"] = column.decimals
    return _properties(values)


def _quiet(color: str) -> str:
    """Leave a healthy cell of a table without color, so that the others stand out."""
    return CLEAR if color == GREEN else color


def _properties(values: dict[str, object]) -> list[dashboard.DynamicConfigValue]:
    return [dashboard.DynamicConfigValue(id_val=key, value=value) for key, value in values.items()]


def _alert_list(matcher: str) -> dashboard_builder.Panel:
    options = {
        "viewMode": "list",
        "groupMode": "default",
        "groupBy": [],
        "maxItems": 20,
        "sortOrder": 5,  # the newest first; by importance sorts only Grafana's own rules
        "dashboardAlerts": False,
        "alertName": "",
        "alertInstanceLabelFilter": f'{{alertname!="Watchdog",{matcher}}}',
        "datasource": None,  # of every data source: the name is the installation's own
        "showInactiveAlerts": False,
        "stateFilter": {"firing": True, "pending": False, "error": True, "noData": False},
    }
    return dashboard_builder.Panel().type("alertlist").options(options)


def _mappings(states: States, absent: Absent | None) -> list[dashboard.ValueMapping]:
    """Build the mappings of states and of no data."""
    mappings: list[dashboard.ValueMapping] = [_states(states)] if states else []
    if absent:
        text, color = absent
        result = dashboard.ValueMappingResult(text=text, color=color, index=len(states))
        special = dashboard.DashboardSpecialValueMapOptions(
            match=dashboard.SpecialValueMatch.NULL_AND_NAN, result=result
        )
        mappings.append(dashboard.SpecialValueMap(options=special))
    return mappings


def _states(states: States) -> dashboard.ValueMap:
    return dashboard.ValueMap(
        options={
            value: dashboard.ValueMappingResult(text=text, color=color, index=index)
            for index, (value, text, color) in enumerate(states)
        }
    )


def _target(query: Query, index: int, panel: Panel) -> prometheus_builder.Dataquery:
    target = prometheus_builder.Dataquery().ref_id(_letter(index)).expr(select(query.expr))
    target.legend_format(query.legend).datasource(DATASOURCE)
    if panel.look is Look.TABLE:
        return target.instant().format(prometheus.PromQueryFormat.TABLE)
    return target.instant() if panel.look is Look.STAT else target.range()


def _letter(index: int) -> str:
    return chr(ord("A") + index)
