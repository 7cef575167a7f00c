"""Prometheus' configuration: what the tools say, and what this house demands beyond it."""

import functools
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.each import each
from tests.rules.configuration import (
    PROMETHEUS,
    lay_out_prometheus,
    load_rules,
    read_yaml,
    run_tool,
)
from trading_ops.instrument.catalogue import CATALOGUE
from trading_ops.instrument.metric import Owner

CONFIG: dict[str, Any] = read_yaml(PROMETHEUS / "prometheus.yml")
JOBS: dict[str, dict[str, Any]] = {job["job_name"]: job for job in CONFIG["scrape_configs"]}
EVERY_SECOND = ("trading-bot", "trading-exporter", "trading-reconciler")
TWICE = ("trading-bot", "trading-reconciler")
OURS = (*EVERY_SECOND, *(f"{name}-detail" for name in TWICE))

RECONCILER_METRICS = [metric for metric in CATALOGUE if metric.owner is Owner.RECONCILER]


def test_prometheus_accepts_the_configuration_in_the_folder_of_the_stack(tmp_path: Path) -> None:
    """The committed file loads unchanged, with its rules, targets and secrets beside it."""
    config = lay_out_prometheus(tmp_path / "prometheus")
    found = run_tool("promtool", "check", "config", config).stdout
    files = list((PROMETHEUS / "rules").glob("*.yml"))
    assert f"{len(files)} rule files found" in found
    assert "WARNING" not in found


def test_the_rules_pass_every_lint() -> None:
    """Not even a warning of promtool is left."""
    files = sorted((PROMETHEUS / "rules").glob("*.yml"))
    run_tool("promtool", "check", "rules", "--lint=all", "--lint-fatal", *files)


HOURS = {"slo", "anomalies_seasonal"}
"""Files whose tests evaluate hours of many rules, or weeks: 20 s of a processor and more."""


def _file(path: Path) -> Any:
    marks = pytest.mark.slow if path.stem in HOURS else ()
    return pytest.param(path, id=path.stem, marks=marks)


@pytest.mark.parametrize(
    "path", [_file(path) for path in sorted((PROMETHEUS / "tests").glob("*.yml"))]
)
def test_the_rules_do_what_their_unit_tests_say(path: Path) -> None:
    """Firing, not firing, data missing, scrapes late and failed."""
    run_tool("promtool", "test", "rules", path.name, cwd=path.parent)


@functools.cache
def cases_by_alert() -> dict[str, list[dict[str, Any]]]:
    """Read the unit tests of every alert."""
    found: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for path in (PROMETHEUS / "tests").glob("*.yml"):
        for test in read_yaml(path)["tests"]:
            for case in test.get("alert_rule_test", ()):
                found[case["alertname"]].append(case)
    return found


@each("rule", load_rules())
def test_every_alert_has_unit_tests_that_fire_and_that_do_not(rule: Any) -> None:
    """A rule without both could be always true or never."""
    cases = cases_by_alert()[rule.name]
    assert any(case.get("exp_alerts") for case in cases)
    assert any(not case.get("exp_alerts") for case in cases)


def test_jobs_are_the_ones_that_rules_and_boards_know() -> None:
    """A renamed job would silence `up{job=…}` without a word."""
    assert set(JOBS) == {*OURS, "prometheus", "alertmanager", "supervisor", "trading-node"}


@pytest.mark.parametrize("name", OURS)
def test_our_processes_are_asked_with_the_token(name: str) -> None:
    """Their metrics are not for everyone on the machine."""
    assert JOBS[name]["authorization"] == {"credentials_file": "secrets/metrics_token"}


@pytest.mark.parametrize("name", JOBS)
def test_targets_come_from_files_and_redirects_are_refused(name: str) -> None:
    """No address is in the file, and no token follows a redirect to somewhere else."""
    job = JOBS[name]
    assert job["follow_redirects"] is False
    others = {"file_sd_configs", "metric_relabel_configs"}
    assert not {key for key in job if key.endswith("_configs")} - others
    assert "honor_labels" not in job


@pytest.mark.parametrize("name", EVERY_SECOND)
def test_what_leads_to_recovery_is_scraped_every_second(name: str) -> None:
    """The promise of detection within seconds starts here."""
    assert JOBS[name]["scrape_interval"] == "1s"
    assert JOBS[name]["scrape_timeout"] == "1s"


@pytest.mark.parametrize("name", TWICE)
def test_a_target_is_scraped_twice_and_no_series_twice(name: str) -> None:
    """The vital families every second, all the others every 15 s."""
    assert JOBS[name]["metrics_path"] == "/metrics/vital"
    assert JOBS[f"{name}-detail"]["params"] == {"exclude": ["vital"]}
    assert JOBS[f"{name}-detail"]["scrape_interval"] == "15s"


def test_the_reconcilers_fast_scrape_has_what_rules_read_and_no_more() -> None:
    """The rules name its job; what only boards show can wait."""
    text = "\n".join(rule.expr for rule in load_rules())
    read = {
        metric.name
        for metric in RECONCILER_METRICS
        if any(re.search(rf"\b{name}\b", text) for name in metric.sample_names)
    }
    assert {metric.name for metric in RECONCILER_METRICS if metric.vital} == read


def test_alerts_go_to_every_alertmanager_of_the_registry() -> None:
    """They come from a file too, and no redirect is followed."""
    (managers,) = CONFIG["alerting"]["alertmanagers"]
    assert managers["file_sd_configs"] == [{"files": ["targets/alertmanagers.json"]}]
    assert managers["follow_redirects"] is False


def test_alerts_are_the_same_at_both_sources() -> None:
    """External labels are on what is sent and not on what is shown: none may be left on alerts."""
    rules = CONFIG["alerting"].get("alert_relabel_configs", [])
    dropped = {rule["regex"] for rule in rules if rule["action"] == "labeldrop"}
    assert set(CONFIG["global"].get("external_labels", {})) <= dropped


FIRES_ON_NOTHING = {
    "TradingAlertPersists",
    "TradingAlertUnacknowledged",
    "TradingOpsExporterDown",
    "TradingOpsReconcilerDown",
    "Watchdog",
}
"""They tell that someone is gone, so a series that is gone is what they are for; and no one
acknowledges those."""


def test_without_data_only_alerts_about_absence_fire(tmp_path: Path) -> None:
    """An alert that fires because its series are not there would page on a new installation."""
    names = sorted(rule.name for rule in load_rules())
    test = {
        "interval": "4m",
        "input_series": [],
        "promql_expr_test": [
            {
                "expr": 'group by (alertname) (ALERTS{alertstate="firing"})',
                "eval_time": "12h",
                "exp_samples": [
                    {"labels": f'{{alertname="{name}"}}', "value": 1}
                    for name in sorted(FIRES_ON_NOTHING)
                ],
            }
        ],
    }
    files = [str(path) for path in sorted((PROMETHEUS / "rules").glob("*.yml"))]
    plan = {"rule_files": files, "evaluation_interval": "4m", "tests": [test]}
    path = tmp_path / "nothing.yml"
    path.write_text(yaml.safe_dump(plan), encoding="utf-8")
    run_tool("promtool", "test", "rules", path)
    assert set(names) >= FIRES_ON_NOTHING
