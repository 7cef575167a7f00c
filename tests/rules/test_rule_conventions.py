"""What every alerting rule of this house has, and what it must not have."""

import re

import pytest
from prometheus_client.utils import floatToGoString

from tests.each import each
from tests.rules.configuration import (
    OF_OTHERS,
    PROMETHEUS,
    ROOT,
    RUNBOOKS,
    AlertRule,
    front_matter,
    load_rules,
    metric_names,
    recorded,
    seconds,
    selected,
)
from trading_ops.domain.decision import GlobalLimits
from trading_ops.instrument import catalogue
from trading_ops.instrument.metric import Owner
from trading_ops.instrument.topics.components import COMPONENTS
from trading_ops.reports import slo

RULES = load_rules()
RECOVERED = [rule for rule in RULES if rule.labels.get("remediation") == "auto"]
SLOW = {
    "TradingBotDiskLow",
    "TradingBotEventLoopLagging",
    "TradingBotMemoryHigh",
    "TradingBotNoisyNeighbor",
    "TradingBotQueueBacklog",
    "TradingBotRateLimitHigh",
    "TradingDatabasePoolExhausted",
}
"""They lead to recovery too, from what unfolds over minutes: a scrape each second is no help."""

QUICK = [rule for rule in RECOVERED if rule.name not in SLOW]
OF_A_PROCESS = frozenset({"instance", "job", "pod", "strategy", "team", "host"})
PAGE = "TradingAlertPersists"
"""Pages for other alerts, and has their severity and their runbooks."""

AT_ONCE = {"TradingRecoveryFailed", "TradingOpsTest", "TradingOpsNotice"}
"""Alerts without `for`: they are someone's explicit word."""


def test_there_are_rules() -> None:
    """The parametrized tests below would all pass on an empty list."""
    assert {rule.name for rule in RECOVERED} == {
        "TradingBotBrokerDisconnected",
        "TradingBotMarketDataStale",
        "TradingBotDown",
        "TradingBotDiskLow",
        "TradingBotEventLoopLagging",
        "TradingBotMemoryHigh",
        "TradingBotNoisyNeighbor",
        "TradingBotNonceRefused",
        "TradingBotOrphanedOrders",
        "TradingBotPositionDrift",
        "TradingBotQueueBacklog",
        "TradingBotRateLimitHigh",
        "TradingBotSignalsStale",
        "TradingDatabasePoolExhausted",
        "TradingFleetDailyLossBreached",
    }


def test_names_are_unique_and_share_their_prefix() -> None:
    """An alert's name is the key of its runbook."""
    names = [rule.name + rule.labels.get("after", "") for rule in RULES]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"Trading[A-Z][A-Za-z]+|Watchdog", rule.name) for rule in RULES)


@each("rule", RULES)
def test_labels_are_known_and_static(rule: AlertRule) -> None:
    """A label with a value in it would be a new alert at each evaluation."""
    known = {"severity", "page_after", "remediation", "component", "tier", "after"}
    assert set(rule.labels) <= known
    assert rule.labels.get("tier", "l2") == "l2"
    if rule.name != PAGE:
        assert rule.labels["severity"] in {"emergency", "critical", "warning", "info", "none"}
    assert rule.labels["page_after"] in {"0s", "5m", "15m", "never"}
    assert not any("{{" in value for value in rule.labels.values())


@each("rule", RULES)
def test_annotations_report_what_it_is_and_where_to_go(rule: AlertRule) -> None:
    """A static sentence, a templated description, the runbook and the board."""
    assert set(rule.annotations) == {"summary", "description", "runbook_url", "dashboard_url"}
    summary = rule.annotations["summary"]
    assert summary.endswith(".")
    assert "{{" not in summary
    about = "{{ $labels.origin }}" if rule.name == PAGE else rule.name
    assert rule.annotations["runbook_url"].endswith(f"/runbooks/{about}.md")
    assert "/d/trading-ops-" in rule.annotations["dashboard_url"]


@each("rule", RULES)
def test_no_alert_fires_on_its_first_evaluation_without_a_reason(rule: AlertRule) -> None:
    """Everything but the justified has a `for`."""
    assert (seconds(rule.hold) == 0) == (rule.name in AT_ONCE)


