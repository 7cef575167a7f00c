"""The logs of a bot and the reconciler have the ids of events, attempts and incidents."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.stack import Stack

pytestmark = pytest.mark.slow

ALERT = "TradingBotBrokerDisconnected"


def lines(path: Path, **fields: str | None) -> list[dict[str, Any]]:
    """Return the lines of a log with these fields."""
    found = (json.loads(line) for line in path.read_text().splitlines() if line.startswith("{"))
    return [line for line in found if fields.items() <= line.items()]


def test_an_attempt_is_found_by_its_incident_in_every_log(stack: Stack) -> None:
    """From the incident to the reconciler's decision, to the bot's own lines about the command."""
    code, result = stack.json("drill", ALERT)
    assert code == 0, result["problem"] + stack.logs()
    (listed, *_) = stack.json("incidents", "--alert", ALERT)[1]
    incident = listed["id"]
    attempt = stack.json("incidents", "show", incident)[1]["attempts"][0]["id"]
    reconciler = stack.settings.logs / "reconciler.log"
    assert lines(reconciler, incident=incident, event="decided")
    assert lines(reconciler, incident=incident, attempt=attempt, event="attempt_ended")
    assert lines(reconciler, incident=incident, attempt=attempt, event="attempt_verified")
    assert lines(stack.settings.logs / "bot-alpha.log", attempt=attempt)


def test_a_trade_is_found_by_its_ids_in_the_log_of_its_bot(stack: Stack) -> None:
    """The order's acknowledgement and the reported event share its ids with the stored event."""
    trade = stack.json("bot-events", "--kind", "trade")[1][0]
    ids = {name: trade[name] for name in ("order", "strategy", "correlation")}
    assert all(ids.values())
    log = stack.settings.logs / "bot-alpha.log"
    assert lines(log, event="order_acknowledged", **ids)
    assert lines(log, event="event_reported", **ids)
