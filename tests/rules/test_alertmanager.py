"""Alertmanager's configuration: routes, timing and receivers."""

from typing import Any

import pytest

from tests.each import each
from tests.rules.configuration import (
    ALERTMANAGER,
    PROMETHEUS,
    ROUTES,
    AlertRule,
    load_rules,
    read_yaml,
    routed_differently,
    run_tool,
    seconds,
)
from trading_ops.domain.acknowledgement import PAGE

CONFIG: dict[str, Any] = read_yaml(ROUTES)
RECEIVERS: dict[str, dict[str, Any]] = {item["name"]: item for item in CONFIG["receivers"]}
MUTED: dict[str, set[str]] = {
    "TradingVenueDown|TradingVenueMaintenance": {
        "TradingBotBalanceStale",
        "TradingBotBrokerDisconnected",
        "TradingBotMarketDataStale",
        "TradingBotVenueErrorsHigh",
        "TradingErrorBudgetBurnFast",
        "TradingErrorBudgetBurnSlow",
    },
    "TradingVenueMaintenance": {"TradingVenueDown"},
    "TradingMarketClosed": {"TradingBotMarketDataStale", "TradingBotOrdersRejected"},
}
"""What follows from the state of a venue."""

EMERGENCY = 'severity="emergency"'
EMERGENCIES = [
    route for route in CONFIG["route"]["routes"] if EMERGENCY in route.get("matchers", ())
]
"""The routes to everyone."""

GROUPED = [
    route
    for route in CONFIG["route"]["routes"]
    if route["receiver"] == "oncall" and route not in EMERGENCIES
][:-1]
"""The routes that make one page of each cause."""

PAGED_AS_CRITICAL = {
    "TradingHostDiskLow": {"TradingHostDiskFilling"},
    "TradingBotMemoryHigh": {"TradingBotMemoryLeakSuspected", "TradingBotMemoryLimitForecast"},
    "TradingErrorBudgetBurnFast": {"TradingErrorBudgetBurnSlow"},
}
"""An alert, and those that are its forecast."""


def receivers_of(**labels: str) -> str:
    """Return amtool's receivers for an alert with these labels, in order."""
    pairs = [f"{name}={value}" for name, value in labels.items()]
    routed = run_tool("amtool", "config", "routes", "test", f"--config.file={ROUTES}", *pairs)
    return routed.stdout.strip()


def test_amtool_accepts_the_configuration() -> None:
    """With its templates."""
    assert "SUCCESS" in run_tool("amtool", "check-config", ROUTES).stdout


@each("rule", routed_differently(ROUTES))
def test_the_reconciler_is_notified_first_and_people_by_the_label(rule: AlertRule) -> None:
    """The labels of every rule lead to these receivers, in this order."""
    receiver = "oncall" if rule.labels["page_after"] == "0s" else "blackhole"
    receiver = "oncall-secondary" if rule.labels.get("tier") == "l2" else receiver
    receiver = "dead-man-switch" if rule.name == "Watchdog" else receiver
    receiver = "oncall,oncall-secondary" if rule.labels.get("severity") == "emergency" else receiver
    notified = receivers_of(alertname=rule.name, bot="alpha", venue="paper", **rule.labels)
    assert notified == ("oncall" if rule.name == PAGE else f"reconciler,{receiver}")


@pytest.mark.parametrize(
    "labels",
    [
        {},
        {"page_after": "soon"},
        {"page_after": "10m"},
        {"page_after": "5m"},
        {"bot": "alpha"},
    ],
)
def test_an_alert_that_does_not_say_when_reaches_people(labels: dict[str, str]) -> None:
    """Forgetting the label or misspelling it, or a name without our prefix, never loses a page."""
    assert receivers_of(alertname="Another", **labels) == "reconciler,oncall"


def test_on_call_is_the_last_route_and_takes_everything_else() -> None:
    """The delay before paging is a rule's `for`: no route waits for it."""
    *others, last = CONFIG["route"]["routes"]
    assert last == {"receiver": "oncall"}
    assert {route["receiver"] for route in others} == RECEIVERS.keys()


