"""The committed configuration as the tests read it: rules, routes, runbooks and the tools."""

import functools
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from trading_ops_lab.supervisor.processes import ALERTMANAGER_BINARIES

ROOT = Path(__file__).resolve().parents[2]
PROMETHEUS = ROOT / "prometheus"
ALERTMANAGER = ROOT / "alertmanager"
RUNBOOKS = ROOT / "runbooks"
ROUTES = ALERTMANAGER / "alertmanager.yml"

METRICS_TOKEN = "a-metrics-token"
OF_OTHERS = frozenset(
    {
        "up",
        "scrape_samples_scraped",
        "ALERTS",
        "prometheus_config_last_reload_successful",
        "prometheus_notifications_alertmanagers_discovered",
        "prometheus_notifications_errors_total",
        "prometheus_rule_evaluation_failures_total",
        "prometheus_rule_group_iterations_missed_total",
        "alertmanager_notifications_failed_total",
    }
)
"""What rules read of Prometheus and Alertmanager, as 2.42 and 0.25 export it and later ones do."""

_NOT_METRICS = frozenset({"and", "or", "unless", "by", "on", "without", "ignoring", "bool", "Inf"})
_GROUPING = re.compile(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)")
_NOISE = re.compile(r'"(?:\\.|[^"\\])*"|\{[^}]*\}|\[[^\]]*\]|\boffset -?\w+')
_NAME = re.compile(r"(?<![\w.$])([a-zA-Z_:][\w:]*)\b(?!\s*\()")


@dataclass(frozen=True, kw_only=True)
class AlertRule:
    """One alerting rule, with what its group says."""

    file: str
    group: str
    interval: str
    name: str
    expr: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    hold: str
    keep: str

    def __str__(self) -> str:
        """Name the rule, for the ids of tests."""
        return self.name


@functools.cache
def load_rules() -> tuple[AlertRule, ...]:
    """Read every alerting rule of every committed file, in order."""
    return tuple(
        AlertRule(
            file=path.name,
            group=group["name"],
            interval=group["interval"],
            name=rule["alert"],
            expr=rule["expr"],
            labels=rule["labels"],
            annotations=rule["annotations"],
            hold=rule.get("for", "0s"),
            keep=rule.get("keep_firing_for", "0s"),
        )
        for path in sorted((PROMETHEUS / "rules").glob("*.yml"))
        for group in read_yaml(path)["groups"]
        for rule in group["rules"]
        if "alert" in rule
    )


@functools.cache
def recorded() -> dict[str, str]:
    """Read every recording rule: its query by its name."""
    return {
        rule["record"]: rule["expr"]
        for path in sorted((PROMETHEUS / "rules").glob("*.yml"))
        for group in read_yaml(path)["groups"]
        for rule in group["rules"]
        if "record" in rule
    }


def read_yaml(path: Path) -> Any:
    """Read one YAML file."""
    return yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)


@functools.cache
def front_matter(path: Path) -> Mapping[str, Any]:
    """Read the plan at the head of a runbook."""
    _, header, _ = path.read_text(encoding="utf-8").split("---\n", 2)
    plan: dict[str, Any] = yaml.load(header, Loader=yaml.CSafeLoader)
    return plan


def routed_differently(config: Path) -> list[AlertRule]:
    """Return one rule of every kind that the routes of an Alertmanager configuration tell apart.

    Two rules with the same values of the labels that matchers name, and with names that satisfy
    the same matchers, take the same routes.
    """
    matchers = set(re.findall(r"\b(\w+)(!?=~?)\"([^\"]*)\"", config.read_text(encoding="utf-8")))
    labels = sorted({label for label, _, _ in matchers} - {"alertname"})
    names = sorted(value for label, _, value in matchers if label == "alertname")
    kinds: dict[object, AlertRule] = {}
    for rule in load_rules():
        matched = tuple(bool(re.fullmatch(name, rule.name)) for name in names)
        kinds.setdefault((*(rule.labels.get(label) for label in labels), matched), rule)
    return list(kinds.values())


@functools.cache
def selected(expr: str) -> frozenset[str]:
    """Find the metrics on which a query stands, through the rules that record what it selects."""
    rules = recorded()
    behind = [selected(rules[name]) for name in metric_names(expr) if name in rules]
    return (metric_names(expr) - rules.keys()).union(*behind)


def metric_names(expr: str) -> frozenset[str]:
    """Find the metrics that a query selects; good for queries written as ours are."""
    bare = _GROUPING.sub(" ", _NOISE.sub(" ", expr))
    return frozenset(_NAME.findall(bare)) - _NOT_METRICS


def label_names(expr: str, metric: str) -> frozenset[str]:
    """Return the labels by which a query selects a metric."""
    found = re.search(rf"\b{metric}\{{([^}}]*)\}}", expr)
    return frozenset(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", found.group(1)) if found else ())


def run_tool(
    *command: str | Path, cwd: Path | None = None, accept: Sequence[int] = (0,)
) -> subprocess.CompletedProcess[str]:
    """Run promtool or amtool; its whole output is the message of a failure."""
    result = subprocess.run(
        # A fifth less CPU for 300 MB of memory.
        ["env", "GOGC=800", *(str(part) for part in command)],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode in accept, f"{result.stdout}\n{result.stderr}"
    return result


def lay_out_prometheus(folder: Path, delays: Mapping[str, str] | None = None) -> Path:
    """Build the folder in which Prometheus runs, as the stack does; return the config's path.

    Args:
        folder: where it runs; made.
        delays: the delays before paging as committed, and as they are here.
    """
    targets = folder / "targets"
    targets.mkdir(parents=True)
    names = (
        "bots",
        "exporters",
        "reconcilers",
        "prometheus",
        "alertmanagers",
        "supervisors",
        "nodes",
    )
    for name in names:
        (targets / f"{name}.json").write_text('[{"targets": ["127.0.0.1:1"]}]', encoding="ascii")
    secrets = folder / "secrets"
    secrets.mkdir()
    (secrets / "metrics_token").write_text(f"{METRICS_TOKEN}\n", encoding="ascii")
    if delays:
        shutil.copytree(PROMETHEUS / "rules", folder / "rules")
        pages = folder / "rules" / "recovery.yml"
        text = pages.read_text(encoding="utf-8")
        for delay, shorter in delays.items():
            rule = (
                f"        for: {delay}\n        labels:\n          page_after: 0s\n          after:"
            )
            assert text.count(rule) == 1
            text = text.replace(rule, rule.replace(f"for: {delay}", f"for: {shorter}"))
        pages.write_text(text, encoding="utf-8")
    else:
        (folder / "rules").symlink_to(PROMETHEUS / "rules")
    config = folder / "prometheus.yml"
    config.symlink_to(PROMETHEUS / "prometheus.yml")
    return config


def alertmanager_program() -> str:
    """Return the program that the stack starts: upstream's name, or Debian's."""
    found = next(filter(None, map(shutil.which, ALERTMANAGER_BINARIES)), None)
    assert found, "install the package prometheus-alertmanager"
    return found


def seconds(duration: str) -> float:
    """Read a duration of one unit, as these files write them."""
    units = {"s": 1.0, "m": 60.0, "h": 3600.0}
    return float(duration[:-1]) * units[duration[-1]]
