"""`Board`: a name, the question that it answers, and its rows; and what all boards share."""

from dataclasses import dataclass

from grafana.boards import links
from grafana.boards.layout import add_rows
from grafana.boards.looks import DATASOURCE, build_link
from grafana.boards.panels import Link, Row
from grafana.boards.sdk import dashboard, dashboard_builder
from grafana.boards.selectors import TEAM_AND_HOST, VENUE, WATCHED, select

TAG = "trading-ops"

VARIABLES = (
    ("job", 'label_values(up{job=~"trading-.+|prometheus|alertmanager"}, job)', ".+"),
    ("instance", 'label_values(up{job=~"$job"}, instance)', ".+"),
    # `.*`: series without the label are included as long as no value is selected.
    ("team", f"label_values(up{{{WATCHED}}}, team)", ".*"),
    ("host", f"label_values(up{{{WATCHED}}}, host)", ".*"),
    ("venue", f"label_values(up{{{WATCHED},{TEAM_AND_HOST}}}, venue)", ".*"),
    ("bot", f"label_values(up{{{WATCHED},{TEAM_AND_HOST},{VENUE}}}, bot)", ".*"),
    ("bots", f"label_values(up{{{WATCHED},{TEAM_AND_HOST}}}, bot)", ""),
)
"""Name, query, and the value of “All”; empty: all values found."""

HIDDEN = frozenset({"job", "instance", "bots"})
"""Variables that only links set; they are hidden, because the others are enough to filter by."""


@dataclass(frozen=True, kw_only=True)
class Annotation:
    """An event that is marked on every panel of a board."""

    name: str
    color: str
    title: str
    text: str
    expr: str


CRITICAL = 'ALERTS{alertstate="firing",severity=~"critical|emergency"}'

ANNOTATIONS = (
    Annotation(
        name="Alerts",
        color="red",
        title="{{alertname}}",
        text="a critical alert began to fire: bot {{bot}}, venue {{venue}}",
        expr=f"{CRITICAL} unless {CRITICAL} offset 30s",
    ),
    Annotation(
        name="Incidents",
        color="orange",
        title="{{alertname}}",
        text="the reconciler closed an incident",
        # Of a counter, for an incident can start and end between two scrapes of a gauge.
        expr="sum by (alertname) (increase(trading_ops_recovery_duration_seconds_count[1m])) > 0",
    ),
    Annotation(
        name="Attempts",
        color="purple",
        title="{{action}}: {{outcome}}",
        text="an attempt of the reconciler ended",
        expr="sum by (action, outcome) (increase(trading_ops_attempts_total[1m])) > 0",
    ),
    Annotation(
        name="Deploys",
        color="blue",
        title="{{bot}} runs {{version}}",
        text="a version or a mode that was not there ten minutes before",
        expr="max by (bot, version, mode) (trading_bot_info == 1) unless max by "
        "(bot, version, mode) (max_over_time(trading_bot_info[10m] offset 30s) == 1)",
    ),
    Annotation(
        name="Restarts",
        color="light-blue",
        title="{{bot}} restarted",
        text="a new process on {{instance}}",
        expr="changes(trading_bot_start_timestamp_seconds[1m]) > 0",
    ),
    Annotation(
        name="Halts",
        color="yellow",
        title="{{bot}} is {{state}}",
        text="halted: submits nothing; reducing: only reduces positions",
        expr='max by (bot, state) (trading_state{state!="active"}) == 1',
    ),
    Annotation(
        name="Maintenance",
        color="super-light-purple",
        title="maintenance of {{target}}",
        text="automation does not act on it in this window",
        expr="max by (target) (trading_ops_maintenance_active) == 1",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Board:
    """One board."""

    uid: str
    title: str
    question: str
    """The question that it answers, as its description."""

    rows: tuple[Row, ...]
    one_bot: bool = False
    """Whether it shows one bot at a time, instead of all selected ones."""

    window: str = "now-30m"
    refresh: str = "5s"

    def build(self) -> dashboard.Dashboard:
        """Build the board with its variables, annotations and links.

        Raises:
            ValueError: a line of panels does not fill the grid.
        """
        board = dashboard_builder.Dashboard(self.title).uid(self.uid).readonly()
        board.description(self.question).tags([TAG]).timezone("utc")
        board.refresh(self.refresh).time(self.window, "now")
        board.tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
        source = dashboard_builder.DatasourceVariable("datasource").label("Data source")
        board.with_variable(source.type("prometheus"))
        for name, query, every in VARIABLES:
            several = not (self.one_bot and name == "bot")
            board.with_variable(_variable(name, query, every, several=several))
        for annotation in ANNOTATIONS:
            board.annotation(_annotation(annotation))
        board.link(_other_boards())
        runbooks = Link(title="Runbooks", url=links.RUNBOOKS, new_tab=True)
        for link in (runbooks, links.SILENCES, links.GROUPS):
            board.link(build_link(link))
        add_rows(board, self.rows)
        return board.build()


def _variable(
    name: str, query: str, every: str, *, several: bool
) -> dashboard_builder.QueryVariable:
    variable = dashboard_builder.QueryVariable(name).label(name.title()).datasource(DATASOURCE)
    variable.query({"query": query, "refId": f"variable-{name}"}).definition(query)
    variable.refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
    variable.sort(dashboard.VariableSort.ALPHABETICAL_ASC)
    if name in HIDDEN:
        variable.hide(dashboard.VariableHide.HIDE_VARIABLE)
    if several:
        chosen = dashboard.VariableOption(selected=True, text=["All"], value=["$__all"])
        variable.multi(multi=True).include_all(include_all=True).current(chosen)
        if every:
            variable.all_value(every)
    return variable


def _annotation(annotation: Annotation) -> dashboard_builder.AnnotationQuery:
    query = dashboard_builder.AnnotationQuery().name(annotation.name).datasource(DATASOURCE)
    # One switch is enough: more would take space from the figures.
    query.enable(enable=True).hide(hide=annotation.name != "Alerts")
    query.icon_color(annotation.color).title_format(annotation.title)
    query.text_format(annotation.text).tag_keys("bot,severity,component").step("15s")
    return query.expr(select(annotation.expr))


def _other_boards() -> dashboard_builder.DashboardLink:
    link = dashboard_builder.DashboardLink("Boards").tags([TAG])
    link.type(dashboard.DashboardLinkType.DASHBOARDS).as_dropdown(as_dropdown=True)
    return link.keep_time(keep_time=True).include_vars(include_vars=True)
