"""Tokens: stored as hashes, rotated and revoked without a restart, and mistakes are explained."""

import re
import stat
from datetime import timedelta
from pathlib import Path

import pytest

from tests.service.api.conftest import TOKENS, ask, entry
from tests.service.reconciler.conftest import Start
from tests.waiting import eventually
from trading_ops import clock
from trading_ops.api.auth import FILE, PREFIX, Role, digest_of, load, mint, parse, save, token_of
from trading_ops.config.settings import Settings
from trading_ops.errors import ConfigError

DIGEST = "a" * 64


async def test_a_token_is_added_and_revoked_while_it_runs(start: Start, settings: Settings) -> None:
    """Within five seconds, and without a restart."""
    path = settings.secrets / FILE
    token = mint()
    async with start() as running:

        async def status() -> int:
            return (await ask(running, "GET", "/api/v1/status", token))[0]

        assert await status() == 401
        save(path, [entry("ada", Role.VIEWER, token)])

        async def opens() -> bool:
            return await status() == 200

        await eventually(opens, within=5.0)
        save(path, [])

        async def is_refused() -> bool:
            return await status() == 401

        await eventually(is_refused, within=5.0)


async def test_an_expired_token_opens_nothing(start: Start, settings: Settings) -> None:
    """It was good, and its time comes while the reconciler runs."""
    token = mint()
    expires = clock.now() + timedelta(seconds=0.5)
    save(settings.secrets / FILE, [entry("ada", Role.VIEWER, token, expires_at=expires)])
    async with start() as running:

        async def is_refused() -> bool:
            return (await ask(running, "GET", "/api/v1/status", token))[0] == 401

        await eventually(is_refused, within=5.0)


async def test_two_tokens_of_one_name_are_good_at_once(start: Start, settings: Settings) -> None:
    """Otherwise replacing one would lock its owner out in between."""
    old, new = mint(), mint()
    save(settings.secrets / FILE, [entry("ada", Role.VIEWER, token) for token in (old, new)])
    async with start() as running:
        for token in (old, new):
            assert (await ask(running, "GET", "/api/v1/status", token))[0] == 200


async def test_a_broken_file_shuts_its_tokens_out_and_no_one_else(
    start: Start, with_tokens: Settings
) -> None:
    """What cannot be read opens nothing; Alertmanager and the local command line continue."""
    path = with_tokens.secrets / FILE
    async with start() as running:
        assert (await ask(running, "GET", "/api/v1/status", TOKENS[Role.VIEWER]))[0] == 200
        path.write_text("nonsense\n")
        path.chmod(0o600)

        async def is_refused() -> bool:
            return (await ask(running, "GET", "/api/v1/status", TOKENS[Role.VIEWER]))[0] == 401

        await eventually(is_refused, within=5.0)
        (with_tokens.secrets / "webhook_token").write_text("")
        assert (await ask(running, "GET", "/api/v1/status"))[0] == 200
        assert await running.notify(running.world.alert()) == 200


async def test_a_wrong_file_is_refused_at_the_start(start: Start, settings: Settings) -> None:
    """With the file, the line and the fix."""
    path = settings.secrets / FILE
    path.write_text("# people\n\nada viewer nonsense -\n")
    path.chmod(0o600)
    with pytest.raises(ConfigError, match=r"api_tokens: line 3: .*Fix: "):
        async with start():
            pass


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ada viewer", "line 1: 2 fields instead of 4"),
        (f"Ada viewer {DIGEST} -", "'Ada'"),
        (f"../x viewer {DIGEST} -", "invalid name"),
        (f"local viewer {DIGEST} -", "is reserved"),
        (f"reconciler admin {DIGEST} -", "is reserved"),
        (f"ada root {DIGEST} -", "unknown role 'root'"),
        (f"ada anyone {DIGEST} -", "unknown role 'anyone'"),
        ("ada viewer tops_secret -", "not a SHA-256"),
        (f"ada viewer {DIGEST} soon", "expiry"),
        (f"ada viewer {DIGEST} 2026-01-01T00:00:00", "expiry"),
        (f"ada viewer {DIGEST} -\n" * 3, "ada: 3 tokens"),
        (f"ada viewer {DIGEST} -\nada admin {DIGEST} -", "ada: it has two roles"),
    ],
)
def test_each_mistake_is_named(text: str, message: str) -> None:
    """Line or name, what is wrong, and what would be right; never the token itself."""
    with pytest.raises(ConfigError, match=re.escape(message)) as caught:
        parse(text, "api_tokens")
    assert "Fix: " in str(caught.value)
    assert "tops_secret" not in str(caught.value)


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """And the fix can be copied."""
    path = tmp_path / FILE
    path.write_text("")
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        load(path)


def test_what_is_saved_is_read_again(tmp_path: Path) -> None:
    """With its comments, for no one else, and without the token."""
    path = tmp_path / FILE
    path.write_text("# the night shift\n")
    path.chmod(0o600)
    expires = clock.now().replace(microsecond=0)
    token = mint()
    entries = (
        entry("ada", Role.ADMIN, token),
        entry("bob", Role.VIEWER, mint(), expires_at=expires),
    )
    save(path, entries)
    assert load(path) == entries
    assert "# the night shift" in path.read_text()
    assert token not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load(tmp_path / "none") == ()


def test_tokens_are_random_and_marked() -> None:
    """256 bits behind the prefix."""
    tokens = {mint() for _ in range(100)}
    assert len(tokens) == 100
    assert all(token.startswith(PREFIX) and len(token) == len(PREFIX) + 43 for token in tokens)
    assert len(digest_of(mint())) == 64


@pytest.mark.parametrize(
    ("actor", "token"),
    [
        ("ada", "ada"),
        ("ada (token local)", "local"),
        ("ada (token eve) (token local)", "local"),
        ("reconciler", "reconciler"),
    ],
)
def test_the_token_behind_an_actor(actor: str, token: str) -> None:
    """What an operator writes as the owner cannot pass for another token."""
    assert token_of(actor) == token
