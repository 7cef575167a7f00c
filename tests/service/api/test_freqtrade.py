"""A Freqtrade through the whole reconciler: halted by its API, left to people by its runbooks."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from aiohttp.test_utils import TestClient, TestServer

from tests.builders import make_registry, make_target
from tests.fakes import FakeWorld
from tests.service.api.conftest import TOKENS, ask
from tests.service.clients.trading_freqtrade import TradingFreqtrade
from tests.service.exporter.freqtrades import PASSWORD, USER
from tests.service.reconciler.conftest import Running
from tests.waiting import eventually
from trading_ops.api.identity import Role
from trading_ops.domain.target import Kind, Registry
from trading_ops.settings import Settings
from trading_ops.wiring import build

WHY = {"reason": "odd fills"}
FLATTEN = {"target": "freq", "params": {}, "reason": "the exchange is in trouble"}


@dataclass
class Scene:
    """A reconciler with its watch, and the Freqtrade that it commands."""

    running: Running
    fake: TradingFreqtrade


@pytest.fixture
async def scene(
    with_tokens: Settings, world: FakeWorld, request: pytest.FixtureRequest
) -> AsyncIterator[Scene]:
    fake = TradingFreqtrade()
    secret = with_tokens.secrets / "freqtrade_freq"
    secret.touch(mode=0o600)
    secret.write_text(f"{USER}:{PASSWORD}\n")
    names = ("alpha", "supervisor", "prometheus", "alertmanager")
    ours = make_registry(**dict.fromkeys(names, world.address))
    async with contextlib.AsyncExitStack() as open_:
        freq = make_target(
            name="freq",
            kind=Kind.FREQTRADE,
            address=await open_.enter_async_context(fake.serving()),
            venue="binance",
            service=None,
            observe_only=getattr(request, "param", False),
        )
        built = build(with_tokens, Registry((*ours, freq)))
        reconciler = await open_.enter_async_context(built)
        server = TestServer(reconciler.application, host="127.0.0.1")
        tasks = [asyncio.create_task(one.run()) for one in (reconciler.loop, reconciler.watch)]
        client = await open_.enter_async_context(TestClient(server))
        running = Running(client, reconciler.loop, world, reconciler.asking)
        await running.has_polled()
        yield Scene(running, fake)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize("scene", [False, True], indirect=True)
async def test_people_command_it_whether_the_machine_may_or_not(scene: Scene) -> None:
    """Halted, seen as halted, laid again after a restart, and resumed by naming the hold."""
    running, fake = scene.running, scene.fake
    path = "/api/v1/targets/freq"
    status, laid = await ask(running, "POST", f"{path}/halt", json=WHY)
    assert (status, laid["acknowledged"], laid["stored"]) == (200, True, True)
    assert fake.state == "paused"
    targets = (await ask(running, "GET", "/api/v1/targets"))[1]["targets"]
    (view,) = (one for one in targets if one["name"] == "freq")
    assert [hold["id"] for hold in view["holds"]] == [laid["id"]]
    await eventually(lambda: fake.asked.count("health") > 1)
    fake.restart()
    assert fake.state == "running"
    await eventually(lambda: fake.state == "paused")

    async def told() -> bool:
        part = (await ask(running, "GET", "/api/v1/health/agent:freq"))[1]
        return bool(part["detail"] == "it says ok, halted")

    await eventually(told)
    lift = {**WHY, "holds": [laid["id"]]}
    status, lifted = await ask(running, "POST", f"{path}/resume", json=lift)
    assert (status, lifted["ids"], lifted["standing"]) == (200, [laid["id"]], [])
    assert (fake.state, fake.standing()) == ("running", [])


async def test_whoever_halts_all_halts_it_too(scene: Scene, world: FakeWorld) -> None:
    """Both kinds in one answer."""
    _, laid = await ask(scene.running, "POST", "/api/v1/halt", json=WHY)
    assert {one["target"]: one["acknowledged"] for one in laid["holds"]} == {
        "alpha": True,
        "freq": True,
    }
    assert (scene.fake.state, world.commands) == ("paused", ["halt"])


async def test_steps_that_it_cannot_take_are_left_to_people(scene: Scene, world: FakeWorld) -> None:
    """No attempt, no error: the incident says which steps, and its alert calls people in time."""
    world.labels = {**world.labels, "bot": "freq", "venue": "binance"}
    await scene.running.break_it()
    await eventually(lambda: scene.running.said("decided_wait", "people_only"))
    story = await scene.running.story()
    (said,) = (one for one in story["events"] if one["reason"] == "people_only")
    assert said["note"] == "not possible on a freqtrade: reconnect_broker, restart_bot"
    assert (story["attempts"], world.commands) == ([], [])
    assert "pause" not in scene.fake.asked


async def test_by_hand_too_they_are_refused_in_a_sentence(scene: Scene) -> None:
    """Whoever tries it hears why, and for what it is."""
    order = {"target": "freq", "params": {}, "reason": "stuck"}
    status, said = await ask(
        scene.running, "POST", "/api/v1/actions/restart_bot", TOKENS[Role.ADMIN], json=order
    )
    assert status == 409
    assert "restart_bot cannot be done to freq" in str(said)
    order["target"] = "alpha"
    status, said = await ask(
        scene.running, "POST", "/api/v1/actions/flatten_positions", TOKENS[Role.ADMIN], json=order
    )
    assert status == 409
    assert "it is for freqtrade" in str(said)


async def test_an_emergency_exit_takes_two_persons(scene: Scene) -> None:
    """The first asks, the second approves, and only then anything is done; and it stays halted."""
    running, fake = scene.running, scene.fake
    path = "/api/v1/actions/flatten_positions"
    _, said = await ask(running, "POST", path, json=FLATTEN)
    assert said["refusal"]["reason"] == "approval_missing"
    assert fake.orders == []
    key = said["approval"]["id"]
    status, _ = await ask(
        running, "POST", f"/api/v1/approvals/{key}/approve", TOKENS[Role.ADMIN], json={}
    )
    assert status == 200
    status, said = await ask(running, "POST", path, json=FLATTEN)
    assert said["refusal"] is None, said
    attempt = f"/api/v1/attempts/{said['attempt']['id']}"

    async def done() -> bool:
        return bool((await ask(running, "GET", attempt))[1]["attempt"]["state"] == "completed")

    await eventually(done)
    assert (fake.open, fake.state) == (0, "stopped")
    assert fake.orders[-2:] == ["forceexit", "stop"]

    async def kept() -> bool:
        targets = (await ask(running, "GET", "/api/v1/targets"))[1]["targets"]
        return any(one["name"] == "freq" and one["holds"] for one in targets)

    await eventually(kept)


@pytest.mark.parametrize("scene", [True], indirect=True)
async def test_an_emergency_exit_is_not_for_one_that_is_only_looked_at(scene: Scene) -> None:
    """Its entry says so, and the refusal says how to change it."""
    _, said = await ask(scene.running, "POST", "/api/v1/actions/flatten_positions", json=FLATTEN)
    assert said["refusal"]["reason"] == "observe_only"
    assert "observe_only" in said["refusal"]["opens"]
    assert scene.fake.orders == []
