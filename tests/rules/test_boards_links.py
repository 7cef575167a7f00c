"""Where the boards lead: to each other with the same view, to runbooks, to Alertmanager."""

import re

import pytest

from grafana.boards.queries import panels_of
from tests.rules.boards import BOARDS, PANELS, Board, Panel, links_of, where
from tests.rules.configuration import ROOT, RUNBOOKS, load_rules, read_yaml

UIDS = {board["uid"] for board in BOARDS}
SOURCES = {
    source["type"]: source
    for source in read_yaml(ROOT / "grafana/provisioning/datasources/trading-ops.yaml")[
        "datasources"
    ]
}
every_board = pytest.mark.parametrize("board", BOARDS, ids=lambda board: board["uid"])


@every_board
def test_a_board_leads_to_the_others_to_runbooks_and_to_silences(board: Board) -> None:
    """With the same time and the same variables."""
    links = {link["title"]: link for link in board["links"]}
    assert list(links) == ["Boards", "Runbooks", "Silences", "Alerts by group"]
    boards = links["Boards"]
    assert (boards["type"], boards["tags"], boards["asDropdown"]) == (
        "dashboards",
        ["trading-ops"],
        True,
    )
    assert boards["keepTime"]
    assert boards["includeVars"]
    # Not in the menu of controls, which is closed until someone looks for it.
    assert not any("placement" in link for link in links.values())
    for title in ("Silences", "Alerts by group"):
        assert links[title]["url"].endswith(f"?alertmanager={SOURCES['alertmanager']['name']}")


@every_board
def test_links_between_boards_resolve_and_keep_the_view(board: Board) -> None:
    """A link to a board that is gone, or to another hour, is worse than none."""
    for panel in (panel for panel in panels_of(board) if panel["type"] != "row"):
        inside = [*(panel["fieldConfig"]["defaults"].get("links") or []), *links_of_columns(panel)]
        for link in (*(panel.get("links") or []), *inside):
            if found := re.match(r"/d/([a-z-]+)\?(.+)", link["url"]):
                assert found.group(1) in UIDS - {board["uid"]} | {"trading-ops-bot"}
                assert "${__url_time_range}" in found.group(2)
                names = ("datasource", "job", "instance", "venue")
                assert "${__all_variables}" in found.group(2) or all(
                    f"${{{name}:queryparam}}" in found.group(2) for name in names
                )


def links_of_columns(panel: Panel) -> list[dict[str, str]]:
    """Return the links of the columns of a table."""
    return [
        link
        for override in panel["fieldConfig"]["overrides"]
        for entry in override["properties"]
        if entry["id"] == "links"
        for link in entry["value"]
    ]


def test_a_row_of_the_table_of_bots_opens_the_board_of_its_bot() -> None:
    """From the column that names it: links in every cell make the figures hard to read."""
    (table,) = (panel for _, panel in PANELS if panel["title"] == "All bots")
    (link,) = links_of_columns(table)
    assert link["url"].startswith("/d/trading-ops-bot?var-bot=${__data.fields.bot}")
    assert not table["fieldConfig"]["defaults"].get("links")


def test_runbook_links_lead_to_runbooks() -> None:
    """A link to a runbook that is gone would be noticed at the worst time."""
    for board, panel in PANELS:
        for url in links_of(panel):
            if url.endswith(".md"):
                assert (RUNBOOKS / url.rpartition("/")[2]).exists(), where(board, panel)


def test_an_alert_on_a_board_leads_to_its_runbook() -> None:
    """By its name, which is the runbook's."""
    folder = load_rules()[0].annotations["runbook_url"].rpartition("/")[0]
    shown = [panel for _, panel in PANELS if panel["title"] == "Firing alerts"]
    assert shown
    for panel in shown:
        (link,) = panel["fieldConfig"]["defaults"]["links"]
        assert link["url"] == f"{folder}/${{__field.labels.alertname}}.md"


def test_every_alert_has_its_panel() -> None:
    """The last part of a slice: a picture, with a link to the runbook."""
    linked = {url for _, panel in PANELS for url in links_of(panel)}
    missing = {rule.name for rule in load_rules() if rule.annotations["runbook_url"] not in linked}
    # They are about the way of an alert, which the list and the band of all alerts show.
    assert missing == ABOUT_ALERTS


ABOUT_ALERTS = {
    "Watchdog",
    "TradingSnoozeExpired",
    "TradingAlertPersists",
    "TradingAlertUnacknowledged",
    "TradingOpsNotice",
    "TradingOpsTest",
}


def test_an_alert_links_to_the_board_that_shows_it() -> None:
    """By its fixed uid, at Grafana's own port: a panel of that board links the alert's runbook."""
    for rule in load_rules():
        found = re.search(r"/d/([a-z-]+)", rule.annotations["dashboard_url"])
        assert found is not None
        shown = {
            url
            for board, panel in PANELS
            for url in links_of(panel)
            if board["uid"] == found.group(1)
        }
        about_alerts = rule.name in ABOUT_ALERTS and found.group(1) == "trading-ops-recovery"
        assert rule.annotations["runbook_url"] in shown or about_alerts, rule.name


def test_data_sources_are_provisioned_with_fixed_uids() -> None:
    """Links and boards never depend on who created them; no one edits them in place."""
    assert {kind: source["uid"] for kind, source in SOURCES.items()} == {
        "prometheus": "trading-ops-prometheus",
        "alertmanager": "trading-ops-alertmanager",
    }
    assert not any(source["editable"] for source in SOURCES.values())
    # Silencing an alert of this Prometheus' rules goes to this Alertmanager.
    options = SOURCES["prometheus"]["jsonData"]
    assert options["manageAlerts"] is True
    assert options["alertmanagerUid"] == SOURCES["alertmanager"]["uid"]
    (boards,) = read_yaml(ROOT / "grafana/provisioning/dashboards/trading-ops.yaml")["providers"]
    assert boards["allowUiUpdates"] is False
