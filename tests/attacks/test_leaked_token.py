"""The token of one bot's agent, leaked: it opens nothing else, and is replaced while all runs."""

import pytest

from tests.stack import Stack
from tests.waiting import eventually
from trading_ops.domain.target import Kind
from trading_ops_lab.drills.lab_clients import Scene

pytestmark = pytest.mark.attacks

HALT = {"reason": "mine now"}
ELSEWHERE = (
    (Kind.SUPERVISOR, "GET", "/processes"),
    (Kind.SUPERVISOR, "POST", "/processes/bot-alpha/stop"),
    (Kind.RECONCILER, "GET", "/api/v1/targets"),
    (Kind.RECONCILER, "POST", "/api/v1/halt"),
    (Kind.RECONCILER, "POST", "/api/v1/webhook/alertmanager"),
    (Kind.RECONCILER, "GET", "/metrics"),
    (Kind.EXPORTER, "GET", "/metrics"),
)


async def status(scene: Scene, kind: Kind, method: str, path: str, token: str) -> int:
    url = f"http://{scene.registry.one(kind).address}{path}"
    headers = {"Authorization": f"Bearer {token}"}
    async with scene.session.request(method, url, json=HALT, headers=headers) as answer:
        return answer.status


@pytest.mark.parametrize(("kind", "method", "path"), ELSEWHERE)
async def test_it_is_refused_elsewhere(
    stack: Stack, scene: Scene, kind: Kind, method: str, path: str
) -> None:
    """At the supervisor, the reconciler and the exporter."""
    leaked = stack.settings.secret("agent_token_alpha")
    assert await status(scene, Kind.BOT, "GET", "/health", leaked) == 200
    assert await status(scene, kind, method, path, leaked) == 401


async def test_it_is_replaced_while_all_runs(stack: Stack, scene: Scene) -> None:
    """The reconciler halts with the new one at once; the leaked one is refused."""
    leaked = stack.settings.secret("agent_token_alpha")
    assert stack.run("token", "rotate", "alpha").returncode == 0

    async def refused() -> bool:
        return await status(scene, Kind.BOT, "GET", "/health", leaked) == 401

    await eventually(refused, within=60)
    code, reply = stack.json("halt", "alpha", "--reason", "a token leaked")
    assert code == 0, reply
    assert stack.run("resume", "alpha", "--reason", "replaced").returncode == 0