def test_the_secondary_oncall_has_a_receiver_of_its_own() -> None:
    """Another address than the first page went to, grouped or not."""
    secondary = {"receiver": "oncall-secondary", "matchers": ['tier="l2"']}
    assert secondary in CONFIG["route"]["routes"]
    assert GROUPED[0]["routes"] == [secondary]
    recipients = {
        mail["to"] for item in RECEIVERS.values() for mail in item.get("email_configs", ())
    }
    assert len(recipients) == 2


def test_one_cause_is_one_page() -> None:
    """Grouped by names alone, and only by names of ours: each other alert joins one last page."""
    rules = {rule.name: rule for rule in load_rules() if rule.name != "Watchdog"}
    about_another, at_once = GROUPED
    names, origins = about_another["matchers"]
    pages = set(names.split('"')[1].split("|"))
    assert pages == {
        "TradingAlertPersists",
        "TradingAlertUnacknowledged",
        "TradingRecoveryFailed",
        "TradingSnoozeExpired",
    }
    # Add a new alert's name to both files, and one with page_after: 0s to the second list too.
    assert set(origins.split('"')[1].split("|")) == rules.keys() - pages
    assert about_another["group_by"] == ["alertname", "origin"]
    (names,) = at_once["matchers"]
    paging = {name for name, rule in rules.items() if rule.labels["page_after"] == "0s"}
    emergencies = {name for name in rules if rules[name].labels.get("severity") == "emergency"}
    assert set(names.split('"')[1].split("|")) == paging - pages - emergencies
    assert at_once["group_by"] == ["alertname"]
    assert "group_by" not in CONFIG["route"]


def test_an_emergency_pages_everyone_without_a_delay_and_again() -> None:
    """By name too: a client that posts emergencies with invented names gets the last page."""
    rules = {rule.name for rule in load_rules() if rule.labels.get("severity") == "emergency"}
    assert [emergency["receiver"] for emergency in EMERGENCIES] == ["oncall", "oncall-secondary"]
    assert [emergency.get("continue", False) for emergency in EMERGENCIES] == [True, False]
    for route in EMERGENCIES:
        severity, names = route["matchers"]
        assert severity == EMERGENCY
        assert set(names.split('"')[1].split("|")) == rules
        assert (route["group_wait"], route["repeat_interval"]) == ("0s", "15m")
        assert route["group_by"] == ["alertname"]
    assert receivers_of(alertname="Another", severity="emergency") == "reconciler,oncall"
    assert all(rule.labels["page_after"] == "0s" for rule in load_rules() if rule.name in rules)


def longest_wait_of_a_page(evaluation: float) -> float:
    """Return the seconds from the end of an alert's delay to its notification, at most.

    The rule's next evaluation finds it, and Prometheus sends it at once. Alertmanager then waits
    `group_wait` for a new group, or `group_interval` for one that was notified before.
    """
    route = CONFIG["route"]
    return evaluation + max(seconds(route["group_wait"]), seconds(route["group_interval"]))


@pytest.mark.parametrize("name", [PAGE, "TradingRecoveryFailed", "TradingAlertUnacknowledged"])
def test_a_page_is_never_later_than_15_seconds(name: str) -> None:
    """The figures in the configuration; that no group waits longer, no route may say otherwise."""
    intervals = {
        seconds(group["interval"])
        for group in read_yaml(PROMETHEUS / "rules" / "recovery.yml")["groups"]
        for rule in group["rules"]
        if rule.get("alert") == name
    }
    # The recording rule of the secondary on-call is evaluated in its own group, before the alert.
    assert longest_wait_of_a_page(max(intervals)) <= 15
    for route in (*GROUPED, *GROUPED[0]["routes"], CONFIG["route"]["routes"][-1]):
        assert not {"group_wait", "group_interval"} & route.keys()


