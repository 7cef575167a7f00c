"""A bot that is frozen or killed, on real processes: stopped or restarted, and trading again."""

import asyncio
import os
import signal
from typing import Any

import pytest

from tests.e2e.conftest import Stack
from tests.waiting import eventually
from trading_ops.clients.http import Http
from trading_ops.stack.scene import Scene

STOPPED_WITHIN = 10.0
BACK_WITHIN = 90.0


def bot_of(stack: Stack) -> dict[str, Any]:
    return stack.processes()["bot-alpha"]


async def state_of(stack: Stack, scene: Scene) -> str | None:
    """Return the trading state as the bot's agent tells it, None while it does not."""
    target = stack.registry.find("alpha")
    assert target is not None
    http = Http(
        scene.session, f"http://{target.address}", token=stack.settings.secret("agent_token")
    )
    answer = await asyncio.gather(http.ask("GET", "/health"), return_exceptions=True)
    body = getattr(answer[0], "body", b"")
    found = [word for word in ("active", "reducing", "halted") if f'"{word}"'.encode() in body]
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
