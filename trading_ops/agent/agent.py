"""The agent: a bot's control server, in a thread and loop of its own.

It answers, and can halt, while the bot's loop is stuck. Embedding it takes one object:

    agent = Agent(name="alpha", address=("127.0.0.1", 8411), metrics=metrics, state_dir=folder,
                  health=bot.health, commands={...}, metrics_token=..., agent_token=...)
    agent.start()           # inside the bot's loop
    ...
    agent.gate.check(...)   # before every order
    agent.event("trade", "bought 0.1 ETH/USD at 2,000", id=fill_id)
    ...
    agent.stop()
"""

import asyncio
import logging
import os
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from aiohttp import web

from trading_ops import clock
from trading_ops.agent.attempts import Attempts
from trading_ops.agent.auth import AgentTokens
from trading_ops.agent.commands import Command
from trading_ops.agent.confirmation import WAIT_SECONDS, HoldsConfirmation
from trading_ops.agent.disk import DiskThread
from trading_ops.agent.fence import FenceKeeper
from trading_ops.agent.gate import OrderGate
from trading_ops.agent.health import Health, Status, as_json, judge
from trading_ops.agent.holding import confirming, holding_commands
from trading_ops.agent.incarnation import incarnation
from trading_ops.agent.journal import EventJournal
from trading_ops.agent.relief import relief_commands
from trading_ops.agent.routes import READ_SECONDS, Routes
from trading_ops.agent.server import application
from trading_ops.agent.state import Holds
from trading_ops.agent.tracing import tracing_commands
from trading_ops.bounded_site import BoundedSite
from trading_ops.config.secret_files import TokenFile
from trading_ops.errors import SetupError
from trading_ops.instrument import BotMetrics, Exposition
from trading_ops.tls.contexts import TlsFiles, serving

START_SECONDS = 10.0
STOP_SECONDS = 2.0

_logger = logging.getLogger(__name__)


