"""The examples of receivers and of routes: what amtool of 0.25 says, and what they must keep."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.each import each
from tests.rules.configuration import (
    ALERTMANAGER,
    ROUTES,
    AlertRule,
    read_yaml,
    routed_differently,
    run_tool,
)
from tests.rules.example_receivers import EXAMPLES
from trading_ops.domain.acknowledgement import PAGE

FILES = sorted(EXAMPLES.glob("*.yml"))
SHIPPED: dict[str, Any] = read_yaml(ROUTES)
BY_HOUR = EXAMPLES / "by-severity-and-hour.yml"
EMERGENCY = 'severity="emergency"'
CONFIG: dict[str, Any] = read_yaml(BY_HOUR)
HOURS = "working-hours"
IN_THE_FILE = {"bot_token", "webhook_url"}
"""Secrets that 0.25 reads from no file."""


def routes_below(route: dict[str, Any]) -> list[dict[str, Any]]:
    """Return all routes of a tree, without its root."""
    children = route.get("routes", [])
    return [descendant for child in children for descendant in (child, *routes_below(child))]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_amtool_accepts_it_as_it_is(path: Path) -> None:
    """Nothing but the files of its secrets is missing."""
    assert "SUCCESS" in run_tool("amtool", "check-config", path).stdout


def test_there_is_one_for_each_way() -> None:
    """Mail, text messages, three chats, two pagers by name and any other, and the routes."""
    assert {path.stem for path in FILES} == {
        "by-severity-and-hour",
        "discord",
        "mail",
        "opsgenie",
        "pager-webhook",
        "pagerduty",
        "slack",
        "sms",
        "telegram",
    }


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_secrets_are_files_where_they_can_be_and_marked_where_not(path: Path) -> None:
    """What 0.25 lacks is said in the file, with what later versions call it."""
    text = path.read_text(encoding="utf-8")
    for key, value in re.findall(r"^\s*(?:- )?(\w+): (.+)$", text, re.MULTILINE):
        if key.endswith("_file"):
            # 0.25 resolves that one alone against the configuration's folder.
            relative = key == "credentials_file"
            assert value.startswith("secrets/" if relative else "/etc/alertmanager/secrets/")
        secret = re.search(r"token|password|(routing|service|api)_key$|webhook_url|api_url", key)
        if secret and not key.endswith("_file"):
            assert key in IN_THE_FILE
            assert "WRITE-YOUR" in value
            assert f"{key}_file" in text
    if "WRITE-YOUR" in text and path != BY_HOUR:
        assert "0.25 " in text


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_templates_exist(path: Path) -> None:
    """One that is misspelt would fail when the first page is due."""
    known = {
        name
        for file in (ALERTMANAGER / "templates").glob("*.tmpl")
        for name in re.findall(r'define "([\w.]+)"', file.read_text(encoding="utf-8"))
    }
    used = set(re.findall(r'template "([\w.]+)"', path.read_text(encoding="utf-8")))
    assert used <= known
    assert used or path.stem == "pager-webhook"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_page_never_follows_a_redirect(path: Path) -> None:
    """A 302 would count as delivered."""
    for receiver in read_yaml(path)["receivers"]:
        for webhook in receiver.get("webhook_configs", ()):
            assert webhook["http_config"]["follow_redirects"] is False


@each("rule", routed_differently(BY_HOUR))
def test_every_alert_goes_where_its_severity_says(rule: AlertRule) -> None:
    """amtool shows both routes of a warning; the clock then lets one of them speak."""
    receiver = "chat,mail" if rule.labels.get("severity") in {"warning", "info"} else "pager"
    receiver = "oncall-secondary" if rule.labels.get("tier") == "l2" else receiver
    receiver = receiver if rule.labels["page_after"] == "0s" else "blackhole"
    receiver = "dead-man-switch" if rule.name == "Watchdog" else receiver
    emergency = rule.labels.get("severity") == "emergency"
    receiver = "pager,oncall-secondary,chat,mail" if emergency else receiver
    pairs = [f"{key}={value}" for key, value in rule.labels.items()]
    command = ["amtool", "config", "routes", "test", f"--config.file={BY_HOUR}"]
    result = run_tool(*command, f"alertname={rule.name}", "bot=alpha", "venue=paper", *pairs)
    assert result.stdout.strip() == (receiver if rule.name == PAGE else f"reconciler,{receiver}")


@pytest.mark.parametrize("labels", [[], ["severity=fatal"], ["page_after=soon"], ["page_after=5m"]])
def test_what_says_nothing_of_itself_pages(labels: list[str]) -> None:
    """At any hour."""
    command = ["amtool", "config", "routes", "test", f"--config.file={BY_HOUR}"]
    assert run_tool(*command, "alertname=A", *labels).stdout.strip() == "reconciler,pager"


@pytest.mark.parametrize(
    ("severity", "receiver"),
    [("critical", "pager"), ("warning", "chat,mail"), ("info", "chat,mail")],
)
def test_a_page_goes_where_the_severity_of_its_alert_says(severity: str, receiver: str) -> None:
    """It keeps the label."""
    command = ["amtool", "config", "routes", "test", f"--config.file={BY_HOUR}"]
    pairs = [f"alertname={PAGE}", "page_after=0s", f"severity={severity}"]
    assert run_tool(*command, *pairs).stdout.strip() == receiver


def test_hours_are_on_routes_of_people_alone_and_on_each_of_their_children() -> None:
    """A child does not inherit them; the reconciler's route has none, or it would miss alerts."""
    for route in routes_below(CONFIG["route"]):
        if EMERGENCY in route.get("matchers", ()):
            assert not {"active_time_intervals", "mute_time_intervals"} & route.keys()
            continue
        active, mute = route.get("active_time_intervals"), route.get("mute_time_intervals")
        expected = {"chat": ([HOURS], None), "mail": (None, [HOURS])}
        assert (active, mute) == expected.get(route["receiver"], (None, None))
    assert [time_interval["name"] for time_interval in CONFIG["time_intervals"]] == [HOURS]


def test_pages_are_grouped_as_shipped() -> None:
    """One cause is one page, and no route adds a wait of its own."""
    for key in ("group_wait", "group_interval"):
        assert CONFIG["route"][key] == SHIPPED["route"][key]
    assert "group_by" not in CONFIG["route"]
    ours, shipped = (
        {
            (*route["matchers"], *route["group_by"])
            for route in config["route"]["routes"]
            if _groups(route)
        }
        for config in (CONFIG, SHIPPED)
    )
    assert ours == shipped
    routes = [route for route in routes_below(CONFIG["route"]) if route["receiver"] != "reconciler"]
    waits = [route["receiver"] for route in routes if "group_wait" in route]
    assert waits == ["dead-man-switch", "pager", "oncall-secondary", "chat", "mail"]


def _groups(route: dict[str, Any]) -> bool:
    return "group_by" in route and route["receiver"] != "reconciler"


def test_what_the_machine_relies_on_is_as_shipped() -> None:
    """Its route, its receiver, the inhibitions, and the route of the sign of life."""
    assert CONFIG["inhibit_rules"] == SHIPPED["inhibit_rules"]
    assert CONFIG["route"]["routes"][:3] == SHIPPED["route"]["routes"][:3]
    receivers = [
        next(receiver for receiver in config["receivers"] if receiver["name"] == "reconciler")
        for config in (CONFIG, SHIPPED)
    ]
    assert receivers[0] == receivers[1]
