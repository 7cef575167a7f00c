"""A bot of which only the agent is real, and a service manager that can stop it."""

import asyncio
import os
import threading
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.free_ports import free_port
from trading_ops.agent import Agent, Health, Side
from trading_ops.instrument import BotMetrics


@dataclass
class RealAgent:
    """An agent over HTTP in its own thread; dies, freezes, forgets and comes back."""

    folder: Path
    port: int = field(default_factory=free_port)
    agent: Agent | None = None
    lives: int = 0
    holds_wait_seconds: float = 0.0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start a life; call in a running loop."""
        self.lives += 1
        agent = Agent(
            name="alpha",
            address=("127.0.0.1", self.port),
            metrics=BotMetrics(version="1", mode="paper"),
            health=Health,
            commands={},
            state_dir=self.folder,
            metrics_token="metrics",
            agent_token="agent",
            holds_wait_seconds=self.holds_wait_seconds,
        )
        agent._incarnation = self.incarnation
        agent.start()
        self.agent = agent

    @property
    def incarnation(self) -> str:
        return f"{self.lives}:{self.lives}"

    def stop(self) -> None:
        agent, self.agent = self.agent, None
        if agent is not None:
            agent.stop()

    def forget(self) -> None:
        """Lose the file with the holds, between two lives."""
        (self.folder / "holds.json").unlink()

    def freeze(self) -> threading.Event:
        """Keep its thread from answering, as a stopped process would; returns what thaws it."""
        assert self.agent is not None
        assert self.agent._loop is not None
        frozen, thaw = threading.Event(), threading.Event()

        def hold() -> None:
            frozen.set()
            thaw.wait(30)

        self.agent._loop.call_soon_threadsafe(hold)
        assert frozen.wait(60)
        return thaw

    async def catch_up(self) -> None:
        """Let its loop deal with what came while it was frozen, so that it ends in order."""
        if self.agent is not None and self.agent._loop is not None:
            resting = asyncio.run_coroutine_threadsafe(asyncio.sleep(0.1), self.agent._loop)
            await asyncio.wrap_future(resting)

    @property
    def denial(self) -> str | None:
        """Return why its gate refuses an order, or None."""
        assert self.agent is not None
        denial = self.agent.gate.check(side=Side.BUY, quantity=Decimal(1), position=Decimal(0))
        return denial.code if denial else None

    @property
    def state(self) -> str | None:
        return str(self.agent.holds.state) if self.agent else None

    @property
    def holds(self) -> set[str]:
        return {hold.id for hold in self.agent.holds.holds} if self.agent else set()


@dataclass
class Manager:
    """The service manager's API, about one process."""

    bot: RealAgent
    running: bool = True
    incarnation: str | None = None
    """Another life than the one that answers, if a test says so."""

    down: bool = False
    process: asyncio.subprocess.Process | None = None
    """What is really killed by a stop."""

    orders: list[dict[str, Any]] = field(default_factory=list)
    stopped: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self, _request: web.Request) -> web.Response:
        if self.down:
            raise web.HTTPServiceUnavailable
        life = self.incarnation or self.bot.incarnation
        own = os.getpid() if life == self.bot.incarnation else int(life.partition(":")[0])
        pid = own if self.running else None
        unit = {"unit": "bot-alpha", "state": "ready", "incarnation": life, "pid": pid}
        return web.json_response(unit)

    async def stop(self, request: web.Request) -> web.Response:
        order = await request.json()
        self.orders.append(order)
        if order["incarnation"] != (self.incarnation or self.bot.incarnation):
            return web.json_response({"error": "other_incarnation"}, status=409)
        if self.process is not None:
            self.process.kill()
            await self.process.wait()
        self.running = False
        self.stopped.set()
        return web.json_response({"outcome": "succeeded", "detail": "bot-alpha was stopped"})

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/processes/{unit}", self.read)
        app.router.add_post("/processes/{unit}/stop", self.stop)
        return app