class Agent:
    """Serves one bot's metrics, health and commands until stopped."""

    def __init__(
        self,
        *,
        name: str,
        address: tuple[str, int] | None,
        metrics: BotMetrics,
        health: Callable[[], Health],
        commands: Mapping[str, Command],
        state_dir: Path,
        metrics_token: str,
        agent_token: str | TokenFile,
        heartbeat_limit_seconds: float = 10.0,
        holds_wait_seconds: float = WAIT_SECONDS,
        read_seconds: float = READ_SECONDS,
        trace_memory: bool = True,
        tls: TlsFiles | None = None,
    ) -> None:
        """Load the durable state; nothing is served yet.

        Args:
            name: of the bot, as in the registry of targets.
            address: host and port to listen on; None: another server answers, see `attached`.
            metrics: of the bot; the trading state is recorded in them.
            health: returns the facts; called in the agent's thread, must not block or raise.
            commands: the bot's own, by name; halt, reduce, resume, trace_memory are added, and
                relieve_memory where it has none of its own.
            state_dir: an existing folder for holds, fences, answers and events.
            metrics_token: may read metrics and health.
            agent_token: may do everything; each line of the file, reloaded when it changes.
            heartbeat_limit_seconds: age from which the heartbeat means `failing`.
            holds_wait_seconds: for which the gate waits after a start for the reconciler to confirm
                the holds; 0: it does not wait.
            read_seconds: within which a request's body must have arrived.
            trace_memory: whether to offer that command.
            tls: the files for TLS; every client then needs a certificate of the same CA. None:
                connections are not encrypted.

        Raises:
            SetupError: the file of fences is damaged, or the token file cannot be used.
        """
        self._name = name
        self.host, self.port = address or ("", 0)
        self._metrics = metrics
        self._health = health
        self._stopping = asyncio.Event()
        tracing = tracing_commands(self._stopping) if trace_memory else {}
        self._commands = {**relief_commands(metrics), **commands, **tracing}
        self._keeper = FenceKeeper(state_dir / "fence.json")
        self.holds = Holds(
            state_dir / "holds.json", on_change=lambda state: metrics.trading_state(state.value)
        )
        self.events = EventJournal(path=state_dir / "events.sqlite")
        self.event = self.events.add
        self._confirmation = HoldsConfirmation(holds_wait_seconds)
        self.gate = OrderGate(lambda: self.holds.state, lambda: self._confirmation.is_awaited)
        self._metrics_token = metrics_token
        self._agent_tokens = AgentTokens(agent_token)
        self._heartbeat_limit = heartbeat_limit_seconds
        self._read_seconds = read_seconds
        self._tls = serving(tls, every_client=True) if tls else None
        self._incarnation = incarnation(os.getpid())
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Serve from now on; call in the bot's loop, which the commands will run in.

        Returns when the port is open.

        Raises:
            SetupError: the address cannot be listened on.
            ConfigError: the files for TLS are missing or cannot be used.
        """
        if self._tls:
            self._tls()
        bot_loop = asyncio.get_running_loop()
        ready = threading.Event()
        failure: list[OSError] = []

        def serve() -> None:
            asyncio.run(self._serve(bot_loop, ready, failure))

        self._thread = threading.Thread(target=serve, name="agent", daemon=True)
        self._thread.start()
        if not ready.wait(START_SECONDS):
            raise SetupError(f"the agent did not start within {START_SECONDS:g} s")
        if failure:
            self._thread.join()
            self._thread = None
            raise SetupError(
                f"the agent cannot listen on {self.host}:{self.port} ({failure[0].strerror}). "
                "Fix: stop what uses the port, or change it in targets.yml"
            ) from failure[0]
        self.events.open()

    def stop(self) -> None:
        """End serving; requests that are running get a moment to end. Never raises."""
        thread, self._thread = self._thread, None
        self.events.close(STOP_SECONDS)
        if self._loop is None or thread is None:
            return
        self._loop.call_soon_threadsafe(self._stopping.set)
        thread.join(2 * STOP_SECONDS)

    def report(self) -> dict[str, Any]:
        """Return the answer to GET /health."""
        try:
            health = self._health()
            status = judge(
                health,
                now=clock.timestamp(),
                started_at=self._metrics.started_at,
                heartbeat_limit=self._heartbeat_limit,
            )
        except Exception:  # the answer to "are you well" must not be an error page
            _logger.exception("health_failed")
            health, status = Health(), Status.FAILING
        return {
            "bot": self._name,
            "status": status,
            "incarnation": self._incarnation,
            "started_at": self._metrics.started_at,
            "state": self.holds.state,
            # With the released ones, the reconciler can adopt a release that was made here.
            "holds": [asdict(hold) for hold in self.holds.holds],
            "released": self.holds.released,
            "awaiting_holds": self._confirmation.is_awaited,
            "events": {
                "journal": self.events.id,
                "head": self.events.head,
                "lost": self.events.lost,
            },
            **as_json(health),
        }

    async def _serve(
        self,
        bot_loop: asyncio.AbstractEventLoop,
        ready: threading.Event,
        failure: list[OSError],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        async with self._answering(bot_loop) as routes:
            runner = web.AppRunner(
                application(routes), access_log=None, shutdown_timeout=STOP_SECONDS
            )
            await runner.setup()
            try:
                await BoundedSite(runner, self.host, self.port, tls=self._tls).start()
            except OSError as error:
                failure.append(error)
                return
            finally:
                if failure:
                    await runner.cleanup()
                ready.set()
            await self._stopping.wait()
            await runner.cleanup()

    @asynccontextmanager
    async def attached(self) -> AsyncIterator[Routes]:
        """Answer requests in this loop, which the commands run in too, while the block runs."""
        self._stopping.clear()
        async with self._answering(asyncio.get_running_loop()) as routes:
            self.events.open()
            try:
                yield routes
            finally:
                self._stopping.set()
                await asyncio.to_thread(self.events.close, STOP_SECONDS)

    @asynccontextmanager
    async def _answering(self, bot_loop: asyncio.AbstractEventLoop) -> AsyncIterator[Routes]:
        disk = DiskThread()
        following = asyncio.create_task(self._agent_tokens.follow(disk))
        try:
            yield Routes(
                name=self._name,
                exposition=Exposition(self._metrics.registry),
                report=self.report,
                commands={
                    **self._commands,
                    **holding_commands(self.holds, disk),
                    "confirm_holds": confirming(self._confirmation, lambda: self._incarnation),
                },
                attempts=Attempts(self._name, self._keeper, disk, bot_loop),
                keeper=self._keeper,
                disk=disk,
                events=self.events,
                read_seconds=self._read_seconds,
                metrics_token=self._metrics_token,
                agent_tokens=self._agent_tokens,
                on_refused=self._metrics.agent_refused,
            )
        finally:
            following.cancel()
            await asyncio.to_thread(disk.close)
