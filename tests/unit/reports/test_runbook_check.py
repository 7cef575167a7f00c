"""Each way in which runbooks, rules and drills can come apart is found and named."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from trading_ops.config.loading import load_settings
from trading_ops.config.settings import Settings
from trading_ops.errors import ConfigError
from trading_ops.reports.runbook_check import check_runbooks
from trading_ops_lab.faults.catalogue import FAULTS as KNOWN_FAULTS

ROOT = Path(__file__).parents[3]
FAULTS = frozenset(KNOWN_FAULTS)
BROKER = "TradingBotBrokerDisconnected"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A copy of the shipped files, free to be broken."""
    for folder in ("runbooks", "prometheus", "grafana/dashboards"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    return load_settings(tmp_path, {})


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text, f"{path} has changed: this test must too"
    path.write_text(text.replace(old, new, 1))


def test_the_shipped_files_fit(settings: Settings) -> None:
    """No problem, and every runbook was looked at."""
    problems, checked = check_runbooks(settings, faults=FAULTS)
    assert problems == []
    assert checked == len(list((ROOT / "runbooks").glob("*.md")))


def test_no_runbook_at_all_is_no_success(settings: Settings) -> None:
    """A check that looked at nothing has found out nothing."""
    shutil.rmtree(settings.runbooks)
    with pytest.raises(ConfigError, match="no runbooks found"):
        check_runbooks(settings, faults=FAULTS)


def test_a_runbook_with_a_mistake_is_not_called_missing(settings: Settings) -> None:
    """One mistake, one advice: following a second one would overwrite the file."""
    edit(settings.runbooks / f"{BROKER}.md", "version: 1", "version: 2")
    problems, _ = check_runbooks(settings, faults=FAULTS, parse_queries=False)
    assert len(problems) == 1


def broken(old: str, new: str) -> Callable[[Settings], None]:
    return lambda settings: edit(settings.runbooks / f"{BROKER}.md", old, new)


BREAKAGES: dict[str, tuple[Callable[[Settings], None], str]] = {
    "an action that does not exist": (
        broken("action: reconnect_broker", "action: pray"),
        "'pray' does not exist",
    ),
    "a parameter too many": (
        broken("{action: reconnect_broker,", "{action: reconnect_broker, with: {x: y},"),
        "reconnect_broker takes nothing",
    ),
    "an unknown key": (broken("unless:", "unles:"), "unles"),
    "another name than the file's": (broken(f"alert: {BROKER}", "alert: Other"), "the file's name"),
    "another version": (broken("version: 1", "version: 2"), "write `version: 1`"),
    "a duration that is none": (broken("for: 5s", "for: soon"), "duration 'soon'"),
    "a window that is too long": (broken("window: 1h", "window: 2d"), "at most 1d"),
    "a cooldown that is too long": (broken("cooldown: 20s", "cooldown: 25h"), "at most 1d"),
    "an approval that is none": (
        broken("{action: reconnect_broker,", "{action: reconnect_broker, approval: perhaps,"),
        "approval",
    ),
    "a word for halted targets that is none": (
        broken("{action: reconnect_broker,", "{action: reconnect_broker, while_halted: often,"),
        "while_halted",
    ),
    "an observe_only that is neither": (
        broken("version: 1", "version: 1\nobserve_only: sometimes"),
        "observe_only",
    ),
    "no attempts at all": (broken("attempts: 4", "attempts: 0"), "at least 1"),
    "an escalate that is none": (broken("page_after: 5m", "page_after: 7m"), "one of 0s, 5m"),
    "another escalate than the rule's": (
        broken("page_after: 5m", "page_after: 15m"),
        "Fix: make them equal",
    ),
    "steps longer than escalate": (
        broken("timeout: 5s", "timeout: 10m"),
        "on-call would be paged during remediation",
    ),
    "a drill shorter than its first step": (
        broken("recover_within: 30s", "recover_within: 3s"),
        "shorter than the first step",
    ),
    "a hold that cannot be reached": (broken("for: 5s", "for: 1h"), "verify.for is longer"),
    "an unknown fault": (broken("fault: venue_disconnect", "fault: rain"), "rain is unknown"),
    "an unless that no rule has": (
        broken("unless: [TradingVenueDown,", "unless: [TradingNothing,"),
        "no rule has the alert TradingNothing",
    ),
    "a query that does not parse": (broken("== 1'", "=== 1'"), "does not parse"),
    "a metric that does not exist": (
        broken("trading_component_up", "trading_component_upp"),
        "no metric trading_component_upp",
    ),
    "a missing heading": (broken("## Impact", "## Outlook"), "'## Impact' is missing"),
    "no front matter": (broken("---", "..."), "front matter"),
    "no YAML": (broken("version: 1", "version: ["), "not YAML"),
    "steps without verify": (broken("verify: {", "#verify: {"), "steps without it"),
    "a rule without runbook": (
        lambda settings: (settings.runbooks / f"{BROKER}.md").unlink(),
        f"alert {BROKER} has no runbook",
    ),
    "a runbook without rule": (
        lambda settings: edit(
            settings.prometheus_config / "rules" / "bot.yml", f"alert: {BROKER}", "alert: Other"
        ),
        f"no rule has the alert {BROKER}",
    ),
    "a rule without the label `remediation`": (
        lambda settings: edit(
            settings.prometheus_config / "rules" / "bot.yml", "remediation: auto", "recovery: never"
        ),
        "must carry remediation: auto",
    ),
    "a panel on a metric that does not exist": (
        lambda settings: edit(
            settings.root / "grafana" / "dashboards" / "overview.json",
            "trading_component_up",
            "trading_component_down",
        ),
        "no metric trading_component_down",
    ),
}


@pytest.mark.parametrize("name", BREAKAGES)
def test_it_is_found_and_named(settings: Settings, name: str) -> None:
    """The sentence names the file and the fix."""
    breakage, expected = BREAKAGES[name]
    breakage(settings)
    asked = name == "a query that does not parse"  # promtool takes longer than all the rest
    problems, _ = check_runbooks(settings, faults=FAULTS, parse_queries=asked)
    found = [problem for problem in problems if expected in problem]
    assert found, problems
    assert all("Fix: " in problem and str(settings.root) in problem for problem in found)
