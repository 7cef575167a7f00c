"""A real agent of a bot that offers no commands of its own, and every action wired to it."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest

from tests.builders import FixedSecrets, make_registry
from tests.fakes import RecordingChannel
from tests.free_ports import free_port
from trading_ops.actions.base import Action, Call
from trading_ops.actions.registry import build
from trading_ops.agent import Agent, Health
from trading_ops.clients.directory import Directory
from trading_ops.domain.attempt import AttemptId
from trading_ops.instrument import BotMetrics

TOKEN = "t" * 32


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[Agent]:
    agent = Agent(
        name="alpha",
        address=("127.0.0.1", free_port()),
        metrics=BotMetrics(version="1", mode="paper"),
        health=Health,
        commands={},
        state_dir=tmp_path,
        metrics_token=TOKEN,
        agent_token=TOKEN,
    )
    agent.start()
    yield agent
    agent.stop()


@pytest.fixture
def call(agent: Agent) -> Call:
    target = make_registry(alpha=f"{agent.host}:{agent.port}").find("alpha")
    assert target is not None
    return Call(
        attempt_id=AttemptId("one"),
        fence=1,
        target=target,
        params={},
        within=timedelta(seconds=5),
        requested_by="ada",
        reason="settled with the venue",
    )


@pytest.fixture
async def actions(call: Call) -> AsyncIterator[dict[str, Action]]:
    registry = make_registry(alpha=call.target.address)
    async with aiohttp.ClientSession() as session:
        yield build(Directory(session, registry, FixedSecrets(TOKEN, TOKEN)), RecordingChannel())
