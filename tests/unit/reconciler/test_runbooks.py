"""What the front matter of a runbook means."""

from pathlib import Path

import pytest

from trading_ops.errors import ConfigError
from trading_ops.reconciler.runbook_index import parse_runbook

TEXT = """\
---
version: 1
alert: BotSick
observe_only: true
steps:
  - {action: reconnect_broker, timeout: 5s, verify_within: 15s}
  - {action: restart_bot, timeout: 5s, verify_within: 15s, approval: required, while_halted: true}
verify: {query: 'up == 1'}
page_after: 5m
---
# BotSick
"""


def test_the_gates_that_a_runbook_names() -> None:
    """They are off unless they are written."""
    book = parse_runbook(TEXT, Path("BotSick.md"))
    assert book.observe_only
    assert [(step.approval, step.while_halted) for step in book.steps] == [
        (False, False),
        (True, True),
    ]
    plain = parse_runbook(TEXT.replace("observe_only: true\n", ""), Path("BotSick.md"))
    assert not plain.observe_only


def test_an_approval_is_decided_once() -> None:
    """It is `required` or it is not there: no one has to guess what `no` means."""
    with pytest.raises(ConfigError, match=r"steps\[1\].approval"):
        parse_runbook(TEXT.replace("approval: required", "approval: no"), Path("BotSick.md"))


def test_no_runbook_releases_a_hold() -> None:
    """Only an operator does, however often the step would be approved."""
    step = "{action: resume_trading, with: {holds: h1}, timeout: 5s, verify_within: 15s}"
    text = TEXT.replace("{action: reconnect_broker, timeout: 5s, verify_within: 15s}", step)
    with pytest.raises(ConfigError, match="manual only"):
        parse_runbook(text, Path("BotSick.md"))


def test_nothing_in_the_safe_direction_waits_for_approval() -> None:
    """A halt that waits for someone is no halt."""
    text = TEXT.replace("action: restart_bot", "action: halt_trading")
    with pytest.raises(ConfigError, match="needs no approval"):
        parse_runbook(text, Path("BotSick.md"))
