"""Connections, bodies and slow senders: requests with a token are still answered."""

import asyncio
import gzip
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from tests.attacks.conftest import Stranger
from tests.unprivileged import flood, needs_root
from tests.waiting import eventually
from trading_ops.config.targets import split_address
from trading_ops.domain.target import Kind
from trading_ops_lab.drills.lab_clients import Scene

pytestmark = pytest.mark.attacks

FLOOD_SECONDS = 6
MEGABYTE = 1024 * 1024
BOMB_BYTES = 200 * MEGABYTE
MEMORY_BYTES = 64 * MEGABYTE
"""More than a process may grow by a body that it refuses."""

LISTENING = [Kind.RECONCILER, Kind.BOT, Kind.EXPORTER, Kind.SUPERVISOR]


def address_of(stranger: Stranger, kind: Kind) -> tuple[str, int]:
    return split_address(stranger.stack.registry.one(kind).address)


@contextmanager
def senders(address: tuple[str, int], payload: bytes, number: int) -> Iterator[list[socket.socket]]:
    """Hold connections on which no request is ever finished."""
    held: list[socket.socket] = []
    try:
        for _ in range(number):
            connection = socket.create_connection(address, timeout=60)
            connection.sendall(payload)
            held.append(connection)
        yield held
    finally:
        for connection in held:
            connection.close()


@needs_root
async def test_a_flood_ends_no_connection_with_a_token(stranger: Stranger, scene: Scene) -> None:
    """Requests on a connection that has shown a token are answered while strangers flood."""
    _, port = address_of(stranger, Kind.RECONCILER)
    assert await scene.reconciler.status() is not None
    flooding = asyncio.create_task(flood(port, seconds=FLOOD_SECONDS))
    answered = 0
    while not flooding.done():
        assert await scene.reconciler.status() is not None
        answered += 1
    assert await flooding > 0
    assert answered > 0


@pytest.mark.parametrize("kind", LISTENING)
@pytest.mark.parametrize(
    "payload",
    [b"", b"GET /metrics HTTP/1.1\r\n", b"POST / HTTP/1.1\r\nContent-Length: 99999\r\n\r\n{"],
    ids=["silent", "half_a_head", "half_a_body"],
)
async def test_held_connections_keep_no_token_out(
    stranger: Stranger, kind: Kind, payload: bytes
) -> None:
    """More of them than a process takes of strangers at once."""
    token, path = {
        Kind.RECONCILER: ("operator_token", "/api/v1/status"),
        Kind.BOT: ("agent_token_alpha", "/health"),
        Kind.EXPORTER: ("metrics_token", "/metrics"),
        Kind.SUPERVISOR: ("supervisor_token", "/processes"),
    }[kind]
    secret = stranger.stack.settings.secret(token)
    with senders(address_of(stranger, kind), payload, 600):
        assert await stranger.status("GET", stranger.url(kind, path), token=secret) == 200


@pytest.mark.parametrize("token", [None, "webhook_token"])
async def test_a_body_that_would_unpack_to_200_megabytes_takes_no_memory(
    stranger: Stranger, token: str | None
) -> None:
    """Without a token it is not read; with one it is stored as it came, or refused."""
    process = psutil.Process(stranger.stack.processes()["reconciler"]["pid"])
    before = process.memory_info().rss
    secret = stranger.stack.settings.secret(token) if token else None
    status = await stranger.status(
        "POST",
        stranger.url(Kind.RECONCILER, "/api/v1/webhook/alertmanager"),
        token=secret,
        data=gzip.compress(b" " * BOMB_BYTES),
        headers={"Content-Encoding": "gzip", "Content-Type": "application/json"},
    )
    assert status in ({200, 413} if token else {401})
    assert process.memory_info().rss - before < MEMORY_BYTES


async def test_two_lengths_are_one_too_many(stranger: Stranger) -> None:
    """Content-Length beside Transfer-Encoding hides a second request from a proxy."""
    smuggled = (
        b"POST /api/v1/webhook/alertmanager HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /api/v1/status HTTP/1.1\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection(*address_of(stranger, Kind.RECONCILER))
    writer.write(smuggled)
    head = await asyncio.wait_for(reader.readline(), 60)
    writer.close()
    assert head.split()[1] in {b"400", b"401"}


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[" * 100_000, b'{"alerts": 7}', b'{"alerts": [{"labels": {"a": NaN}}]}', b"\xff"],
    ids=["empty", "half", "deep", "number", "nan", "not_utf8"],
)
async def test_a_strange_notification_crashes_nothing(
    stranger: Stranger, scene: Scene, body: bytes
) -> None:
    """Stored and quarantined, or refused; the reconciler goes on."""
    before = stranger.stack.processes()["reconciler"]["incarnation"]
    status = await stranger.status(
        "POST",
        stranger.url(Kind.RECONCILER, "/api/v1/webhook/alertmanager"),
        token=stranger.stack.settings.secret("webhook_token"),
        data=body,
    )
    assert status in {200, 400, 413, 422}
    assert await scene.reconciler.status() is not None
    assert stranger.stack.processes()["reconciler"]["incarnation"] == before


async def test_hostile_parameters_are_only_text(stranger: Stranger) -> None:
    """SQL, paths, wildcards and huge numbers in queries."""
    secret = stranger.stack.settings.secret("operator_token")
    url = stranger.url(Kind.RECONCILER, "/api/v1/incidents")
    for value in ("' OR 1=1 --", "../../etc/passwd", "%", "_", "9" * 400, "\x1b[2J", "a" * 5000):
        for name in ("target", "alertname", "since", "limit", "cursor", "unknown"):
            params = {name: value}
            status = await stranger.status("GET", url, token=secret, params=params)
            assert status in {200, 400, 404, 414, 422}, (name, value)


async def test_a_storm_of_requests_leaves_the_bot_alone(stranger: Stranger, scene: Scene) -> None:
    """Unknown tokens at the agent, as fast as one client can: it answers its own still."""
    url = stranger.url(Kind.BOT, "/commands/halt")
    for _ in range(10):
        refused = (stranger.status("POST", url, token="guess", json={}) for _ in range(30))
        assert set(await asyncio.gather(*refused)) == {401}

    async def active() -> bool:
        return (await scene.directory.bot(scene.bot("alpha")).health()).state == "active"

    await eventually(active)
