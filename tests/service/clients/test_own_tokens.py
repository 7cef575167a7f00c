"""Each bot has a token of its own: it commands this bot and nothing else."""

import contextlib
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest

from tests.builders import make_target
from tests.free_ports import free_port
from tests.waiting import eventually
from trading_ops.agent import Agent, Health
from trading_ops.agent.auth import AgentTokens
from trading_ops.clients.directory import Directory
from trading_ops.clients.secrets import SecretFiles, agent_token_file, rotate_token
from trading_ops.config.settings import Settings
from trading_ops.domain.target import Registry, Target
from trading_ops.errors import ConfigError, Refused, SetupError, Unreachable
from trading_ops.instrument import BotMetrics
from trading_ops_lab.doctor.local_checks import check_secrets
from trading_ops_lab.drills.lab_clients import Scene
from trading_ops_lab.faults.empty_token import EmptyToken
from trading_ops_lab.supervisor.tokens import write_secrets

LONG = timedelta(seconds=120)
COMMAND = {"attempt_id": "1", "fence": 0, "params": {"owner": "mallory", "reason": "x"}}
ROUTES = (
    ("GET", "/health", None),
    ("GET", "/metrics", None),
    ("GET", "/attempts/1", None),
    ("POST", "/commands/halt", COMMAND),
    ("POST", "/commands/resume", COMMAND),
    ("POST", "/fence", {"fence": 9}),
)


@pytest.fixture
def bots() -> tuple[Target, Target]:
    alpha, beta = (
        make_target(name=name, address=f"127.0.0.1:{free_port()}") for name in ("alpha", "beta")
    )
    return alpha, beta


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(root=tmp_path, var=tmp_path / "var")


def lay_out(settings: Settings, bots: tuple[Target, ...]) -> None:
    """Write the secrets as `up` does."""
    settings.var.mkdir(exist_ok=True)
    write_secrets(settings.secrets, (), [agent_token_file(settings, bot) for bot in bots])


@asynccontextmanager
async def running(settings: Settings, bot: Target) -> AsyncIterator[Agent]:
    """Run a bot's agent in this process, with the token in its file."""
    state = settings.var / bot.name
    state.mkdir(exist_ok=True)
    host, _, port = bot.address.partition(":")
    agent = Agent(
        name=bot.name,
        address=(host, int(port)),
        metrics=BotMetrics(version="1", mode="paper"),
        health=Health,
        commands={},
        state_dir=state,
        metrics_token="metrics",
        agent_token=agent_token_file(settings, bot),
    )
    agent.start()
    try:
        yield agent
    finally:
        agent.stop()


def token_of(settings: Settings, bot: Target) -> str:
    return SecretFiles(settings).agent_token(bot)


async def status(session: aiohttp.ClientSession, bot: Target, token: str, *asked: Any) -> int:
    method, path, body = asked or ("GET", "/health", None)
    headers = {"Authorization": f"Bearer {token}"}
    url = f"http://{bot.address}{path}"
    async with session.request(method, url, json=body, headers=headers) as answer:
        return answer.status


async def named(directory: Directory, bot: Target) -> str:
    """Return who answers our own client, however busy the machine is."""
    while True:
        with contextlib.suppress(Unreachable):
            return (await directory.bot(bot).health()).bot


async def refuses(session: aiohttp.ClientSession, bot: Target, token: str) -> None:
    """Wait until a bot refuses a token."""

    async def refused() -> bool:
        return await status(session, bot, token) == 401

    await eventually(refused, within=60)


async def test_the_token_of_one_bot_commands_no_other(
    settings: Settings, bots: tuple[Target, Target]
) -> None:
    """Nor reads anything of it; what is ours to send goes to the right bot."""
    alpha, beta = bots
    lay_out(settings, bots)
    async with (
        running(settings, alpha),
        running(settings, beta) as other,
        aiohttp.ClientSession() as session,
    ):
        stolen = token_of(settings, alpha)
        assert [await status(session, beta, stolen, *route) for route in ROUTES] == [401] * 6
        assert other.holds.holds == ()
        directory = Directory(session, Registry(bots), SecretFiles(settings))
        for bot in bots:
            assert await named(directory, bot) == bot.name


async def test_a_rotated_token_counts_at_once(
    settings: Settings, bots: tuple[Target, Target]
) -> None:
    """Without a restart on either side; the old one is refused afterwards."""
    alpha, _ = bots
    lay_out(settings, bots)
    async with running(settings, alpha), aiohttp.ClientSession() as session:
        directory = Directory(session, Registry(bots), SecretFiles(settings))
        assert await named(directory, alpha) == "alpha"
        old = token_of(settings, alpha)
        assert await rotate_token(settings, alpha, within=LONG)
        assert token_of(settings, alpha) != old
        assert await named(directory, alpha) == "alpha"
        await refuses(session, alpha, old)
    path = agent_token_file(settings, alpha).path
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_removed_token_counts_for_requests_that_are_on_their_way() -> None:
    """So a rotation refuses none of ours."""
    tokens = AgentTokens("old")
    tokens.use(("old", "new"))
    tokens.use(("new",))
    assert "old" in tokens.accepted
    tokens.use(("new",))
    assert set(tokens.accepted) == {"new"}
    tokens.use(())
    tokens.use(())
    assert tokens.accepted == ()