@each("rule", RECOVERED)
def test_recovery_alerts_survive_the_replacement_of_a_process(rule: AlertRule) -> None:
    """They are aggregated by bot and venue, and by nothing that names a process."""
    grouped = {
        label.strip()
        for labels in re.findall(r"\bby \(([^)]*)\)", rule.expr)
        for label in labels.split(",")
    }
    assert {"bot", "venue"} <= grouped
    assert not grouped & OF_A_PROCESS
    assert "without" not in rule.expr


@each("rule", [rule for rule in RECOVERED if rule.name in SLOW])
def test_slow_recovery_alerts_are_patient_and_end_with_their_fix(rule: AlertRule) -> None:
    """Over a range and for some time, and gone again before the reconciler takes it for broken."""
    assert rule.interval == "5s"
    assert re.search(r"_over_time\(|increase\(", rule.expr)
    assert seconds(rule.hold) >= 15
    assert seconds(rule.keep) + 2 * seconds(rule.interval) < GlobalLimits().settle.total_seconds()


@each("rule", QUICK)
def test_recovery_alerts_are_fast_and_do_not_flap(rule: AlertRule) -> None:
    """Evaluated each second, over a range, and kept for some seconds: no lone scrape decides."""
    assert rule.interval == "1s"
    assert re.search(r"_over_time\(|increase\(", rule.expr)
    assert 2 <= seconds(rule.hold) <= 5
    assert 3 <= seconds(rule.keep) <= 10


@each("rule", RECOVERED)
def test_what_has_not_recovered_after_five_minutes_pages(rule: AlertRule) -> None:
    """Automatic recovery takes less."""
    assert rule.labels["page_after"] in {"0s", "5m"}


@pytest.mark.parametrize("delay", ["5m", "15m"])
def test_each_delay_has_a_rule_that_pages_after_it(delay: str) -> None:
    """For alerts that fire without a gap: each second, and without a range that would hide one."""
    (rule,) = (rule for rule in RULES if rule.name == PAGE and rule.labels["after"] == delay)
    assert f'page_after="{delay}"' in rule.expr
    assert (rule.hold, rule.keep, rule.interval) == (delay, "0s", "1s")
    assert "[" not in rule.expr


@each("rule", RULES)
def test_what_recovers_before_its_delay_is_over_is_resolved_by_then(rule: AlertRule) -> None:
    """`keep_firing_for` counts as firing: as long as the delay, it would make every alert page."""
    if rule.labels["page_after"] in {"5m", "15m"}:
        assert seconds(rule.keep) < seconds(rule.labels["page_after"])


@each("rule", RULES)
def test_metrics_exist(rule: AlertRule) -> None:
    """A misspelt metric is silence, not an error."""
    known = catalogue.sample_names() | OF_OTHERS
    assert selected(rule.expr) <= known


@each("rule", QUICK)
def test_fast_rules_read_only_what_is_scraped_every_second(rule: AlertRule) -> None:
    """A metric of the slow job would be missing from a range of 3 s most of the time."""
    for name in selected(rule.expr) - OF_OTHERS:
        metric = catalogue.find(name)
        assert metric is not None
        assert metric.owner is Owner.BOT
        assert metric.vital


@each("rule", RULES)
def test_components_exist(rule: AlertRule) -> None:
    """A component that no bot has could never be restarted."""
    named = set(re.findall(r'component="(\w+)"', rule.expr))
    named |= {rule.labels["component"]} if "component" in rule.labels else set()
    assert named <= set(COMPONENTS)


def test_every_alert_has_a_runbook_and_the_other_way_round() -> None:
    """Neither can be added or renamed alone."""
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == {rule.name for rule in RULES}


@each("rule", RULES)
def test_the_runbook_states_the_page_delay_and_whether_it_is_automatic(rule: AlertRule) -> None:
    """Alertmanager routes by the label, the reconciler judges by the front matter: one value."""
    plan = front_matter(RUNBOOKS / f"{rule.name}.md")
    assert plan["page_after"] == rule.labels["page_after"]
    assert bool(plan.get("steps")) == (rule.labels.get("remediation") == "auto")


