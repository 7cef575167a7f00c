"""The first board: is everything well, and if not, which of the three slices is it?"""

from grafana.boards.layout import DATASOURCE, RUNBOOKS, add_rows
from grafana.boards.panels import OF_BOT, OF_VENUE, WATCHED
from grafana.boards.rows import ROWS
from grafana.boards.sdk import dashboard, dashboard_builder

UID = "trading-ops-overview"
VARIABLES = (
    ("job", "Job", 'label_values(up{job=~"trading-.+"}, job)'),
    ("instance", "Instance", 'label_values(up{job=~"$job"}, instance)'),
    ("venue", "Venue", f"label_values(up{{{WATCHED}}}, venue)"),
    ("bot", "Bot", f"label_values(up{{{OF_VENUE}}}, bot)"),
)


def overview() -> dashboard.Dashboard:
    """Build the board."""
    board = dashboard_builder.Dashboard("Trading overview").uid(UID).readonly()
    board.description("Is everything well, and if not: the bot, its broker session, or its feed?")
    board.tags(["trading-ops"]).timezone("utc").refresh("5s").time("now-30m", "now")
    board.tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
    source = dashboard_builder.DatasourceVariable("datasource").label("Data Source")
    board.with_variable(source.type("prometheus"))
    for name, label, query in VARIABLES:
        board.with_variable(_variable(name, label, query))
    board.annotation(_alerts()).annotation(_restarts())
    board.link(_other_boards()).link(_runbooks())
    add_rows(board, ROWS)
    return board.build()


def _variable(name: str, label: str, query: str) -> dashboard_builder.QueryVariable:
    every = dashboard.VariableOption(selected=True, text=["All"], value=["$__all"])
    variable = dashboard_builder.QueryVariable(name).label(label).datasource(DATASOURCE)
    variable.query({"query": query, "refId": f"variable-{name}"}).definition(query)
    variable.refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
    variable.sort(dashboard.VariableSort.ALPHABETICAL_ASC)
    # `.*`, so that series without the label are there as long as nothing is chosen.
    return variable.multi(multi=True).include_all(include_all=True).all_value(".*").current(every)


def _alerts() -> dashboard_builder.AnnotationQuery:
    query = dashboard_builder.AnnotationQuery().name("Alerts").datasource(DATASOURCE)
    query.enable(enable=True).icon_color("red").title_format("{{alertname}}")
    query.text_format("bot {{bot}}, venue {{venue}}").tag_keys("severity,component").step("15s")
    firing = 'ALERTS{alertstate="firing",alertname!="Watchdog",bot=~"$bot",venue=~"$venue"}'
    return query.expr(firing)


def _restarts() -> dashboard_builder.AnnotationQuery:
    query = dashboard_builder.AnnotationQuery().name("Restarts").datasource(DATASOURCE)
    query.enable(enable=True).icon_color("blue").title_format("{{bot}} was restarted")
    query.text_format("a new process on {{instance}}").tag_keys("bot").step("15s")
    return query.expr(f"changes(trading_bot_start_timestamp_seconds{{{OF_BOT}}}[30s]) > 0")


def _other_boards() -> dashboard_builder.DashboardLink:
    link = dashboard_builder.DashboardLink("Boards").tags(["trading-ops"])
    link.type(dashboard.DashboardLinkType.DASHBOARDS).as_dropdown(as_dropdown=True)
    return link.keep_time(keep_time=True).include_vars(include_vars=True)


def _runbooks() -> dashboard_builder.DashboardLink:
    link = dashboard_builder.DashboardLink("Runbooks").url(RUNBOOKS)
    return link.type(dashboard.DashboardLinkType.LINK).target_blank(target_blank=True)