def test_the_reconciler_is_notified_at_once_and_again() -> None:
    """Also of a second alert on the same bot, and of a re-fire, within a second."""
    route = CONFIG["route"]["routes"][0]
    assert route["receiver"] == "reconciler"
    assert route["continue"] is True
    assert route["matchers"] == [f'alertname!="{PAGE}"']
    assert route["group_by"] == ["alertname", "bot"]
    times = (route["group_wait"], route["group_interval"], route["repeat_interval"])
    assert times == ("0s", "1s", "5m")
    (watchdog,) = route["routes"]
    assert watchdog["matchers"] == ['alertname="Watchdog"']
    assert watchdog["repeat_interval"] == "1m"


def test_the_reconciler_has_exactly_one_webhook_and_nothing_else() -> None:
    """A second integration that fails would make resolved alerts come again and again."""
    assert set(RECEIVERS["reconciler"]) == {"name", "webhook_configs"}
    (webhook,) = RECEIVERS["reconciler"]["webhook_configs"]
    assert webhook["url"] == "http://127.0.0.1:8431/api/v1/webhook/alertmanager"
    assert webhook["send_resolved"] is True
    assert webhook["max_alerts"] == 0
    assert webhook["http_config"] == {
        "authorization": {"credentials_file": "secrets/webhook_token"},
        "follow_redirects": False,
    }


def test_receivers_names_survive_the_quoting_of_alertmanager() -> None:
    """It sends the name as a quoted regular expression."""
    assert set(RECEIVERS) == {
        "reconciler",
        "oncall",
        "oncall-secondary",
        "dead-man-switch",
        "blackhole",
    }
    assert set(RECEIVERS["blackhole"]) == {"name"}
    assert set(RECEIVERS["dead-man-switch"]) == {"name"}


def test_the_two_addresses_can_be_replaced_by_their_text() -> None:
    """The stack and the tests do so when the registry has other ports."""
    text = ROUTES.read_text(encoding="utf-8")
    assert text.count("127.0.0.1:8431") == 1
    assert text.count("127.0.0.1:8451") == 1


OF_VENUES = [rule for rule in CONFIG["inhibit_rules"] if rule["equal"] == ["venue"]]
OTHERS = [rule for rule in CONFIG["inhibit_rules"] if rule["equal"] not in (["venue"], [])]


def named_in(matcher: str) -> set[str]:
    """Return the alerts that a matcher names."""
    return set(matcher.split('"')[1].split("|"))


def test_only_what_follows_from_a_venue_is_inhibited_and_both_sides_are_guarded() -> None:
    """An inhibited alert is not remediated, so the list is short and explicit."""
    found: dict[str, set[str]] = {}
    for rule in OF_VENUES:
        source, guard = rule["source_matchers"]
        target, *guards = rule["target_matchers"]
        assert guard == 'venue!=""'
        assert guard in guards
        if "origin" not in rule["target_matchers"][1]:
            found[source.split('"')[1]] = named_in(target)
            bots = {name for name in named_in(target) if name.startswith("TradingBot")}
            assert ('bot!=""' in guards) == bool(bots)
    assert found == MUTED
    names = {rule.name for rule in load_rules()}
    assert all(muted <= names for muted in found.values())


def test_what_a_venue_mutes_has_no_page_and_no_secondary_oncall() -> None:
    """Both name the alert in `origin`."""
    again = {
        rule["source_matchers"][0].split('"')[1]: rule["target_matchers"]
        for rule in OF_VENUES
        if "origin" in rule["target_matchers"][1]
    }
    for source, muted in MUTED.items():
        names, origins, *_ = again[source]
        assert named_in(origins) == muted
        assert named_in(names) == {PAGE, "TradingAlertUnacknowledged"}


