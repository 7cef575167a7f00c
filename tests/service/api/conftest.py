"""A running reconciler for the tests of its API, with a token of every role."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from tests.service.reconciler.conftest import Running, settings, start, world
from trading_ops import clock
from trading_ops.api.identity import TOKEN_ROLES, Identity, Role
from trading_ops.api.token_file import FILE, Entry, digest_of, save
from trading_ops.settings import Settings

__all__ = ["settings", "start", "world"]

TOKENS: Mapping[Role, str] = {role: f"tops_{role.value}" for role in TOKEN_ROLES}
LOCAL = "operator"
EXPIRED, REVOKED = "tops_expired", "tops_revoked"


def entry(name: str, role: Role, token: str, **over: Any) -> Entry:
    """Return the line of one token."""
    return Entry(identity=Identity(name, role), digest=digest_of(token), **over)


def everybody() -> list[Entry]:
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
