"""Holds are lifted at a real agent by name, in a person's name, and once."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.actions.heard import Heard
from tests.builders import make_registry
from tests.free_ports import free_port
from trading_ops.actions.base import Action, Call, Probe
from trading_ops.actions.registry import KINDS, build
from trading_ops.agent import Agent, Health, TradingState
from trading_ops.clients.directory import Directory
from trading_ops.domain.attempt import AttemptId, Delivery
from trading_ops.errors import ActionError
from trading_ops.instrument import BotMetrics

TOKEN = "t" * 32


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[Agent]:
    agent = Agent(
        name="alpha",
        address=("127.0.0.1", free_port()),
        metrics=BotMetrics(version="1", mode="paper"),
        health=Health,
        commands={},
        state_dir=tmp_path,
        metrics_token=TOKEN,
        agent_token=TOKEN,
    )
    agent.start()
    yield agent
    agent.stop()


@pytest.fixture
def call(agent: Agent) -> Call:
    target = make_registry(alpha=f"{agent.host}:{agent.port}").find("alpha")
    assert target is not None
    return Call(
        attempt_id=AttemptId("one"),
        fence=1,
        target=target,
        params={},
        within=timedelta(seconds=5),
        ordered_by="ada",
        reason="settled with the venue",
    )


@pytest.fixture
async def actions(call: Call) -> AsyncIterator[dict[str, Action]]:
    registry = make_registry(alpha=call.target.address)
    async with aiohttp.ClientSession() as session:
        yield build(Directory(session, registry, {"agent": TOKEN, "supervisor": TOKEN}), Heard())


async def lay(actions: dict[str, Action], call: Call, *names: str) -> None:
    for name in names:
        await actions["halt_trading"].perform(replace(call, attempt_id=AttemptId(name)))


def standing(agent: Agent) -> list[str]:
    return [hold.id for hold in agent.holds.holds]


def test_it_is_a_persons_and_a_second_persons() -> None:
    """Not the machine's, and at most once."""
    kind = KINDS["resume_trading"]
    assert (kind.by_hand_only, kind.two_persons) == (True, True)
    assert kind.delivery is Delivery.ONE_SHOT
    assert {name for name, one in KINDS.items() if one.by_hand_only} == {"resume_trading"}


async def test_the_named_holds_are_lifted_in_the_persons_name_and_once(
    agent: Agent, actions: dict[str, Action], call: Call
) -> None:
    """Others go on holding; a repeated attempt lifts nothing that was laid since."""
    await lay(actions, call, "h1", "h2", "h3")
    resume, lift = actions["resume_trading"], replace(call, params={"holds": "h1, h3"})
    assert await resume.perform(lift) == "2 holds were lifted by ada; the state is halted"
    assert standing(agent) == ["h2"]
    assert agent.holds.lifted[-1]["lifted_for"] == "settled with the venue"
    await lay(actions, call, "again")
    again = replace(call, params={"holds": "again"})
    await resume.perform(again)
    assert standing(agent) == ["h2", "again"]
    last = replace(call, attempt_id=AttemptId("two"), params={"holds": "h2,again"})
    assert await resume.probe(replace(last, fence=2)) is Probe.NOT_DONE
    await resume.perform(replace(last, fence=2))
    assert agent.holds.state is TradingState.ACTIVE
    assert await resume.probe(replace(last, fence=3)) is Probe.DONE


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"ordered_by": None}, "only a person"),
        ({"params": {"holds": "all"}}, "name the holds"),
        ({"params": {"holds": "h1, all"}}, "name the holds"),
        ({"params": {"holds": " , "}}, "name the holds"),
    ],
)
async def test_what_nobody_has_seen_is_not_lifted(
    agent: Agent, actions: dict[str, Action], call: Call, change: dict[str, Any], says: str
) -> None:
    """An approval is for the holds that it showed; the machine lifts none at all."""
    await lay(actions, call, "h1")
    lift = replace(call, attempt_id=AttemptId("two"), params={"holds": "h1"})
    with pytest.raises(ActionError, match=says):
        await actions["resume_trading"].perform(replace(lift, **change))
    assert standing(agent) == ["h1"]
