"""Links of the boards: to each other, to the runbooks, to Alertmanager's silences."""

from grafana.boards.panels import Link

RUNBOOKS = "https://trading-ops.example.invalid/runbooks"
"""As in the rules' annotations: change both together (docs/alerts.md)."""

CONSOLE = "https://trading-ops.example.invalid/console"
"""The URL of the console (docs/alerts.md)."""

SAME_VIEW = "${__url_time_range}&${__all_variables}"
"""The time range and the variables of the current board."""

ALERTMANAGER = "Alertmanager"
"""The name of the data source, by which Grafana's alerting pages know it."""

OVERVIEW = "trading-ops-overview"
BOT = "trading-ops-bot"
TRADING = "trading-ops-trading"
VENUE = "trading-ops-venue"
RECOVERY = "trading-ops-recovery"
HOST = "trading-ops-host"
DATABASES = "trading-ops-databases"
SLO = "trading-ops-slo"
CAPACITY = "trading-ops-capacity"

OF_THE_ALERT = Link(
    title="Runbook of ${__field.labels.alertname}",
    url=f"{RUNBOOKS}/${{__field.labels.alertname}}.md",
    new_tab=True,
)

OF_THE_ALERT_IN_A_ROW = Link(
    title="Runbook of ${__data.fields.alertname}",
    url=f"{RUNBOOKS}/${{__data.fields.alertname}}.md",
    new_tab=True,
)

OF_THE_BOT = Link(
    title="The bot's own board",
    url=f"/d/{BOT}?var-bot=${{__data.fields.bot}}&${{__url_time_range}}"
    "&${datasource:queryparam}&${job:queryparam}&${instance:queryparam}&${venue:queryparam}",
)
"""Of a row of a table that has the column `bot`."""

RECOMMENDATIONS = Link(
    title="Recommendation for ${__data.fields.Resource}", url=f"{CONSOLE}/capacity", new_tab=True
)

SILENCES = Link(title="Silences", url=f"/alerting/silences?alertmanager={ALERTMANAGER}")
GROUPS = Link(title="Alerts by group", url=f"/alerting/groups?alertmanager={ALERTMANAGER}")


def runbook(alert: str) -> Link:
    """Return the link to an alert's runbook."""
    return Link(title=f"Runbook: {alert}", url=f"{RUNBOOKS}/{alert}.md", new_tab=True)


def board(uid: str) -> Link:
    """Return the link to the board with more details."""
    return Link(title="More on its own board", url=f"/d/{uid}?{SAME_VIEW}")
