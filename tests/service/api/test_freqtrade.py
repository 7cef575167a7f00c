"""A Freqtrade through the whole reconciler: halted by its API, left to on-call by its runbooks."""

import pytest

from tests.fakes import FakeWorld
from tests.service.api.conftest import TOKENS, Scene, ask
from tests.waiting import eventually
from trading_ops.api.auth import Role

WHY = {"reason": "odd fills"}
FLATTEN = {"target": "freq", "params": {}, "reason": "the exchange is in trouble"}


@pytest.mark.parametrize("scene", [False, True], indirect=True)
async def test_people_command_it_whether_the_machine_may_or_not(scene: Scene) -> None:
    """Halted, seen as halted, placed again after a restart, and resumed by naming the hold."""
    running, fake = scene.running, scene.fake
    path = "/api/v1/targets/freq"
    status, placed = await ask(running, "POST", f"{path}/halt", json=WHY)
    assert (status, placed["acknowledged"], placed["stored"]) == (200, True, True)
    assert fake.state == "paused"
    targets = (await ask(running, "GET", "/api/v1/targets"))[1]["targets"]
    (view,) = (target for target in targets if target["name"] == "freq")
    assert [hold["id"] for hold in view["holds"]] == [placed["id"]]
    await eventually(lambda: fake.asked.count("health") > 1)
    fake.restart()
    assert fake.state == "running"
    await eventually(lambda: fake.state == "paused")

    async def is_paused() -> bool:
        part = (await ask(running, "GET", "/api/v1/health/agent:freq"))[1]
        return bool(part["detail"] == "reports ok, halted")

    await eventually(is_paused)
    release = {**WHY, "holds": [placed["id"]]}
    status, released = await ask(running, "POST", f"{path}/resume", json=release)
    assert (status, released["ids"], released["remaining"]) == (200, [placed["id"]], [])
    assert (fake.state, fake.active_locks()) == ("running", [])


async def test_halt_all_halts_it_too(scene: Scene, world: FakeWorld) -> None:
    """Both kinds in one answer."""
    _, placed = await ask(scene.running, "POST", "/api/v1/halt", json=WHY)
    assert {hold["target"]: hold["acknowledged"] for hold in placed["holds"]} == {
        "alpha": True,
        "freq": True,
    }
    assert (scene.fake.state, world.commands) == ("paused", ["halt"])


async def test_steps_that_it_cannot_take_are_left_to_people(scene: Scene, world: FakeWorld) -> None:
    """No attempt, no error: the incident says which steps, and its alert pages on-call in time."""
    world.labels = {**world.labels, "bot": "freq", "venue": "binance"}
    await scene.running.break_it()
    await eventually(lambda: scene.running.has_event("decided_wait", "page_only"))
    timeline = await scene.running.timeline()
    (event,) = (event for event in timeline["events"] if event["reason"] == "page_only")
    assert all(name in event["note"] for name in ("reconnect_broker", "restart_bot"))
    assert (timeline["attempts"], world.commands) == ([], [])
    assert "pause" not in scene.fake.asked


async def test_by_hand_too_they_are_refused_in_a_sentence(scene: Scene) -> None:
    """Anyone who tries it hears why, and for what it is."""
    order = {"target": "freq", "params": {}, "reason": "stuck"}
    status, reply = await ask(
        scene.running, "POST", "/api/v1/actions/restart_bot", TOKENS[Role.ADMIN], json=order
    )
    assert status == 409
    assert "restart_bot is not supported for freq" in str(reply)
    order["target"] = "alpha"
    status, reply = await ask(
        scene.running, "POST", "/api/v1/actions/flatten_positions", TOKENS[Role.ADMIN], json=order
    )
    assert status == 409
    assert "it is for freqtrade" in str(reply)


async def test_an_emergency_exit_takes_two_persons(scene: Scene) -> None:
    """The first asks, the second approves, and only then anything is done; and it stays halted."""
    running, fake = scene.running, scene.fake
    path = "/api/v1/actions/flatten_positions"
    _, reply = await ask(running, "POST", path, json=FLATTEN)
    assert reply["refusal"]["reason"] == "approval_missing"
    assert fake.orders == []
    key = reply["approval"]["id"]
    status, _ = await ask(
        running, "POST", f"/api/v1/approvals/{key}/approve", TOKENS[Role.ADMIN], json={}
    )
    assert status == 200
    status, reply = await ask(running, "POST", path, json=FLATTEN)
    assert reply["refusal"] is None, reply
    attempt = f"/api/v1/attempts/{reply['attempt']['id']}"

    async def done() -> bool:
        return bool((await ask(running, "GET", attempt))[1]["attempt"]["state"] == "completed")

    await eventually(done)
    assert (fake.open, fake.state) == (0, "stopped")
    assert fake.orders[-2:] == ["forceexit", "stop"]

    async def kept() -> bool:
        targets = (await ask(running, "GET", "/api/v1/targets"))[1]["targets"]
        return any(target["name"] == "freq" and target["holds"] for target in targets)

    await eventually(kept)


@pytest.mark.parametrize("scene", [True], indirect=True)
async def test_an_emergency_exit_is_not_for_one_that_is_only_looked_at(scene: Scene) -> None:
    """Its entry says so, and the refusal says how to change it."""
    _, reply = await ask(scene.running, "POST", "/api/v1/actions/flatten_positions", json=FLATTEN)
    assert reply["refusal"]["reason"] == "observe_only"
    assert "observe_only" in reply["refusal"]["opens"]
    assert scene.fake.orders == []
