"""Attacks on a running stack. `make attacks` runs them; they take minutes."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from tests.free_ports import free_port
from tests.stack import Stack, running_stack
from tests.waiting import eventually
from trading_ops.domain.target import Kind
from trading_ops.errors import TradingOpsError
from trading_ops_lab.drills.lab_clients import Scene, open_scene
from trading_ops_lab.drills.preflight import wait_until_calm

QUIET = 'trading_component_up{component="broker"} 1\n'


@dataclass
class Rogue:
    """A registered process that exports what it likes, and has no other right."""

    port: int = field(default_factory=free_port)
    text: str = QUIET
    _stop: threading.Event = field(default_factory=threading.Event)

    @property
    def target(self) -> str:
        """Its lines in targets.yml."""
        address = f"127.0.0.1:{self.port}"
        return f"\n  - {{name: rogue, kind: bare_bot, venue: paper, address: {address}}}\n"

    def serve(self) -> None:
        """Answer scrapes until the end; in a thread, since each test has a loop of its own."""
        asyncio.run(self._serve())

    def end(self) -> None:
        """End the thread."""
        self._stop.set()

    async def _serve(self) -> None:
        async def answer(_request: web.Request) -> web.Response:
            headers = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
            return web.Response(body=self.text.encode(), headers=headers)

        application = web.Application()
        application.router.add_get("/{path:.*}", answer)
        runner = web.AppRunner(application)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port).start()
        await asyncio.to_thread(self._stop.wait)
        await runner.cleanup()


@pytest.fixture(scope="session")
def served_rogue() -> Iterator[Rogue]:
    """A rogue that serves, one for all tests."""
    rogue = Rogue()
    thread = threading.Thread(target=rogue.serve)
    thread.start()
    try:
        yield rogue
    finally:
        rogue.end()
        thread.join()


@pytest.fixture
def rogue(served_rogue: Rogue) -> Iterator[Rogue]:
    """The rogue, which behaves again after the test."""
    yield served_rogue
    served_rogue.text = QUIET


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, served_rogue: Rogue) -> Iterator[Stack]:
    """A running stack, one for all tests of this folder."""
    with running_stack(tmp_path_factory.mktemp("stack"), served_rogue.target) as stack:
        yield stack


@pytest.fixture
async def scene(stack: Stack) -> AsyncIterator[Scene]:
    """Clients of everything in the running stack, whose bot trades."""
    async with open_scene(stack.settings) as scene:
        yield scene


@pytest.fixture
async def calm(scene: Scene) -> None:
    """Begin with a healthy bot whose budgets are fresh and no open incident of it."""
    bot = scene.bot("alpha")
    await wait_until_calm(scene, bot)
    await scene.reconciler.reset_budget(bot.name, owner="test", reason="a fresh start")


@dataclass(frozen=True)
class Stranger:
    """Sends requests without any right of its own, and without any care."""

    stack: Stack
    session: aiohttp.ClientSession

    def url(self, kind: Kind, path: str) -> str:
        """Return the URL of a path at the one process of a kind."""
        return f"http://{self.stack.registry.one(kind).address}{path}"

    async def status(
        self, method: str, url: str | URL, *, token: str | None = None, **options: Any
    ) -> int:
        """Return the status of the answer."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        headers |= options.pop("headers", {})
        async with self.session.request(method, url, headers=headers, **options) as answer:
            await answer.read()
            return answer.status

    async def json(self, url: str, *, token: str) -> Any:
        """Return what a good answer says."""
        headers = {"Authorization": f"Bearer {token}"}
        async with self.session.get(url, headers=headers) as answer:
            assert answer.status == 200
            return await answer.json()


@pytest.fixture
async def stranger(stack: Stack) -> AsyncIterator[Stranger]:
    """A client that knows the addresses and nothing else."""
    async with aiohttp.ClientSession() as session:
        yield Stranger(stack, session)


async def state_of(scene: Scene) -> str | None:
    """Return the trading state that the bot's agent reports; None: no answer."""
    try:
        return (await scene.directory.bot(scene.bot("alpha")).health()).state
    except TradingOpsError:
        return None


async def until_state(scene: Scene, state: str, *, within: float = 60) -> None:
    """Wait until the bot is in a trading state."""

    async def reached() -> bool:
        return await state_of(scene) == state

    await eventually(reached, within=within, what=f"the bot is {state}")
