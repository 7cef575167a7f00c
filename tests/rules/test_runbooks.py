"""The committed runbooks: a plan that fits its times, and prose that a tired person can follow."""

import ast
import functools
import re
from datetime import timedelta
from pathlib import Path

from tests.each import each
from tests.rules.configuration import (
    OF_OTHERS,
    ROOT,
    RUNBOOKS,
    front_matter,
    load_rules,
    run_tool,
    seconds,
    selected,
)
from trading_ops.config.targets import load_targets
from trading_ops.domain.attempt import DeliverySemantics
from trading_ops.domain.runbook import Runbook
from trading_ops.instrument import catalogue
from trading_ops.reconciler.runbook_index import load_runbooks
from trading_ops_lab.faults.catalogue import FAULTS

BOOKS = load_runbooks(RUNBOOKS)
AUTOMATIC = [book for book in BOOKS.values() if book.steps]
REMEDIATION = [
    book
    for book in AUTOMATIC
    if any(step.delivery is not DeliverySemantics.SAFE_DIRECTION for step in book.steps)
]
"""The others only ever hold bots: no fault of a venue keeps that from being done."""

SHIPPED_BOTS = [bot.name for bot in load_targets(ROOT / "targets.yml").bots]
PATHS = sorted(RUNBOOKS.glob("*.md"))
SECTIONS = ["Meaning", "Impact", "Diagnosis", "Mitigation"]
NOT_DRILLED = {
    "TradingBotEventLoopLagging": "no fault makes it late; rules/test_slow_alerts_live.py",
    "TradingBotQueueBacklog": "after three failed requests its breaker keeps others out, and what "
    "is left is passed over in one turn; tests/service/bot/test_load_on_command.py",
}
"""Alerts with steps and without a drill, each with the reason."""

NOT_OF_A_VENUE = {"TradingBotDiskLow"}
"""What no venue can cause, and what would only grow worse by waiting for one."""

SCRAPE_LIMITS = {
    "body_size_limit",
    "label_limit",
    "label_value_length_limit",
    "sample_limit",
}
"""Settings of Prometheus, not ours."""

FENCE = re.compile(r"```sh\n(.*?)```", re.DOTALL)
ZERO = timedelta()


def by_alert(book: Runbook) -> str:
    return book.alert


@each("book", AUTOMATIC, name=by_alert)
def test_the_steps_end_before_on_call_is_paged(book: Runbook) -> None:
    """The worst sum of the steps' times, cooldowns included, fits the alert's own wait."""
    worst = sum((step.timeout + step.verify_within for step in book.steps), ZERO)
    waits = book.limits.cooldown * (len(book.steps) - 1)
    assert worst + waits <= timedelta(seconds=seconds(book.page_after))


@each("book", REMEDIATION, name=by_alert)
def test_the_first_step_recovers_within_the_time_of_the_drill(book: Runbook) -> None:
    """With the seconds until the alert fires, which no step can shorten."""
    assert (book.drill is None) == (book.alert in NOT_DRILLED)
    if book.drill is None:
        return
    assert book.drill.fault in FAULTS
    first, detection = book.steps[0], timedelta(seconds=9)
    assert detection + first.timeout + first.verify_within <= book.drill.recover_within


@each("book", REMEDIATION, name=by_alert)
def test_every_fault_of_a_venue_keeps_hands_off_its_bots(book: Runbook) -> None:
    """And the alert that it waits for exists."""
    assert ("TradingVenueDown" in book.unless) != (book.alert in NOT_OF_A_VENUE)
    assert set(book.unless) <= {rule.name for rule in load_rules()}


