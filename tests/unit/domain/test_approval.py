"""Approvals: what they are bound to, and how long they are good."""

from datetime import timedelta
from typing import Any

import pytest

from tests.builders import NOW, make_approval
from trading_ops.domain.approval import ApprovalState, digest, same_person

WANTED: dict[str, Any] = {
    "incident_id": "incident-1",
    "action": "restart_component",
    "target": "alpha",
    "params": {"component": "broker", "why": "x"},
    "step": 1,
}


def test_one_thing_has_one_digest() -> None:
    """The order of the parameters is no one's business."""
    again = WANTED | {"params": {"why": "x", "component": "broker"}}
    assert digest(**WANTED) == digest(**again)
    assert len(digest(**WANTED)) == 64


@pytest.mark.parametrize(
    "over",
    [
        {"incident_id": None},
        {"incident_id": "incident-2"},
        {"action": "restart_bot"},
        {"target": "beta"},
        {"params": {"component": "feed", "why": "x"}},
        {"params": {}},
        {"step": 2},
        {"step": None},
    ],
)
def test_every_difference_is_another_digest(over: dict[str, Any]) -> None:
    """What was approved is exactly this, and nothing beside it."""
    assert digest(**WANTED) != digest(**(WANTED | over))


@pytest.mark.parametrize("state", ApprovalState)
def test_what_has_run_out_is_expired(state: ApprovalState) -> None:
    """Whatever was said ends on its own; what was used stays used."""
    asked = make_approval(state=state, expires_at=NOW)
    assert asked.state_at(NOW - timedelta(microseconds=1)) is state
    used = state is ApprovalState.USED
    assert asked.state_at(NOW) is (state if used else ApprovalState.EXPIRED)


def test_spelling_makes_no_second_person() -> None:
    """Approving one's own request by writing the name otherwise does not work."""
    assert same_person("Ada ", "ada")
    assert not same_person("ada", "bob")
