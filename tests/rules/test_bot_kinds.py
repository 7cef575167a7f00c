"""No alert and no runbook promises a bot something that its kind does not have."""

import re

from tests.each import each
from tests.rules.bot_kinds import (
    FACILITIES,
    NOT_OF_A_FREQTRADE,
    OF_EVERY_BOT,
    OF_THE_RECONCILER,
    raised_by,
)
from tests.rules.configuration import ROOT, RUNBOOKS, AlertRule, load_rules
from trading_ops.actions.registry import ACTIONS
from trading_ops.domain.target import BOTS, Kind
from trading_ops.reconciler.runbook_index import load_runbooks

OF_BOTS = {rule.name: rule for rule in load_rules() if raised_by(rule)}
BOOKS = load_runbooks(RUNBOOKS)
HEADINGS = {Kind.BOT: "With our agent", Kind.FREQTRADE: "Freqtrade", Kind.BARE_BOT: "Metrics only"}
FREQTRADE = ROOT / "docs" / "freqtrade.md"
_SECTION = re.compile(r"^### By kind of bot\n(.*?)(?=^#)", re.DOTALL | re.MULTILINE)
_ITEM = re.compile(r"^- \*\*(.+?)\*\*: (.*?)(?=^- \*\*|\Z)", re.DOTALL | re.MULTILINE)


def row_of_freqtrade(first: str) -> str:
    """Return what the table in docs/freqtrade.md says is there for a Freqtrade."""
    text = FREQTRADE.read_text(encoding="utf-8")
    row = re.search(rf"^\| {first} \| (.*?) \|", text, re.MULTILINE)
    assert row
    return row.group(1)


def promises(text: str, kind: Kind) -> list[str]:
    """Return the facilities that a text names and a kind of bot lacks."""
    line = " ".join(text.split())
    return [
        name
        for name, facility in FACILITIES.items()
        if kind not in facility.kinds and re.search(facility.named, line)
    ]


def prose_and_kinds(alert: str) -> tuple[str, dict[str, str]]:
    """Split a runbook into the text about all bots and the text about each kind."""
    text = (RUNBOOKS / f"{alert}.md").read_text(encoding="utf-8").split("---\n", 2)[2]
    found = _SECTION.search(text)
    return _SECTION.sub("", text), dict(_ITEM.findall(found.group(1))) if found else {}


@each("rule", OF_BOTS.values())
def test_an_alert_is_true_for_each_kind_that_raises_it(rule: AlertRule) -> None:
    """A page about a Freqtrade that speaks of a dead man's switch leaves its orders uncovered."""
    text = f"{rule.annotations['summary']} {rule.annotations['description']}"
    assert {kind: promises(text, kind) for kind in raised_by(rule) if promises(text, kind)} == {}


@each("alert", OF_BOTS)
def test_a_runbook_promises_all_bots_only_what_all_have(alert: str) -> None:
    """The page says what happens to open orders, for each kind."""
    prose, by_kind = prose_and_kinds(alert)
    for kind in raised_by(OF_BOTS[alert]):
        assert "dead man's switch" not in promises(prose, kind)
    assert set(by_kind) <= set(HEADINGS.values())


@each("alert", [alert for alert in OF_BOTS if alert in BOOKS])
def test_a_runbook_reports_each_kind_that_its_steps_do_not_reach(alert: str) -> None:
    """Its commands would answer that it is not possible."""
    reached = {kind for step in BOOKS[alert].steps for kind in ACTIONS[step.action].kinds}
    _, by_kind = prose_and_kinds(alert)
    unreached = raised_by(OF_BOTS[alert]) - reached if reached else set()
    assert {HEADINGS[kind] for kind in unreached} <= set(by_kind)
    if by_kind:
        assert {HEADINGS[kind] for kind in raised_by(OF_BOTS[alert])} == set(by_kind)


def test_the_page_about_freqtrade_names_the_alerts_that_one_can_raise() -> None:
    """Those about a bot; of the others only what reads it is named."""
    named = set(re.findall(r"Trading\w+", row_of_freqtrade("alerts")))
    raised = {name for name, rule in OF_BOTS.items() if Kind.FREQTRADE in raised_by(rule)}
    assert {name for name in named if not name.startswith("TradingOps")} == raised
    assert named <= {rule.name for rule in load_rules()}


def test_the_page_about_freqtrade_names_the_actions_that_fit_one() -> None:
    """An action is named by its command where it has one."""
    commands = {"halt_trading": "halt", "reduce_trading": "reduce"}
    fit = {
        commands.get(name, name)
        for name, action in ACTIONS.items()
        if Kind.FREQTRADE in action.kinds
    }
    named = set(re.findall(r"`(\w+)`", row_of_freqtrade("actions")))
    assert named == (fit - {"page_oncall"}) | {"resume"}


def test_the_page_about_freqtrade_names_the_runbooks_that_act_on_one() -> None:
    """With `observe_only: false` a shipped runbook, and a drill of its alert, halts a live bot."""
    acting = {
        name
        for name, rule in OF_BOTS.items()
        if Kind.FREQTRADE in raised_by(rule) and name in BOOKS
        if any(Kind.FREQTRADE in ACTIONS[step.action].kinds for step in BOOKS[name].steps)
    }
    text = FREQTRADE.read_text(encoding="utf-8")
    (named,) = re.findall(r"shipped runbook has a step that applies: `(\w+)`", text)
    assert acting == {named}


def test_the_exceptions_are_alerts_and_exceptions() -> None:
    """None outlives its reason."""
    names = {rule.name for rule in load_rules()}
    assert names >= NOT_OF_A_FREQTRADE.keys() | OF_EVERY_BOT.keys() | OF_THE_RECONCILER
    assert all(raised_by(OF_BOTS[name]) == BOTS for name in OF_THE_RECONCILER)
