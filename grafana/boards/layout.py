"""`Row` and `Panel` → Grafana's classic dashboard JSON, through grafana-foundation-sdk.

The SDK leaves panel ids, data sources and legends to its user; they are set here for every panel.
"""

from collections.abc import Sequence

from grafana.boards.panels import Look, Panel, Query, Row
from grafana.boards.sdk import (
    common,
    common_builder,
    dashboard,
    dashboard_builder,
    prometheus_builder,
    stat_builder,
    timeline_builder,
    timeseries_builder,
)

COLUMNS = 24
DATASOURCE = common.DataSourceRef(type_val="prometheus", uid="${datasource}")
RUNBOOKS = "https://trading-ops.example.invalid/runbooks"

PanelBuilder = stat_builder.Panel | timeline_builder.Panel | timeseries_builder.Panel
"""The three share the setters that every panel has."""


def add_rows(board: dashboard_builder.Dashboard, rows: Sequence[Row]) -> None:
    """Lay all rows onto the grid, from the top, without gaps.

    Raises:
        ValueError: a line of panels does not fill the 24 columns with one height.
    """
    number, top = 1, 0
    for row in rows:
        if row.title:
            heading = dashboard_builder.Row(row.title).id(number)
            board.with_row(heading.grid_pos(dashboard.GridPos(x=0, y=top, w=COLUMNS, h=1)))
            number, top = number + 1, top + 1
        left = 0
        for panel in row.panels:
            place = dashboard.GridPos(x=left, y=top, w=panel.width, h=panel.height)
            board.with_panel(_build(panel, number, place))
            number, left = number + 1, left + panel.width
            if left == COLUMNS:
                left, top = 0, top + panel.height
        if left:
            raise ValueError(
                f"the last line of row {row.title!r} fills {left} columns of {COLUMNS}"
            )


def _build(panel: Panel, number: int, place: dashboard.GridPos) -> PanelBuilder:
    built = _look(panel)
    built.id(number).title(panel.title).description(panel.description).grid_pos(place)
    built.unit(panel.unit).datasource(DATASOURCE).thresholds(_thresholds(panel))
    built.targets([_target(query, index, panel) for index, query in enumerate(panel.queries)])
    if panel.decimals is not None:
        built.decimals(panel.decimals)
    if panel.states:
        built.mappings([_states(panel)])
    if panel.runbook:
        link = dashboard_builder.DashboardLink(f"Runbook: {panel.runbook}")
        link.type(dashboard.DashboardLinkType.LINK).target_blank(target_blank=True)
        built.links([link.url(f"{RUNBOOKS}/{panel.runbook}.md")])
    return built


def _look(panel: Panel) -> PanelBuilder:
    if panel.look is Look.STAT:
        return _stat()
    legend = common_builder.VizLegendOptions().show_legend(show_legend=True)
    legend.display_mode(common.LegendDisplayMode.LIST).placement(common.LegendPlacement.BOTTOM)
    tooltip = common_builder.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI)
    if panel.look is Look.TIMELINE:
        timeline = timeline_builder.Panel().legend(legend).tooltip(tooltip)
        return timeline.show_value(common.VisibilityMode.NEVER).row_height(0.8).fill_opacity(80)
    lines = timeseries_builder.Panel().legend(legend).tooltip(tooltip)
    lines.line_width(1).fill_opacity(10).show_points(common.VisibilityMode.NEVER)
    lines.axis_soft_min(0).thresholds_style(
        common_builder.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.DASHED)
    )
    if panel.look is Look.STEPS:
        lines.line_interpolation(common.LineInterpolation.STEP_AFTER)
    return lines


def _stat() -> stat_builder.Panel:
    calculation = common_builder.ReduceDataOptions().calcs(["lastNotNull"]).values(values=False)
    stat = stat_builder.Panel().reduce_options(calculation)
    stat.color_mode(common.BigValueColorMode.BACKGROUND)
    return stat.graph_mode(common.BigValueGraphMode.NONE)


def _thresholds(panel: Panel) -> dashboard_builder.ThresholdsConfig:
    steps = [dashboard.Threshold(value=value, color=color) for value, color in panel.thresholds]
    return dashboard_builder.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(steps)


def _states(panel: Panel) -> dashboard.ValueMap:
    return dashboard.ValueMap(
        options={
            value: dashboard.ValueMappingResult(text=text, color=color, index=index)
            for index, (value, text, color) in enumerate(panel.states)
        }
    )


def _target(query: Query, index: int, panel: Panel) -> prometheus_builder.Dataquery:
    target = prometheus_builder.Dataquery().ref_id(chr(ord("A") + index))
    target.expr(query.expr).legend_format(query.legend).datasource(DATASOURCE)
    return target.instant() if panel.look is Look.STAT else target.range()
