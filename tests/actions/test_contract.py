"""One contract for every action: the effect is seen by someone else, and can be asked about."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import aiohttp
import pytest

from tests.builders import FixedSecrets, make_registry
from tests.fakes import FakeWorld, RecordingChannel
from trading_ops.actions.base import Action, Call, Probe
from trading_ops.actions.registry import ACTIONS, build
from trading_ops.clients.directory import Directory
from trading_ops.domain.attempt import AttemptId, DeliverySemantics
from trading_ops.errors import ActionError, Refused, Unreachable

PARAMS = {
    "restart_component": {"component": "feed"},
    "throttle_load": {"seconds": "60"},
    "scale_resources": {"resource": "cpu_weight", "value": "50", "seconds": "60"},
    "resume_trading": {"holds": "h1"},
}
BY_HAND = {name for name, kind in ACTIONS.items() if kind.manual_only}
COMMANDS = {
    "halt_trading": "halt",
    "reduce_trading": "reduce",
    "flatten_positions": "flatten",
    "roll_bot": "restart_bot",
    "resume_trading": "resume",
}
"""What the agent calls an action, where that is not the action's name."""


@pytest.fixture
async def world() -> AsyncIterator[FakeWorld]:
    """Executors that remember what they were asked."""
    fake = FakeWorld(fixed_by=frozenset())
    server = fake.server()
    await server.start_server()
    fake.address = f"127.0.0.1:{server.port}"
    yield fake
    await server.close()


@pytest.fixture
async def actions(world: FakeWorld) -> AsyncIterator[dict[str, Action]]:
    """Every action, wired as in production."""
    registry = make_registry(alpha=world.address, supervisor=world.address)
    async with aiohttp.ClientSession() as session:
        yield build(Directory(session, registry, FixedSecrets()), RecordingChannel())


def make_call(world: FakeWorld, name: str, *, fence: int = 1, attempt: str = "one") -> Call:
    registry = make_registry(alpha=world.address)
    target = registry.find("alpha")
    assert target is not None
    return Call(
        attempt_id=AttemptId(attempt),
        fence=fence,
        target=target,
        params=PARAMS.get(name, {}),
        within=timedelta(seconds=30),
        requested_by="ada" if name in BY_HAND else None,
    )


COMMANDED = ACTIONS.keys() - {"page_oncall"}
"""Those that an executor carries out; see test_notify for the other."""

names = pytest.mark.parametrize("name", sorted(COMMANDED))
remembered = pytest.mark.parametrize("name", sorted(COMMANDED - {"flatten_positions"}))
"""Those whose executor keeps their attempts; see test_flatten_positions for the other."""


@names
async def test_the_effect_is_seen_where_it_happens(
    actions: dict[str, Action], world: FakeWorld, name: str
) -> None:
    """The executor, not the action, says that it was carried out."""
    result = await actions[name].perform(make_call(world, name))
    command = COMMANDS.get(name, name)
    assert world.commands == [command]
    assert result == f"{command} done"


@names
async def test_twice_is_once(actions: dict[str, Action], world: FakeWorld, name: str) -> None:
    """The same attempt sent again is answered from memory."""
    for _ in range(2):
        await actions[name].perform(make_call(world, name))
    assert world.commands == [COMMANDS.get(name, name)]


@names
async def test_a_stale_fence_is_refused(
    actions: dict[str, Action], world: FakeWorld, name: str
) -> None:
    """Someone newer has the target: nothing is done, unless it is the safe direction."""
    world.fence = 5
    if actions[name].delivery is DeliverySemantics.SAFE_DIRECTION:
        await actions[name].perform(make_call(world, name, fence=4))
        assert world.commands == [COMMANDS.get(name, name)]
        return
    with pytest.raises(Refused):
        await actions[name].perform(make_call(world, name, fence=4))
    assert world.commands == []


@names
async def test_a_failure_is_an_error(
    actions: dict[str, Action], world: FakeWorld, name: str
) -> None:
    """“failed” is not taken for done."""
    world.command_fails = True
    with pytest.raises(ActionError, match=f"{COMMANDS.get(name, name)} done"):
        await actions[name].perform(make_call(world, name))


