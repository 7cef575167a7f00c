"""A bot that is frozen or killed, on real processes: stopped or restarted, and trading again."""

import asyncio
import json
import os
import signal
from typing import Any

import pytest

from tests.stack import Stack
from tests.waiting import eventually
from trading_ops import clock
from trading_ops.clients.http import Http
from trading_ops.domain.target import Kind
from trading_ops_lab.drills.lab_clients import Scene

pytestmark = pytest.mark.slow

STOPPED_WITHIN = 10.0
HALTED_WITHIN = 5.0
BACK_WITHIN = 90.0


def bot_of(stack: Stack) -> dict[str, Any]:
    return stack.processes()["bot-alpha"]


async def api(
    stack: Stack, scene: Scene, method: str, path: str, body: object = None
) -> dict[str, Any]:
    """Ask the reconciler as the local operator; return the answer to a 2xx."""
    address = stack.registry.one(Kind.RECONCILER).address
    http = Http(scene.session, f"http://{address}", token=stack.settings.secret("operator_token"))
    answer = await http.ask(method, path, json=body)
    assert answer.status < 300, answer.body
    decoded: dict[str, Any] = json.loads(answer.body)
    return decoded


async def state_of(stack: Stack, scene: Scene) -> str | None:
    """Return the trading state as the bot's agent tells it, None while it does not."""
    target = stack.registry.find("alpha")
    assert target is not None
    http = Http(
        scene.session, f"http://{target.address}", token=stack.settings.secret("agent_token_alpha")
    )
    answer = await asyncio.gather(http.ask("GET", "/health"), return_exceptions=True)
    body = getattr(answer[0], "body", b"")
    found = [state for state in ("active", "reducing", "halted") if f'"{state}"'.encode() in body]
    return found[0] if found else None


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
async def test_a_bot_that_stops_answering_ends_up_trading_again(
    stack: Stack, scene: Scene, number: int
) -> None:
    """Frozen it is stopped within ten seconds, dead it is not halted; then its runbook restarts."""
    await eventually(lambda: bot_of(stack)["state"] == "ready", within=60)
    before = bot_of(stack)
    await asyncio.sleep(3)
    os.kill(before["pid"], number)
    await eventually(lambda: bot_of(stack)["pid"] != before["pid"], within=STOPPED_WITHIN)

    async def back() -> bool:
        now = bot_of(stack)
        return (
            now["state"] == "ready"
            and now["incarnation"] != before["incarnation"]
            and await state_of(stack, scene) is not None
        )

    await eventually(back, within=BACK_WITHIN)
    for _ in range(6):
        await asyncio.sleep(1)
        assert await state_of(stack, scene) == "active"


async def test_a_bot_that_is_back_in_time_is_halted_until_a_person_says_otherwise(
    stack: Stack, scene: Scene
) -> None:
    """Frozen for as long as it takes to ask for a halt, and thawed before it is stopped."""
    await eventually(lambda: bot_of(stack)["state"] == "ready", within=60)
    await asyncio.sleep(3)
    before = bot_of(stack)
    os.kill(before["pid"], signal.SIGSTOP)
    frozen = clock.monotonic()
    await asyncio.sleep(4.2)  # the silence itself is what is tested
    os.kill(before["pid"], signal.SIGCONT)

    async def halted() -> bool:
        return await state_of(stack, scene) == "halted"

    await eventually(halted)
    assert clock.monotonic() - frozen < HALTED_WITHIN
    await asyncio.sleep(3)
    assert await halted()
    assert bot_of(stack)["incarnation"] == before["incarnation"]
    targets = (await api(stack, scene, "GET", "/api/v1/targets"))["targets"]
    (hold,) = next(target["holds"] for target in targets if target["name"] == "alpha")
    assert (hold["owner"], hold["state"]) == ("reconciler", "halted")
    order = {"reason": "seen", "holds": [hold["id"]]}
    released = await api(stack, scene, "POST", "/api/v1/targets/alpha/resume", order)
    assert released["ids"] == [hold["id"]]
    assert await state_of(stack, scene) == "active"


async def test_a_restart_releases_no_halt_of_an_operator(stack: Stack, scene: Scene) -> None:
    """The bot is killed while it is halted: its next life is halted too."""
    await eventually(lambda: bot_of(stack)["state"] == "ready", within=60)
    before = bot_of(stack)
    order = {"reason": "odd fills"}
    placed = await api(stack, scene, "POST", "/api/v1/targets/alpha/halt", order)
    assert placed["acknowledged"]
    assert placed["stored"]
    os.kill(before["pid"], signal.SIGKILL)
    await eventually(lambda: bot_of(stack)["state"] != "ready")
    for found in stack.settings.var.rglob("holds.json"):
        found.unlink()
    started = await scene.session.post(
        f"http://{stack.registry.one(Kind.SUPERVISOR).address}/processes/bot-alpha/start",
        headers={"Authorization": f"Bearer {stack.settings.secret('supervisor_token')}"},
    )
    assert started.status == 200

    async def halted() -> bool:
        return await state_of(stack, scene) == "halted"

    await eventually(halted, within=BACK_WITHIN)
    await api(stack, scene, "POST", "/api/v1/targets/alpha/resume", {"reason": "seen"})
    assert await state_of(stack, scene) == "active"