@each("book", AUTOMATIC, name=by_alert)
def test_the_verify_query_is_about_this_bot_and_known_metrics(
    book: Runbook, tmp_path: Path
) -> None:
    """It parses, names the bot, and holds long enough not to be one lucky sample."""
    assert book.verify is not None
    assert 'bot="$bot"' in book.verify.query
    assert selected(book.verify.query) <= catalogue.sample_names() | {"up"}
    assert book.verify.duration >= timedelta(seconds=3)
    file = tmp_path / "query.yml"
    query = book.verify.query.replace('"', '\\"')
    file.write_text(
        f'groups: [{{name: q, rules: [{{record: "q:q:q", expr: "{query}"}}]}}]', encoding="utf-8"
    )
    run_tool("promtool", "check", "rules", file)


@each("path", PATHS, name=lambda path: path.stem)
def test_the_prose_has_the_four_sections_in_order(path: Path) -> None:
    """The same place for the same thing, at three in the morning."""
    text = path.read_text(encoding="utf-8")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == SECTIONS
    assert f"\n# {path.stem}\n" in text


@each("path", PATHS, name=lambda path: path.stem)
def test_a_runbook_without_steps_says_that_it_is_for_people(path: Path) -> None:
    """A runbook without steps states it."""
    plan = front_matter(path)
    text = path.read_text(encoding="utf-8")
    assert set(plan) >= {"version", "alert", "target", "page_after"}
    assert bool(plan.get("steps")) != ("\nPage-only" in text)


@each("path", PATHS, name=lambda path: path.stem)
def test_its_commands_are_shell(path: Path) -> None:
    """What is copied into a terminal must at least parse there."""
    for block in FENCE.findall(path.read_text(encoding="utf-8")):
        run_tool("bash", "-n", "-c", block.replace("\n   ", "\n"))


@each("path", PATHS, name=lambda path: path.stem)
def test_it_applies_to_every_installation(path: Path) -> None:
    """Its commands are ours: no curl, address, port or bot of the shipped `targets.yml`."""
    text = path.read_text(encoding="utf-8").partition("\n---\n")[2]
    assert not re.search(r"\bcurl\b|\b127\.0\.0\.1\b|localhost:\d", text)
    assert not re.search(rf"\b(?:{'|'.join(SHIPPED_BOTS)})\b", text)


@each("path", PATHS, name=lambda path: path.stem)
def test_its_queries_name_known_metrics(path: Path) -> None:
    """A diagnosis by a metric that does not exist costs minutes."""
    text = path.read_text(encoding="utf-8")
    for queries in re.findall(r"```promql\n(.*?)```", text, re.DOTALL):
        for query in filter(None, map(str.strip, queries.splitlines())):
            assert selected(query) <= catalogue.sample_names() | OF_OTHERS


@functools.cache
def names_in_code() -> frozenset[str]:
    """Return all strings and identifiers in the code; of a log message its first word."""
    found: set[str] = set()
    for path in (*ROOT.glob("trading_ops/**/*.py"), *ROOT.glob("trading_ops_lab/**/*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Constant(value=str() as text):
                    found |= {text, text.partition(" ")[0]}
                case ast.Name(id=name) | ast.arg(arg=name):
                    found.add(name)
                case _:
                    pass
    return frozenset(found)


@each("path", PATHS, name=lambda path: path.stem)
def test_the_log_events_and_settings_that_it_names_exist(path: Path) -> None:
    """A renamed event makes a diagnosis find nothing, which reads as "it did not happen"."""
    text = path.read_text(encoding="utf-8")
    named = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", text)) - SCRAPE_LIMITS
    assert named <= names_in_code()
    for pattern in re.findall(r"(?:grep|grep -E) '?([\w|]+)'? var/log/", text):
        for name in pattern.split("|"):
            assert any(name_in_code.startswith(name) for name_in_code in names_in_code()), name


@each("path", PATHS, name=lambda path: path.stem)
def test_its_links_to_other_runbooks_lead_somewhere(path: Path) -> None:
    """Renaming a runbook must not leave a dead end behind."""
    for link in re.findall(r"\]\((\w+\.md)\)", path.read_text(encoding="utf-8")):
        assert (RUNBOOKS / link).exists()
