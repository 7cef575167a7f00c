"""A running reconciler for the tests of its API, with a token of every role."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from aiohttp.test_utils import TestClient, TestServer

from tests.builders import make_registry, make_target
from tests.fakes import FakeWorld
from tests.service.clients.trading_freqtrade import TradingFreqtrade
from tests.service.exporter.freqtrades import PASSWORD, USER
from tests.service.reconciler.conftest import Running, settings, start, world
from trading_ops import clock
from trading_ops.api.auth import FILE, TOKEN_ROLES, Identity, Role, TokenEntry, digest_of, save
from trading_ops.app.build import build
from trading_ops.config.settings import Settings
from trading_ops.domain.target import Kind, Registry

__all__ = ["settings", "start", "world"]

TOKENS: Mapping[Role, str] = {role: f"tops_{role.value}" for role in TOKEN_ROLES}
LOCAL = "operator"
EXPIRED, REVOKED = "tops_expired", "tops_revoked"


def entry(name: str, role: Role, token: str, **over: Any) -> TokenEntry:
    """Return the line of one token."""
    return TokenEntry(identity=Identity(name, role), digest=digest_of(token), **over)


def everybody() -> list[TokenEntry]:
    """Return one token of each role, and an admin's that has expired."""
    tokens = [entry(f"{role}-1", role, TOKENS[role]) for role in TOKEN_ROLES]
    past = clock.now() - timedelta(seconds=1)
    return [*tokens, entry("late", Role.ADMIN, EXPIRED, expires_at=past)]


@pytest.fixture
def with_tokens(settings: Settings) -> Settings:
    """Settings with `everybody` and one whose token is revoked while the reconciler runs."""
    save(settings.secrets / FILE, [*everybody(), entry("gone", Role.ADMIN, REVOKED)])
    return settings


async def ask(
    running: Running, method: str, path: str, token: str | None = LOCAL, **arguments: Any
) -> tuple[int, Any]:
    """Ask with a token; return status and decoded answer."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    headers |= arguments.pop("headers", {})
    async with running.client.request(method, path, headers=headers, **arguments) as response:
        body = await response.read()
        is_json = response.content_type == "application/json" and body
        return response.status, msgspec.json.decode(body) if is_json else body.decode()


@pytest.fixture
def two_person_approval() -> bool:
    """The setting; a module may say otherwise."""
    return False


@dataclass
class Scene:
    """A reconciler with its watch, and the Freqtrade that it commands."""

    running: Running
    fake: TradingFreqtrade


@pytest.fixture
async def scene(
    with_tokens: Settings,
    two_person_approval: bool,
    world: FakeWorld,
    request: pytest.FixtureRequest,
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
        own = msgspec.structs.replace(with_tokens, two_person_approval=two_person_approval)
        built = build(own, Registry((*ours, freq)))
        reconciler = await open_.enter_async_context(built)
        server = TestServer(reconciler.application, host="127.0.0.1")
        tasks = [
            asyncio.create_task(service.run())
            for service in (reconciler.loop, reconciler.agent_monitor)
        ]
        client = await open_.enter_async_context(TestClient(server))
        running = Running(client, reconciler.loop, world, reconciler.api_reader)
        await running.has_polled()
        yield Scene(running, fake)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
