"""Nothing of ours is read or ordered without the right token, in whatever way it is asked."""

import json
from pathlib import Path
from typing import Any

import psutil
import pytest
from yarl import URL

from tests.attacks.conftest import Stranger
from tests.unprivileged import BECOME_NOBODY, needs_root, run_unprivileged
from trading_ops.domain.target import Kind
from trading_ops_lab.drills.lab_clients import Scene

pytestmark = pytest.mark.attacks

HALT = {"reason": "attack"}

READS = [
    (Kind.RECONCILER, "/metrics"),
    (Kind.RECONCILER, "/metrics/vital"),
    (Kind.RECONCILER, "/api/v1/status"),
    (Kind.RECONCILER, "/api/v1/incidents"),
    (Kind.RECONCILER, "/api/v1/events"),
    (Kind.RECONCILER, "/api/v1/targets"),
    (Kind.BOT, "/metrics"),
    (Kind.BOT, "/metrics/vital"),
    (Kind.BOT, "/health"),
    (Kind.EXPORTER, "/metrics"),
    (Kind.SUPERVISOR, "/processes"),
]

ORDERS = [
    (Kind.RECONCILER, "/api/v1/halt"),
    (Kind.RECONCILER, "/api/v1/targets/alpha/resume"),
    (Kind.RECONCILER, "/api/v1/pause"),
    (Kind.RECONCILER, "/api/v1/webhook/alertmanager"),
    (Kind.BOT, "/commands/halt"),
    (Kind.BOT, "/fence"),
    (Kind.SUPERVISOR, "/shutdown"),
    (Kind.SUPERVISOR, "/processes/bot-alpha/stop"),
]


@pytest.mark.parametrize(("kind", "path"), READS)
async def test_nothing_is_read_without_a_token(stranger: Stranger, kind: Kind, path: str) -> None:
    """Metrics tell positions and losses; they need a token as well."""
    assert await stranger.status("GET", stranger.url(kind, path)) == 401


@pytest.mark.parametrize(("kind", "path"), ORDERS)
async def test_nothing_is_ordered_without_a_token(
    stranger: Stranger, kind: Kind, path: str
) -> None:
    """Neither by a guessed token."""
    url = stranger.url(kind, path)
    for token in (None, "x", "0" * 64):
        assert await stranger.status("POST", url, token=token, json=HALT) == 401


@pytest.mark.parametrize(
    ("name", "kind", "path"),
    [
        (name, *order)
        for order in ORDERS
        for name in ("metrics_token", "webhook_token", "faults_token")
        if (name, order[1]) != ("webhook_token", "/api/v1/webhook/alertmanager")
    ],
)
async def test_a_token_opens_only_its_own_door(
    stranger: Stranger, name: str, kind: Kind, path: str
) -> None:
    """One that reads metrics or hands in notifications orders nothing."""
    token = stranger.stack.settings.secret(name)
    assert await stranger.status("POST", stranger.url(kind, path), token=token, json=HALT) in {
        401,
        403,
    }


async def test_a_right_token_in_the_wrong_place_is_none(stranger: Stranger) -> None:
    """As a query parameter, a cookie, a suffix, with another scheme, or beside a second one."""
    token = stranger.stack.settings.secret("operator_token")
    url = stranger.url(Kind.RECONCILER, "/api/v1/status")
    assert await stranger.status("GET", url, token=token) == 200
    attempts: list[dict[str, Any]] = [
        {"params": {"token": token}},
        {"params": {"access_token": token}},
        {"headers": {"Cookie": f"token={token}"}},
        {"headers": {"Authorization": token}},
        {"headers": {"Authorization": f"Basic {token}"}},
        {"headers": {"Authorization": f"Bearer {token}x"}},
        {"headers": {"Authorization": f"Bearer {token[:-1]}"}},
        {"headers": {"Authorization": "Bearer "}},
        {"headers": {"X-Forwarded-User": "local", "X-Forwarded-For": "127.0.0.1"}},
    ]
    for options in attempts:
        assert await stranger.status("GET", url, **options) == 401, options


@pytest.mark.parametrize(
    "path",
    [
        "//api/v1/status",
        "/api/v1/../v1/status",
        "/api/v1/%73tatus",
        "/api/v1/..%2fstatus",
        "/-/ready/../../api/v1/status",
        "/-/healthy%2f..%2f..%2fapi/v1/status",
        "/api/v1/status%00",
        "/API/V1/STATUS",
    ],
)
async def test_no_spelling_of_a_path_goes_around_the_token(stranger: Stranger, path: str) -> None:
    """What is not 404 or 405 asks for a token."""
    base = stranger.url(Kind.RECONCILER, "")
    status = await stranger.status("GET", URL(base + path, encoded=True))
    assert status in {400, 401, 404, 405}


async def test_a_stream_of_events_needs_a_token(stranger: Stranger) -> None:
    """A page of another origin opens WebSockets; without a token it gets none."""
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Origin": "https://evil.example",
    }
    url = stranger.url(Kind.RECONCILER, "/api/v1/events/stream")
    assert await stranger.status("GET", url, headers=upgrade) == 401
    token = stranger.stack.settings.secret("operator_token")
    status = await stranger.status("GET", url, headers=upgrade, params={"token": token})
    assert status == 401


async def test_refused_tokens_are_counted(stranger: Stranger) -> None:
    """So that guessing shows, and TradingOpsAuthRefused fires."""

    async def counted() -> float:
        url = stranger.url(Kind.RECONCILER, "/metrics")
        headers = {"Authorization": f"Bearer {stranger.stack.settings.secret('metrics_token')}"}
        async with stranger.session.get(url, headers=headers) as answer:
            lines = (await answer.text()).splitlines()
        prefix = 'trading_ops_auth_refused_total{reason="unknown_token"}'
        return sum(float(line.split()[-1]) for line in lines if line.startswith(prefix))

    before = await counted()
    url = stranger.url(Kind.RECONCILER, "/api/v1/status")
    for number in range(20):
        assert await stranger.status("GET", url, token=f"guess-{number}") == 401
    assert await counted() >= before + 20


@needs_root
async def test_another_user_reads_no_file_and_no_process(stranger: Stranger, scene: Scene) -> None:
    """Tokens, the database, the environment and the open files of every process."""
    stack = stranger.stack
    paths = [*stack.settings.secrets.iterdir(), *stack.settings.var.rglob("*.db")]
    assert paths
    for process in stack.processes().values():
        folder = Path("/proc") / str(process["pid"])
        paths += [folder / "environ", folder / "fd" / "0"]
    script = (
        BECOME_NOBODY
        + """
read = []
for path in sys.argv[1:]:
    try:
        with open(path, "rb") as file:
            file.read(1)
    except OSError:
        continue
    read.append(path)
print(read)
"""
    )
    assert (await run_unprivileged(script, *paths)).strip() == "[]"


async def test_no_token_is_on_a_command_line_or_in_an_environment(stranger: Stranger) -> None:
    """Where other users, crash reports and process listings would show it."""
    secrets = [file.read_text().strip() for file in stranger.stack.settings.secrets.iterdir()]
    for pid in stranger.stack.pids():
        process = psutil.Process(pid)
        shown = " ".join(process.cmdline()) + json.dumps(process.environ())
        assert not [secret for secret in secrets if secret and secret in shown], process.name()