@each("name", [name for name in recorded() if not name.startswith(("slo", "anomaly:"))])
def test_recorded_names_report_level_metric_and_operation(name: str) -> None:
    """As Prometheus' own guide has it; labels are taken away by name, not listed."""
    level, metric, operation = name.split(":")
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", level)
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*(_rate\d+[smhd])?|rate\d+[smhd]", operation)
    rated = "rate(" in recorded()[name]
    assert ("rate" in operation) == rated
    # What is rated is no total any more, and says so by its name.
    names = catalogue.sample_names() | OF_OTHERS
    assert {metric, f"{metric}_total"} & names
    assert not metric.endswith("_total")
    # But for what is of the whole fleet, which no label of a target may divide, and for faults,
    # whose labels are listed in `domain.acknowledgement`.
    assert " by (" not in recorded()[name] or level in {"fleet", "fault"}


def test_bounds_of_buckets_are_spelt_as_they_are_exported() -> None:
    """`le` is text: a rule that asks for "1" finds nothing where "1.0" is exported."""
    bounds = [bound for metric in catalogue.CATALOGUE for bound in metric.buckets or ()]
    spelt = set(map(floatToGoString, bounds))
    spelt.add("+Inf")
    folders = (ROOT / "prometheus" / "rules", ROOT / "prometheus" / "tests", ROOT / "grafana")
    files = [
        path for folder in folders for path in folder.rglob("*") if path.suffix in {".yml", ".json"}
    ]
    wrong = {
        (path.name, bound)
        for path in files
        for bound in re.findall(r'\ble=\\?"([^"\\]+)', path.read_text("utf-8"))
        if bound not in spelt
    }
    assert wrong == set()


def test_the_reader_of_metric_names_sees_through_promql() -> None:
    """The checks above stand on it."""
    expr = 'sum by (bot) (rate(a_total{job="b"}[5m])) and on (c) d_seconds unless vector(1) > 2'
    assert metric_names(expr) == {"a_total", "d_seconds"}


@each("rule", [rule for rule in RULES if "ALERTS{" in rule.expr])
def test_what_reads_alerts_copies_their_name_and_never_reads_itself(rule: AlertRule) -> None:
    """Two alerts of a bot would be one label set; an alert that sees itself never ends."""
    selectors = re.findall(r"ALERTS\{([^}]*)\}", rule.expr)
    reads_one = all('alertname="' in selector for selector in selectors)
    assert reads_one or "label_replace(" in rule.expr
    for selector in selectors:
        wanted = dict(re.findall(r'(\w+)="(\w*)"', selector))
        refused = dict(re.findall(r'(\w+)!="(\w*)"', selector))
        own = dict(rule.labels) | {"alertname": rule.name, "origin": "Any"}
        unlike = [name for name, value in wanted.items() if own.get(name, "") != value]
        unlike += [name for name, value in refused.items() if own.get(name, "") == value]
        assert set(unlike) - {"alertstate"}, selector


def test_the_rules_of_the_objectives_are_those_that_are_written_from_them() -> None:
    """No one has changed them manually, or an objective without writing them."""
    committed = (PROMETHEUS / "rules" / "slo.yml").read_text(encoding="utf-8")
    assert committed == slo.rules(), "run python -m trading_ops.reports.slo"


def test_the_objectives_are_named_as_sloth_names_them() -> None:
    """Its public boards show them then."""
    windows = {f"slo:sli_error:ratio_rate{window}" for window in ("5m", *slo.WINDOWS)}
    others = (
        "objective error_budget current_burn_rate period_burn_rate period_error_budget_remaining"
    )
    others_of_sloth = {f"slo:{name}:ratio" for name in others.split()}
    assert windows | others_of_sloth | {"slo:time_period:days", "sloth_slo_info"} <= set(recorded())


def test_an_anomaly_never_reports_people_and_never_leads_to_an_action() -> None:
    """It is outside of what is usual, which is not yet wrong."""
    found = [rule for rule in RULES if "anomaly" in rule.expr]
    assert found
    for rule in found:
        assert (rule.labels["severity"], rule.labels["page_after"]) == ("info", "never")
        assert "recovery" not in rule.labels
