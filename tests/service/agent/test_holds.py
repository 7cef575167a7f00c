"""Halt, reduce and resume over HTTP: the stricter hold wins; only named holds are released."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import pytest

from tests.service.agent.conftest import Asker
from trading_ops.agent import Agent, FenceKeeper, Holds, TradingState

WHO = {"owner": "anna", "reason": "odd prices"}


async def say(
    ask: Asker, name: str, *, fence: int = 1, attempt_id: str | None = None, **params: str
) -> tuple[int, dict[str, Any]]:
    """Send a command with an owner and a reason."""
    return await ask.command(name, fence=fence, attempt_id=attempt_id, **WHO, **params)


@pytest.mark.parametrize("names", [("reduce", "halt"), ("halt", "reduce"), ("halt", "halt")])
async def test_stricter_of_two_holds_with_one_id_stands(
    ask: Asker, agent: Agent, tmp_path: Path, names: tuple[str, str]
) -> None:
    """Whichever comes first, one hold of the stricter state is in force, and durably so."""
    for name in names:
        status, answer = await say(ask, name, id="x")
        assert (status, answer["outcome"]) == (200, "succeeded")
    assert answer["detail"].startswith("hold x is in force as halted; the state is halted")
    assert agent.holds.state is TradingState.HALTED
    kept = Holds(tmp_path / "holds.json")
    assert [(hold.id, hold.state) for hold in kept.holds] == [("x", TradingState.HALTED)]
    assert kept.state is TradingState.HALTED


async def test_a_stricter_hold_names_its_owner(ask: Asker, agent: Agent) -> None:
    """The owner and the reason of a hold are those of the word that stands."""
    await ask.command("halt", id="x", owner="anna", reason="odd prices")
    await ask.command("reduce", id="x", owner="bert", reason="drawdown")
    await ask.command("reduce", id="y", owner="bert", reason="drawdown")
    await ask.command("halt", id="y", owner="anna", reason="odd prices")
    assert [(hold.id, hold.owner) for hold in agent.holds.holds] == [("x", "anna"), ("y", "anna")]


@pytest.mark.parametrize(
    ("name", "state"), [("halt", TradingState.HALTED), ("reduce", TradingState.REDUCING)]
)
async def test_stale_fence_does_not_stop_the_safe_direction(
    ask: Asker, agent: Agent, tmp_path: Path, name: str, state: TradingState
) -> None:
    """A sender that was replaced may still make the bot safer; the fence stays where it was."""
    assert await ask.post("/fence", {"fence": 7}) == (200, {"highest": 7})
    attempt_id = str(uuid4())
    status, answer = await say(ask, name, fence=3, attempt_id=attempt_id)
    assert (status, answer["outcome"], agent.holds.state) == (200, "succeeded", state)
    assert (await ask.get(f"/attempts/{attempt_id}"))[1] == answer | {"repeated": True}
    assert FenceKeeper(tmp_path / "fence.json").highest("alpha") == 7
    refused = await say(ask, "resume", fence=3, holds="all")
    assert refused == (409, {"error": "stale_fence", "highest": 7})
    assert agent.holds.state is state


async def test_safe_direction_raises_the_fence(ask: Asker) -> None:
    """A newer sender is known by its halt as well: older ones command nothing any more."""
    await say(ask, "halt", fence=5)
    assert (await ask.command("count", fence=4))[0] == 409


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (WHO, "params.holds is missing"),
        (WHO | {"holds": ""}, "params.holds"),
        (WHO | {"holds": " , "}, "params.holds must name"),
        (WHO | {"holds": "all,x"}, "params.holds must name"),
    ],
)
async def test_resume_must_name_what_it_releases(
    ask: Asker, agent: Agent, params: dict[str, str], message: str
) -> None:
    """Nothing is released by a word that does not say which holds are meant."""
    await say(ask, "halt", id="x")
    status, answer = await ask.command("resume", fence=1, attempt_id=None, **params)
    assert (status, answer["error"]) == (422, "bad_request")
    assert message in answer["detail"]
    assert agent.holds.state is TradingState.HALTED


async def test_resume_releases_the_named_and_no_other(
    ask: Asker, agent: Agent, start: Callable[[], Agent], http: aiohttp.ClientSession
) -> None:
    """Several ids may be named at once; `all` releases the rest, for good."""
    for name in ("a", "b", "c", "d"):
        await say(ask, "halt", id=name)
    _, answer = await say(ask, "resume", holds="a, c,unknown")
    assert answer["detail"] == "2 holds were released by anna; the state is halted"
    assert [(hold["id"], hold["state"], hold["owner"]) for hold in answer["released"]] == [
        ("a", "halted", "anna"),
        ("c", "halted", "anna"),
    ]
    assert [hold.id for hold in agent.holds.holds] == ["b", "d"]
    again = Asker(http, f"http://127.0.0.1:{start().port}")
    await say(again, "resume", holds="all")
    assert start().holds.state is TradingState.ACTIVE


@pytest.mark.parametrize("name", ["all", "a,b", " a", "a "])
async def test_hold_has_an_id_that_resume_can_name(ask: Asker, agent: Agent, name: str) -> None:
    """An id that `resume` would read as something else is refused."""
    for command in ("halt", "reduce"):
        status, answer = await say(ask, command, id=name)
        assert status == 422
        assert "params.id" in answer["detail"]
    assert agent.holds.state is TradingState.ACTIVE
