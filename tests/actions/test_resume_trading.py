"""Holds are released at a real agent by name, in an operator's name, and once."""

from dataclasses import replace
from typing import Any

import pytest

from trading_ops.actions.base import Action, Call, Probe
from trading_ops.actions.registry import ACTIONS
from trading_ops.agent import Agent, TradingState
from trading_ops.domain.attempt import AttemptId, DeliverySemantics
from trading_ops.errors import ActionError


async def place(actions: dict[str, Action], call: Call, *names: str) -> None:
    for name in names:
        await actions["halt_trading"].perform(replace(call, attempt_id=AttemptId(name)))


def active_holds(agent: Agent) -> list[str]:
    return [hold.id for hold in agent.holds.holds]


def test_it_is_a_persons_and_a_second_persons() -> None:
    """Not the machine's, and at most once."""
    kind = ACTIONS["resume_trading"]
    assert (kind.manual_only, kind.two_person_approval) == (True, True)
    assert kind.delivery is DeliverySemantics.ONE_SHOT
    assert {name for name, action in ACTIONS.items() if action.manual_only} == {"resume_trading"}


async def test_the_named_holds_are_released_in_the_persons_name_and_once(
    agent: Agent, actions: dict[str, Action], call: Call
) -> None:
    """Others go on holding; a repeated attempt releases nothing that was placed since."""
    await place(actions, call, "h1", "h2", "h3")
    resume, release = actions["resume_trading"], replace(call, params={"holds": "h1, h3"})
    assert await resume.perform(release) == "2 holds were released by ada; the state is halted"
    assert active_holds(agent) == ["h2"]
    assert agent.holds.released[-1]["released_for"] == "settled with the venue"
    await place(actions, call, "again")
    again = replace(call, params={"holds": "again"})
    await resume.perform(again)
    assert active_holds(agent) == ["h2", "again"]
    last = replace(call, attempt_id=AttemptId("two"), params={"holds": "h2,again"})
    assert await resume.probe(replace(last, fence=2)) is Probe.NOT_DONE
    await resume.perform(replace(last, fence=2))
    assert agent.holds.state is TradingState.ACTIVE
    assert await resume.probe(replace(last, fence=3)) is Probe.DONE


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"requested_by": None}, "only an operator"),
        ({"params": {"holds": "all"}}, "holds"),
        ({"params": {"holds": "h1, all"}}, "holds"),
        ({"params": {"holds": " , "}}, "holds"),
    ],
)
async def test_what_no_one_has_seen_is_not_released(
    agent: Agent, actions: dict[str, Action], call: Call, change: dict[str, Any], says: str
) -> None:
    """An approval is for the holds that it showed; the machine releases none at all."""
    await place(actions, call, "h1")
    release = replace(call, attempt_id=AttemptId("two"), params={"holds": "h1"})
    with pytest.raises(ActionError, match=says):
        await actions["resume_trading"].perform(replace(release, **change))
    assert active_holds(agent) == ["h1"]
