"""A hold's states, from careful to still."""

import pytest

from tests.builders import NOW
from trading_ops.domain.hold import (
    RECONCILER,
    HeldState,
    Hold,
    is_automatic,
    meant_incarnation,
    unresponsive_halt_id,
)


def test_the_more_a_state_forbids_the_higher_is_its_rank() -> None:
    """Of several holds the highest wins."""
    assert HeldState.REDUCING.severity < HeldState.HALTED.severity
    assert max(HeldState, key=lambda state: state.severity) is HeldState.HALTED


@pytest.mark.parametrize(
    ("over", "life"),
    [
        ({}, "41:7"),
        ({"id": "agent-unresponsive-alpha-"}, ""),
        ({"id": "agent-unresponsive-alpha2-41:7"}, None),
        ({"id": "agent-silent-alpha-41:7"}, "41:7"),
        ({"id": "by-hand"}, None),
        ({"owner": "ada"}, None),
        ({"target": "beta"}, None),
    ],
)
def test_a_silences_halt_is_of_one_life(over: dict[str, str], life: str | None) -> None:
    """What an operator places is for every life, whatever its id is."""
    values = {
        "id": unresponsive_halt_id("alpha", "41:7"),
        "target": "alpha",
        "owner": RECONCILER,
        "reason": "silent",
    }
    hold = Hold(**(values | over), state=HeldState.HALTED, at=NOW)
    assert meant_incarnation(hold) == life


@pytest.mark.parametrize(
    ("owner", "hold_id", "machines"),
    [
        (RECONCILER, "anything", True),
        ("risk", "risk-daily_loss", True),
        ("recovery", "recovery-balance-USD", True),
        ("leadership", "leadership-records", True),
        ("ada", "halted-1", False),
        ("ada", "risk-daily_loss", False),
        # Someone may be called so; what an operator orders has an id of another kind.
        ("risk", "halted-1", False),
        ("risk", "riskless", False),
    ],
)
def test_whose_hold_it_is(owner: str, hold_id: str, *, machines: bool) -> None:
    """A bot's own limits do not block remediation; an operator's hold does."""
    hold = Hold(
        id=hold_id, target="alpha", state=HeldState.HALTED, owner=owner, reason="why", at=NOW
    )
    assert is_automatic(hold) == machines
