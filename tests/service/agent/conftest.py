"""An agent over real HTTP in its own thread, beside a bot's loop that a test can block."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import pytest

from tests.free_ports import free_port
from trading_ops.agent import Agent, Command, CommandFailed, ComponentHealth, Health, Params
from trading_ops.instrument import BotMetrics

METRICS_TOKEN = "metrics-" + "m" * 32
AGENT_TOKEN = "agent-" + "a" * 32


@dataclass
class Bot:
    """The least bot: its loop in a thread, its health in a field, its commands counted."""

    loop: asyncio.AbstractEventLoop
    health: Health = field(default_factory=Health)
    ran: list[dict[str, str]] = field(default_factory=list)
    hold: threading.Event = field(default_factory=threading.Event)
    entered: threading.Event = field(default_factory=threading.Event)

    async def count(self, params: Params) -> str:
        self.ran.append(dict(params))
        return f"ran {len(self.ran)} times"

    async def wait(self, params: Params) -> str:
        self.ran.append(dict(params))
        self.entered.set()
        await asyncio.to_thread(self.hold.wait, 20)
        return "waited"

    async def fail(self, params: Params) -> str:
        raise CommandFailed("the venue said no")

    async def crash(self, params: Params) -> str:
        raise KeyError("oops")

    def commands(self) -> dict[str, Command]:
        parts: dict[str, frozenset[str] | None] = {"component": frozenset({"feed", "broker"})}
        return {
            "count": Command(run=self.count, deadline_seconds=0.5),
            "restart_component": Command(run=self.count, required=parts),
            "wait": Command(run=self.wait, deadline_seconds=5.0),
            "fail": Command(run=self.fail),
            "crash": Command(run=self.crash),
        }

    def block(self) -> threading.Event:
        """Block the loop for real, as a busy strategy would; returns what releases it."""
        release = threading.Event()
        blocked = threading.Event()

        def hold() -> None:
            blocked.set()
            release.wait(20)

        self.loop.call_soon_threadsafe(hold)
        assert blocked.wait(60)
        return release


@dataclass
class Asker:
    """Speaks to the agent as the reconciler does."""

    http: aiohttp.ClientSession
    url: str

    async def get(self, path: str, token: str = AGENT_TOKEN) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {token}"}
        async with self.http.get(self.url + path, headers=headers) as answer:
            if answer.content_type == "application/json":
                return answer.status, await answer.json()
            return answer.status, await answer.text()

    async def post(
        self, path: str, body: object, token: str = AGENT_TOKEN
    ) -> tuple[int, dict[str, Any]]:
        headers = {"Authorization": f"Bearer {token}"}
        async with self.http.post(self.url + path, json=body, headers=headers) as answer:
            return answer.status, await answer.json()

    async def command(
        self, name: str, *, fence: int = 1, attempt_id: str | None = None, **params: str
    ) -> tuple[int, dict[str, Any]]:
        body = {"attempt_id": attempt_id or str(uuid4()), "fence": fence, "params": params}
        return await self.post(f"/commands/{name}", body)


@pytest.fixture
def bot() -> Iterator[Bot]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    bot = Bot(
        loop,
        Health(components={"feed": ComponentHealth(up=True), "broker": ComponentHealth(up=True)}),
    )
    yield bot
    bot.hold.set()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture
def metrics() -> BotMetrics:
    return BotMetrics(version="1", mode="paper")


@pytest.fixture
def start(bot: Bot, metrics: BotMetrics, tmp_path: Path) -> Iterator[Callable[[], Agent]]:
    """Start an agent with the same durable state each time, as a restarted process would."""
    agents: list[Agent] = []

    def begin() -> Agent:
        for earlier in agents:
            earlier.stop()
        agent = Agent(
            name="alpha",
            address=("127.0.0.1", free_port()),
            metrics=metrics,
            health=lambda: bot.health,
            commands=bot.commands(),
            state_dir=tmp_path,
            metrics_token=METRICS_TOKEN,
            agent_token=AGENT_TOKEN,
            read_seconds=0.3,
            holds_wait_seconds=0,
        )

        async def in_bot_loop() -> None:
            agent.start()

        agents.append(agent)
        asyncio.run_coroutine_threadsafe(in_bot_loop(), bot.loop).result(10)
        return agent

    yield begin
    for agent in agents:
        agent.stop()


@pytest.fixture
def agent(start: Callable[[], Agent]) -> Agent:
    return start()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(60)) as session:
        yield session


@pytest.fixture
def ask(agent: Agent, http: aiohttp.ClientSession) -> Asker:
    return Asker(http, f"http://127.0.0.1:{agent.port}")
