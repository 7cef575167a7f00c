"""Checks that rules, runbooks, actions, queries and drills are consistent.

Each problem is one sentence with the file, the key and the fix.
"""

import json
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml

from trading_ops.config.files import load_yaml, parse_duration, problem_of
from trading_ops.config.settings import Settings
from trading_ops.domain.runbook import Runbook
from trading_ops.errors import ConfigError, SetupError
from trading_ops.instrument import catalogue
from trading_ops.reconciler.runbook_index import parse_runbook

OURS = re.compile(r"\b(trading_[a-z0-9_]+)\b")
NOT_A_METRIC = re.compile(r'"(?:\\.|[^"\\])*"|\b[a-z_]+:\w+:\w+')
"""Label values, and names of recording rules."""

PLACEHOLDER = re.compile(r"\$(bot|venue|target)\b")
HEADINGS = ("## Meaning", "## Impact", "## Diagnosis", "## Mitigation")


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One alerting rule and its file."""

    alert: str
    expression: str
    labels: Mapping[str, str]
    file: Path


def check_runbooks(
    settings: Settings, *, faults: frozenset[str] | None, parse_queries: bool = True
) -> tuple[list[str], int]:
    """Return the problems found, and how many runbooks were checked.

    Args:
        settings: with the folders of rules and runbooks.
        faults: the faults that a drill may name; None (without the lab): not checked.
        parse_queries: whether to parse the queries with promtool.

    Raises:
        ConfigError: there are no runbooks.
        SetupError: promtool is missing, so queries cannot be checked.
    """
    rules = {rule.alert: rule for rule in read_rules(settings.prometheus_config / "rules")}
    problems: list[str] = []
    books: dict[str, tuple[Path, Runbook]] = {}
    paths = sorted(settings.runbooks.glob("*.md"))
    if not paths:
        raise ConfigError(
            str(settings.runbooks),
            "",
            "no runbooks found",
            "run it in the project folder, or set TRADING_OPS_ROOT to that folder",
        )
    for path in paths:
        try:
            book = parse_runbook(path.read_text("utf-8"), path)
        except ConfigError as error:
            problems.append(str(error))
            continue
        books[book.alert] = (path, book)
    written = {path.stem for path in paths}
    for alert, rule in rules.items():
        if alert not in written:
            problems.append(f"{rule.file}: alert {alert} has no runbook. Fix: write {alert}.md")
    for alert, (path, book) in books.items():
        found_rule = rules.get(alert)
        if found_rule is None:
            problems.append(f"{path}: no rule has the alert {alert}. Fix: add one, or rename")
        else:
            problems += _against_rule(path, book, found_rule)
        problems += _alone(path, book, rules, faults)
    problems += _unknown_metrics(settings, rules, books)
    if parse_queries:
        problems += _unparsable(books)
    return problems, len(books)


def read_rules(folder: Path) -> Iterator[Rule]:
    """Yield all alerting rules of a folder."""
    for file in sorted(folder.glob("*.yml")):
        try:
            groups = load_yaml(file.read_text("utf-8"))["groups"]
        except yaml.YAMLError as error:
            raise ConfigError(str(file), "", problem_of(error), "correct the syntax") from error
        for group in groups:
            for rule in group["rules"]:
                if "alert" in rule:
                    yield Rule(
                        alert=rule["alert"],
                        expression=str(rule["expr"]),
                        labels=rule.get("labels", {}),
                        file=file,
                    )


def _against_rule(path: Path, book: Runbook, rule: Rule) -> Iterator[str]:
    if rule.labels.get("page_after") != book.page_after:
        yield (
            f"{path}: page_after is {book.page_after}, but the rule in {rule.file} carries "
            f"{rule.labels.get('page_after')}. Fix: make them equal"
        )
    if bool(book.steps) != (rule.labels.get("remediation") == "auto"):
        yield (
            f"{rule.file}: {book.alert} must carry remediation: auto exactly when its runbook has "
            "steps. Fix: add or remove the label"
        )


def _alone(
    path: Path, book: Runbook, rules: Mapping[str, Rule], faults: frozenset[str] | None
) -> Iterator[str]:
    text = path.read_text("utf-8")
    for heading in HEADINGS:
        if f"\n{heading}\n" not in text:
            yield f"{path}: heading {heading!r} is missing. Fix: write the section"
    for name in book.unless:
        if name not in rules:
            yield f"{path}: unless: no rule has the alert {name}. Fix: correct the name"
    if faults is not None and book.drill and book.drill.fault not in faults:
        known = ", ".join(sorted(faults))
        yield f"{path}: drill.fault: {book.drill.fault} is unknown. Fix: one of {known}"
    yield from _times(path, book)


def _times(path: Path, book: Runbook) -> Iterator[str]:
    lengths = [step.timeout + step.verify_within for step in book.steps]
    if not lengths:
        return
    if book.verify and any(book.verify.duration > step.verify_within for step in book.steps):
        yield f"{path}: verify.for is longer than a step's verify_within. Fix: shorten it"
    worst = sum(lengths, timedelta())
    if book.page_after not in {"0s", "never"} and worst > parse_duration(book.page_after):
        yield (
            f"{path}: the steps may take {worst}, longer than page_after {book.page_after}: "
            "on-call would be paged during remediation. Fix: shorten the steps"
        )
    if book.drill and lengths[0] > book.drill.recover_within:
        yield (
            f"{path}: drill.recover_within is shorter than the first step. Fix: make it at least "
            f"{lengths[0]}"
        )


def _unknown_metrics(
    settings: Settings,
    rules: Mapping[str, Rule],
    books: Mapping[str, tuple[Path, Runbook]],
) -> Iterator[str]:
    known = catalogue.sample_names()
    queries = [(rule.file, rule.alert, rule.expression) for rule in rules.values()]
    queries += [
        (path, f"{alert}: verify.query", book.verify.query)
        for alert, (path, book) in books.items()
        if book.verify
    ]
    queries += list(_dashboard_queries(settings.root / "grafana" / "dashboards"))
    for file, key, query in queries:
        for name in sorted(set(OURS.findall(NOT_A_METRIC.sub(" ", query))) - known):
            yield f"{file}: {key}: no metric {name} exists. Fix: correct it, or define it"


def _dashboard_queries(folder: Path) -> Iterator[tuple[Path, str, str]]:
    for file in sorted(folder.glob("*.json")):
        for panel in _panels(json.loads(file.read_text("utf-8"))):
            for target in panel.get("targets", ()):
                yield file, f"panel {panel.get('title')!r}", target.get("expr", "")


def _panels(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for panel in node.get("panels", ()):
        yield panel
        yield from _panels(panel)


def _unparsable(books: Mapping[str, tuple[Path, Runbook]]) -> Iterator[str]:
    """Parse every verify query with promtool, one per call to attribute its message."""
    for alert, (path, book) in books.items():
        if book.verify is None:
            continue
        query = PLACEHOLDER.sub("x", book.verify.query)
        rule = {"groups": [{"name": "check", "rules": [{"record": "a:b", "expr": query}]}]}
        with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
            yaml.safe_dump(rule, file)
            file.flush()
            try:
                done = subprocess.run(
                    ["promtool", "check", "rules", file.name],
                    capture_output=True,
                    text=True,
                    check=False,
                )
            except FileNotFoundError as error:
                raise SetupError(
                    "promtool is missing: install the package prometheus, or run `make up` once"
                ) from error
        if done.returncode:
            message = " ".join(done.stderr.strip().splitlines()[-1:])
            yield f"{path}: verify.query of {alert} does not parse: {message}. Fix: the query"
