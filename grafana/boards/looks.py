"""`Panel` → Grafana's classic panel JSON, through grafana-foundation-sdk.

The SDK leaves panel ids, data sources and legends to its user; they are set here for every panel.
"""

from grafana.boards import links
from grafana.boards.panels import Column, Limits, Link, Look, Panel, Query, States
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

DATASOURCE = common.DataSourceRef(type_val="prometheus", uid="${datasource}")

PanelBuilder = (
    stat_builder.Panel
    | timeline_builder.Panel
    | timeseries_builder.Panel
    | table_builder.Panel
    | dashboard_builder.Panel
)
"""They share the setters that every panel has."""


def build_panel(
    panel: Panel, number: int, place: dashboard.GridPos, *, opens: str = ""
) -> PanelBuilder:
    """Build one panel; `opens` is the uid of the board that tells more."""
    built = _look(panel)
    built.id(number).title(panel.title).description(panel.description).grid_pos(place)
    built.unit(panel.unit).datasource(DATASOURCE).thresholds(thresholds(panel.thresholds))
    if panel.queries:
        built.targets([_target(query, index, panel) for index, query in enumerate(panel.queries)])
    if panel.decimals is not None:
        built.decimals(panel.decimals)
    if panel.states:
        built.mappings([_states(panel.states)])
    if panel.value_links:
        built.data_links([build_link(link) for link in panel.value_links])
    own = [links.runbook(alert) for alert in panel.runbook.split()]
    more = [links.board(opens)] if opens else []
    if own or more:
        built.links([build_link(link) for link in (*own, *more)])
    return built


def build_link(link: Link) -> dashboard_builder.DashboardLink:
    """Build one link."""
    built = dashboard_builder.DashboardLink(link.title).url(link.url)
    return built.type(dashboard.DashboardLinkType.LINK).target_blank(target_blank=link.new_tab)


def thresholds(limits: Limits) -> dashboard_builder.ThresholdsConfig:
    """Build the limits from which on a value has a colour."""
    steps = [dashboard.Threshold(value=value, color=color) for value, color in limits]
    return dashboard_builder.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(steps)


def _look(panel: Panel) -> PanelBuilder:
    if panel.look is Look.STAT:
        return _stat()
    if panel.look is Look.TABLE:
        return _table(panel)
    if panel.look is Look.ALERTS:
        return _alert_list()
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
    if panel.look is Look.BARS:
        lines.draw_style(common.GraphDrawStyle.BARS).fill_opacity(70)
    if panel.look is Look.STEPS:
        lines.line_interpolation(common.LineInterpolation.STEP_AFTER)
    return lines


def _stat() -> stat_builder.Panel:
    calculation = common_builder.ReduceDataOptions().calcs(["lastNotNull"]).values(values=False)
    stat = stat_builder.Panel().reduce_options(calculation)
    stat.color_mode(common.BigValueColorMode.BACKGROUND)
    return stat.graph_mode(common.BigValueGraphMode.NONE)


def _table(panel: Panel) -> table_builder.Panel:
    """One row for each label set: the queries' frames merged, their values renamed to columns."""
    titles = [query.legend for query in panel.queries]
    renamed = {f"Value #{_letter(index)}": title for index, title in enumerate(titles)}
    organize = {"excludeByName": {"Time": True}, "renameByName": renamed, "indexByName": {}}
    built = table_builder.Panel().show_header(show_header=True)
    built.with_transformation(dashboard.DataTransformerConfig(id_val="merge", options={}))
    built.with_transformation(dashboard.DataTransformerConfig(id_val="organize", options=organize))
    for title, column in (panel.columns or {}).items():
        built.override_by_name(title, _column(column))
    return built


def _column(column: Column) -> list[dashboard.DynamicConfigValue]:
    values: dict[str, object] = {
        "unit": column.unit,
        "thresholds": thresholds(column.limits).build(),
        "custom.cellOptions": {"type": "color-background", "mode": "basic"},
    }
    if column.states:
        values["mappings"] = [_states(column.states)]
    if column.decimals is not None:
        values["decimals"] = column.decimals
    return [dashboard.DynamicConfigValue(id_val=key, value=value) for key, value in values.items()]


def _alert_list() -> dashboard_builder.Panel:
    options = {
        "viewMode": "list",
        "groupMode": "default",
        "groupBy": [],
        "maxItems": 20,
        "sortOrder": 3,  # the most important first
        "dashboardAlerts": False,
        "alertName": "",
        "alertInstanceLabelFilter": '{alertname!="Watchdog"}',
        "datasource": None,  # of every data source: the name is the installation's own
        "showInactiveAlerts": False,
        "stateFilter": {"firing": True, "pending": True, "error": True, "noData": False},
    }
    return dashboard_builder.Panel().type("alertlist").options(options)


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
