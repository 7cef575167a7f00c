"""With `two_person_approval: true`, no one can resume a halted bot alone, on any route."""

import pytest

from tests.service.api.conftest import TOKENS, Scene, ask
from tests.service.reconciler.conftest import Start
from trading_ops.actions.registry import ACTIONS
from trading_ops.api.auth import Role
from trading_ops.config.settings import Settings
from trading_ops.domain.attempt import DeliverySemantics
from trading_ops.domain.target import Kind

ADMIN, OPERATOR = TOKENS[Role.ADMIN], TOKENS[Role.OPERATOR]
WHY = {"reason": "explained"}
HOLD = "hold-1"
PARAMS = {"holds": HOLD, "component": "broker"}
ONE_SHOTS = sorted(
    name
    for name, kind in ACTIONS.items()
    if Kind.BOT in kind.kinds and kind.delivery is DeliverySemantics.ONE_SHOT
)


def test_the_table_has_what_restarts_resumes_and_fails_over() -> None:
    assert {"failover_bot", "restart_bot", "resume_trading", "roll_bot"} <= set(ONE_SHOTS)


@pytest.mark.parametrize("action", ONE_SHOTS)
async def test_one_person_cannot_order_it(start: Start, with_tokens: Settings, action: str) -> None:
    """Each one-shot action manually asks for another person's approval, and nothing is sent."""
    del with_tokens
    async with start(two_person_approval=True) as running:
        path = "/api/v1/targets/alpha"
        await ask(running, "POST", f"{path}/halt", OPERATOR, json={**WHY, "key": HOLD})
        sent = list(running.world.commands)
        params = {name: PARAMS[name] for name in ACTIONS[action].params}
        order = {"target": "alpha", "params": params, **WHY}
        _, reply = await ask(running, "POST", f"/api/v1/actions/{action}", ADMIN, json=order)
        assert reply["refusal"]["reason"] == "approval_missing"
        assert running.world.commands == sent


async def test_one_person_cannot_resume_the_fleet(start: Start, with_tokens: Settings) -> None:
    del with_tokens
    async with start(two_person_approval=True) as running:
        await ask(running, "POST", "/api/v1/halt", OPERATOR, json=WHY)
        sent = list(running.world.commands)
        assert (await ask(running, "POST", "/api/v1/resume", ADMIN, json=WHY))[0] == 409
        assert running.world.commands == sent


async def halt(found: Scene, bot: str) -> None:
    path = f"/api/v1/targets/{bot}/halt"
    status, placed = await ask(found.running, "POST", path, OPERATOR, json={**WHY, "key": HOLD})
    assert (status, placed["stored"]) == (200, True)


async def active_holds(found: Scene, bot: str) -> list[str]:
    targets = (await ask(found.running, "GET", "/api/v1/targets", ADMIN))[1]["targets"]
    return [hold["id"] for target in targets if target["name"] == bot for hold in target["holds"]]


@pytest.fixture
def two_person_approval() -> bool:
    """What `scene` is built with."""
    return True


@pytest.mark.parametrize("body", [{}, {"holds": [HOLD]}], ids=["all", "by name"])
@pytest.mark.parametrize("bot", ["alpha", "freq"])
async def test_resume_takes_two_persons(scene: Scene, bot: str, body: dict[str, object]) -> None:
    """The first asks, the second approves, and only then the holds are released, once."""
    await halt(scene, bot)
    path, order = f"/api/v1/targets/{bot}/resume", {**WHY, **body}
    status, _ = await ask(scene.running, "POST", path, ADMIN, json=order)
    assert (status, await active_holds(scene, bot)) == (409, [HOLD])

    _, page = await ask(scene.running, "GET", "/api/v1/approvals?state=pending", ADMIN)
    (asked,) = page["approvals"]
    assert (asked["target"], asked["params"]) == (bot, {"holds": HOLD})
    approve = f"/api/v1/approvals/{asked['id']}/approve"
    assert (await ask(scene.running, "POST", approve, ADMIN, json={}))[0] == 409
    assert (await ask(scene.running, "POST", approve, OPERATOR, json={}))[0] == 200

    status, released = await ask(scene.running, "POST", path, ADMIN, json=order)
    assert (status, released["ids"], released["remaining"]) == (200, [HOLD], [])
    await halt(scene, bot)
    status, _ = await ask(scene.running, "POST", path, ADMIN, json=order)
    assert (status, await active_holds(scene, bot)) == (409, [HOLD])


@pytest.mark.parametrize("bot", ["alpha", "freq"])
async def test_without_a_hold_nothing_is_asked_for(scene: Scene, bot: str) -> None:
    """An approval of no hold would be good for whatever is placed later."""
    status, _ = await ask(scene.running, "POST", f"/api/v1/targets/{bot}/resume", ADMIN, json=WHY)
    _, page = await ask(scene.running, "GET", "/api/v1/approvals?state=pending", ADMIN)
    assert (status, page["approvals"]) == (409, [])


async def test_an_approval_is_for_the_holds_that_were_seen(scene: Scene) -> None:
    """A hold that was placed after the approval is not released with it."""
    await halt(scene, "alpha")
    path = "/api/v1/targets/alpha/resume"
    await ask(scene.running, "POST", path, ADMIN, json=WHY)
    _, page = await ask(scene.running, "GET", "/api/v1/approvals?state=pending", ADMIN)
    approve = f"/api/v1/approvals/{page['approvals'][0]['id']}/approve"
    assert (await ask(scene.running, "POST", approve, OPERATOR, json={}))[0] == 200
    later = {**WHY, "key": "hold-2"}
    await ask(scene.running, "POST", "/api/v1/targets/alpha/halt", OPERATOR, json=later)
    assert (await ask(scene.running, "POST", path, ADMIN, json=WHY))[0] == 409
    assert sorted(await active_holds(scene, "alpha")) == [HOLD, "hold-2"]