async def test_an_older_folder_keeps_its_shared_token_until_each_bot_is_rotated(
    settings: Settings, bots: tuple[Target, Target]
) -> None:
    """Nothing that runs is cut off by an upgrade; `doctor` says what to do."""
    alpha, beta = bots
    settings.secrets.mkdir(parents=True)
    shared = settings.secrets / "agent_token"
    shared.write_text("shared-by-all-bots")
    lay_out(settings, bots)
    assert token_of(settings, alpha) == token_of(settings, beta) == "shared-by-all-bots"
    assert shared.stat().st_mode & 0o777 == 0o600
    async with (
        running(settings, alpha),
        running(settings, beta),
        aiohttp.ClientSession() as session,
    ):
        assert await status(session, alpha, "shared-by-all-bots") == 200
        check = check_secrets(settings, Registry(bots))[-1]
        assert (check.ok, check.warning) == (True, True)
        assert "alpha, beta" in check.detail
        assert await rotate_token(settings, alpha, within=LONG)
        assert await rotate_token(settings, beta, within=LONG)
        assert not any(check.warning for check in check_secrets(settings, Registry(bots)))
        for bot in bots:
            await refuses(session, bot, "shared-by-all-bots")
            assert await status(session, bot, token_of(settings, bot)) == 200


async def test_a_bot_that_does_not_run_gets_its_token_all_the_same(
    settings: Settings, bots: tuple[Target, Target]
) -> None:
    """It is said, and the bot starts with the new one."""
    alpha, _ = bots
    lay_out(settings, bots)
    old = token_of(settings, alpha)
    assert not await rotate_token(settings, alpha)
    new = token_of(settings, alpha)
    assert new != old
    async with running(settings, alpha), aiohttp.ClientSession() as session:
        assert await status(session, alpha, new) == 200
        assert await status(session, alpha, old) == 401


async def test_the_agent_keeps_its_token_while_the_file_cannot_be_read(
    settings: Settings, bots: tuple[Target, Target]
) -> None:
    """An empty file accepts no token; a missing one changes nothing."""
    alpha, _ = bots
    lay_out(settings, bots)
    path = agent_token_file(settings, alpha).path
    async with running(settings, alpha) as agent, aiohttp.ClientSession() as session:
        token = token_of(settings, alpha)
        failing = agent._agent_tokens
        path.rename(path.with_name("elsewhere"))
        await eventually(lambda: failing._failing, within=60)
        assert await status(session, alpha, token) == 200
        with pytest.raises(Refused, match="token rotate alpha"):
            Directory(session, Registry(bots), SecretFiles(settings)).bot(alpha)
        path.write_text("")
        await eventually(lambda: not failing.accepted, within=60)
        assert await status(session, alpha, token) == 401
    with pytest.raises(SetupError, match="is empty"):
        async with running(settings, alpha):
            pass


async def test_the_drill_of_a_lost_token(settings: Settings, bots: tuple[Target, Target]) -> None:
    """It breaks the way to one bot, and repairs it; nothing is left behind."""
    alpha, beta = bots
    lay_out(settings, bots)
    before = set(settings.secrets.iterdir())
    scene = cast(Scene, SceneOf(settings))
    async with running(settings, alpha) as agent, aiohttp.ClientSession() as session:
        directory = Directory(session, Registry(bots), SecretFiles(settings))
        key = await EmptyToken().inject(scene, alpha)
        await eventually(lambda: not agent._agent_tokens.accepted, within=60)
        with pytest.raises(Refused, match="it is empty"):
            directory.bot(alpha)
        directory.bot(beta)
        await EmptyToken().clean_up(scene, alpha, key)
        assert await named(directory, alpha) == "alpha"
    assert set(settings.secrets.iterdir()) == before


class SceneOf:
    """The part of a running stack that the drill needs."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings


def test_a_named_file_counts_from_the_projects_folder(settings: Settings) -> None:
    """It has no shared one behind it."""
    bot = make_target(name="gamma", token_file="tokens/gamma")
    (settings.root / "tokens").mkdir()
    lay_out(settings, (bot,))
    (settings.secrets / "agent_token").write_text("shared-by-all-bots")
    token = (settings.root / "tokens" / "gamma").read_text()
    assert token_of(settings, bot) == token
    assert len(token) == 64
    shutil.rmtree(settings.root / "tokens")
    with pytest.raises(ConfigError, match="tokens/gamma"):
        token_of(settings, bot)