def test_a_storm_mutes_the_pages_of_what_the_reconciler_waits_with() -> None:
    """Critical and auto-remediated: what counts as failing. The alerts themselves stay active."""
    rule, *_ = (rule for rule in CONFIG["inhibit_rules"] if rule["equal"] == [])
    assert rule["source_matchers"] == ['alertname="TradingFleetRecoverySuspended"', 'gate="storm"']
    page, origins, bot = rule["target_matchers"]
    assert (page, bot) == (f'alertname="{PAGE}"', 'bot!=""')
    counted = {
        rule.name
        for rule in load_rules()
        if rule.labels.get("remediation") == "auto" and rule.labels["severity"] == "critical"
    }
    assert named_in(origins) == counted - {"TradingFleetDailyLossBreached"}


def test_what_fails_because_a_receiver_is_down_is_no_second_page() -> None:
    """Nothing that is auto-remediated, and nothing but what follows from the source."""
    _, *rules = (rule for rule in CONFIG["inhibit_rules"] if rule["equal"] == [])
    pairs = [(rule["source_matchers"], rule["target_matchers"]) for rule in rules]
    assert pairs == [
        (
            ['alertname=~"TradingOpsReconcilerDown|TradingOpsReconcilerStuck"'],
            ['alertname="TradingOpsNotificationsFailing"', 'integration="webhook"'],
        ),
        (
            ['alertname="TradingOpsAlertmanagerDown"'],
            ['alertname="TradingOpsAlertsUndelivered"'],
        ),
    ]
    known = {rule.name: rule for rule in load_rules()}
    named = {name for pair in pairs for side in pair for name in named_in(side[0])}
    assert not any(known[name].labels.get("remediation") for name in named)


def test_a_forecast_is_muted_once_it_has_come_true_and_both_sides_are_guarded() -> None:
    """Alerts that lead to remediation are never inhibited."""
    rules = {rule.name: rule for rule in load_rules()}
    found: dict[str, set[str]] = {}
    pages: dict[str, set[str]] = {}
    for inhibition in OTHERS:
        source, *guards = inhibition["source_matchers"]
        target, *guards_too = inhibition["target_matchers"]
        of_page = PAGE in target
        if of_page:
            target, *guards_too = guards_too
        assert guards == guards_too
        demanded = {guard.partition("!=")[0] for guard in guards}
        assert demanded
        assert demanded <= set(inhibition["equal"])
        names = {name for name in rules if f'"{name}"' in source.replace("|", '"|"')}
        muted = {name for name in rules if f'"{name}"' in target.replace("|", '"|"')}
        assert not any(rules[name].labels.get("remediation") for name in muted)
        (pages if of_page else found)[names.pop()] = muted
    assert found == pages == PAGED_AS_CRITICAL


def test_nothing_is_muted_by_the_clock_or_spelt_the_old_way() -> None:
    """A time-muted alert looks active and is never sent; `match` is deprecated."""
    text = ROUTES.read_text(encoding="utf-8")
    for key in ("mute_time_intervals", "active_time_intervals", "match:", "match_re:"):
        assert key not in text


def test_the_mail_shows_what_a_person_needs() -> None:
    """Both bodies render; they name the runbook and the board."""
    glob = f"--template.glob={ALERTMANAGER}/templates/*.tmpl"
    for name in ("trading.mail.subject", "trading.mail.text", "trading.mail.html"):
        text = f'--template.text={{{{ template "{name}" . }}}}'
        assert run_tool("amtool", "template", "render", glob, text).stdout.strip()
    templates = (ALERTMANAGER / "templates" / "mail.tmpl").read_text(encoding="utf-8")
    assert templates.count(".Annotations.runbook_url") == 2
    assert templates.count(".Annotations.dashboard_url") == 2


def test_mail_templates_are_the_ones_that_the_receiver_names() -> None:
    """A renamed template would only fail when the first page is due."""
    mails = [mail for item in RECEIVERS.values() for mail in item.get("email_configs", ())]
    named = [
        text for mail in mails for text in (mail["html"], mail["text"], mail["headers"]["Subject"])
    ]
    assert len(named) == 6
    templates = (ALERTMANAGER / "templates" / "mail.tmpl").read_text(encoding="utf-8")
    for reference in named:
        name = reference.split('"')[1]
        assert f'define "{name}"' in templates