@remembered
async def test_probing_reports_what_became_of_it(
    actions: dict[str, Action], world: FakeWorld, name: str
) -> None:
    """Done, failed, never arrived, still running: each is distinguished, behind a raised fence."""
    action = actions[name]
    await action.perform(make_call(world, name, attempt="done"))
    world.command_fails = True
    with pytest.raises(ActionError):
        await action.perform(make_call(world, name, attempt="failed"))
    world.answers["running"] = {"outcome": "running"}
    world.answers["died"] = {"outcome": "unknown", "before": "1:1"}
    for attempt, expected in (
        ("done", Probe.DONE),
        ("failed", Probe.FAILED),
        ("running", Probe.UNKNOWN),
        ("died", Probe.FAILED if name == "scale_resources" else Probe.UNKNOWN),
        ("never", Probe.NOT_DONE),
    ):
        assert await action.probe(make_call(world, name, fence=7, attempt=attempt)) is expected
    assert world.fence == 7


@names
async def test_silence_is_not_an_answer(
    actions: dict[str, Action], world: FakeWorld, name: str
) -> None:
    """No one there: whether it was done is unknown, and so is a probe's answer."""
    nowhere = FakeWorld(address="127.0.0.1:9")
    registry = make_registry(alpha=nowhere.address, supervisor=nowhere.address)
    async with aiohttp.ClientSession() as session:
        directory = Directory(session, registry, FixedSecrets())
        lost = build(directory, RecordingChannel())[name]
        with pytest.raises(Unreachable):
            await lost.perform(make_call(nowhere, name))
        with pytest.raises(Unreachable):
            await lost.probe(make_call(nowhere, name))
    assert world.commands == []
    assert name in actions


async def test_a_person_may_restart_a_bot_that_is_well(
    actions: dict[str, Action], world: FakeWorld
) -> None:
    """What is refused to a runbook's step is what a rolling restart is for."""
    world.bot_status = "ok"
    assert await actions["restart_bot"].precondition(make_call(world, "restart_bot"))
    assert await actions["roll_bot"].precondition(make_call(world, "roll_bot")) is None


async def test_only_a_bot_that_is_unwell_is_restarted(
    actions: dict[str, Action], world: FakeWorld
) -> None:
    """It is asked itself; one that does not answer needs it."""
    restart = actions["restart_bot"]
    call = make_call(world, "restart_bot")
    world.bot_status = "ok"
    assert "healthy" in str(await restart.precondition(call))
    for status in ("degraded", "failing"):
        world.bot_status = status
        assert await restart.precondition(call) is None
    nowhere = make_call(FakeWorld(address="127.0.0.1:9"), "restart_bot")
    assert await restart.precondition(nowhere) is None
    assert await actions["reconnect_broker"].precondition(call) is None


@pytest.mark.parametrize(
    ("process", "expected"),
    [
        ({"state": "ready", "incarnation": "2:2", "pid": 2}, Probe.DONE),
        ({"state": "ready", "incarnation": "1:1", "pid": 1}, Probe.UNKNOWN),
        ({"state": "stopped", "incarnation": "2:2", "pid": None}, Probe.UNKNOWN),
        ({"state": "stopped", "incarnation": None, "pid": None}, Probe.UNKNOWN),
    ],
)
async def test_a_restart_that_outlived_its_supervisor_shows_in_the_process(
    actions: dict[str, Action], world: FakeWorld, process: dict[str, Any], expected: Probe
) -> None:
    """Begun and never answered: another life that runs proves it, nothing else does."""
    world.process = process
    world.answers["one"] = {"outcome": "unknown", "before": "1:1"}
    assert await actions["restart_bot"].probe(make_call(world, "restart_bot", fence=2)) is expected


async def test_a_hold_of_a_runbook_is_named_after_its_attempt(
    actions: dict[str, Action], world: FakeWorld
) -> None:
    """So that asking twice is one hold."""
    for name in ("halt_trading", "reduce_trading"):
        call = make_call(world, name, attempt=f"{name}-1")
        await actions[name].perform(call)
        assert world.params[-1]["id"] == f"{name}-1"
        assert set(world.params[-1]) == {"id", "owner", "reason"}


@pytest.mark.parametrize(
    ("requested_by", "reason", "expected"),
    [
        (None, "", ("reconciler", "a runbook's step, attempt one")),
        ("ada", "odd fills", ("ada", "odd fills")),
        ("ada", "", ("ada", "request one")),
    ],
)
async def test_a_hold_is_theirs_who_ordered_it(
    actions: dict[str, Action],
    world: FakeWorld,
    requested_by: str | None,
    reason: str,
    expected: tuple[str, str],
) -> None:
    """An operator's is an operator's, with their words: it stops recovery, a runbook's does not."""
    call = replace(make_call(world, "halt_trading"), requested_by=requested_by, reason=reason)
    await actions["halt_trading"].perform(call)
    assert (world.params[-1]["owner"], world.params[-1]["reason"]) == expected
