"""The agent in the server of an aiohttp, FastAPI or Starlette application.

    app = FastAPI()
    bot = attach(app, metrics, "alpha", secrets="var/secrets", state="var/alpha")
    ...
    bot.gate.check(...)     # before every order
    metrics.heartbeat()     # at the end of every complete pass

The application's server then serves metrics, health and commands on its own port. The agent starts
and stops with the application. It runs in the application's event loop: while that loop is blocked,
it neither answers nor halts. `embed` does both, on a separate port.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, MutableMapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qsl

from aiohttp import web

from trading_ops.agent.agent import Agent
from trading_ops.agent.commands import BadRequest, Command
from trading_ops.agent.confirmation import WAIT_SECONDS
from trading_ops.agent.embedding import agent_of, pass_watchers
from trading_ops.agent.gate import OrderGate
from trading_ops.agent.routes import AgentRequest, AgentResponse, Routes, is_ours
from trading_ops.agent.server import respond
from trading_ops.errors import SetupError
from trading_ops.instrument import BotMetrics

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Message, Receive, Send], Awaitable[None]]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_NOT_RUNNING = AgentResponse(
    status=503, body=b'{"error": "not_running", "detail": "the agent is stopped"}'
)


class TakesMiddleware(Protocol):
    """A Starlette or FastAPI application."""

    def add_middleware(self, middleware_class: Any, *, attached: "Attached") -> None:
        """Wrap the application."""
        ...


@dataclass(kw_only=True)
class Attached:
    """The agent of an application; keep it for its gate and its events."""

    agent: Agent
    metrics: BotMetrics
    pass_limit_seconds: float
    routes: Routes | None = field(init=False, default=None)
    """None while the application does not run."""

    _started: bool = field(init=False, default=False)

    @property
    def gate(self) -> OrderGate:
        """The gate that every order has to pass."""
        return self.agent.gate

    async def answer(self, request: AgentRequest) -> AgentResponse:
        """Answer a request to one of the agent's paths."""
        return _NOT_RUNNING if self.routes is None else await self.routes.answer(request)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the agent while the block runs; start the watchers the first time."""
        async with self.agent.attached() as routes, AsyncExitStack() as stack:
            if not self._started:  # their metrics can be registered only once
                self._started = True
                loop = asyncio.get_running_loop()
                watchers = pass_watchers(self.metrics, loop, self.pass_limit_seconds)
                watchers.start()
                stack.push_async_callback(asyncio.to_thread, watchers.stop)
            self.routes = routes
            try:
                yield
            finally:
                self.routes = None


def attach(
    app: web.Application | TakesMiddleware,
    metrics: BotMetrics,
    name: str,
    *,
    secrets: Path | str,
    state: Path | str,
    commands: Mapping[str, Command] | None = None,
    pass_limit_seconds: float = 10.0,
    holds_wait_seconds: float = WAIT_SECONDS,
) -> Attached:
    """Add the agent to an application, before it runs.

    Call it after adding the application's own middlewares: it must run before them, because it
    checks its own tokens.

    Args:
        app: of aiohttp, FastAPI or Starlette; the root application, not a mounted one.
        metrics: of the bot.
        name: of the bot, as in targets.yml.
        secrets: folder with the token files, as for `embed`.
        state: folder for holds, fences, answers and events, as for `embed`.
        commands: the bot's own, by name; they run in the application's loop.
        pass_limit_seconds: maximum age of the last complete pass.
        holds_wait_seconds: for which the gate waits after a start for the reconciler to confirm the
            holds; 0 for a bot without a reconciler.

    Raises:
        SetupError: a token or the folder cannot be used, the state is damaged, or the application
            is of another framework. At the application's start: it has a route of the same path.
    """
    agent = agent_of(
        metrics,
        name,
        None,
        secrets=secrets,
        state=state,
        commands=commands,
        pass_limit_seconds=pass_limit_seconds,
        holds_wait_seconds=holds_wait_seconds,
    )
    attached = Attached(agent=agent, metrics=metrics, pass_limit_seconds=pass_limit_seconds)
    if isinstance(app, web.Application):
        _attach_aiohttp(app, attached)
    elif hasattr(app, "add_middleware"):
        app.add_middleware(AgentMiddleware, attached=attached)
    else:
        raise SetupError(
            f"the agent cannot be attached to a {type(app).__name__}. Fix: use it with an "
            "application of aiohttp, FastAPI or Starlette, or call `embed`"
        )
    return attached


def _attach_aiohttp(app: web.Application, attached: Attached) -> None:
    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not is_ours(request.path):
            return await handler(request)
        return await respond(attached.answer, request)

    async def run(app: web.Application) -> AsyncIterator[None]:
        _check_free(resource.canonical for resource in app.router.resources())
        async with attached.running():
            yield

    app.middlewares.insert(0, answer)
    app.cleanup_ctx.insert(0, run)


class AgentMiddleware:
    """Answers the agent's paths in front of an ASGI application, and starts and stops with it."""

    def __init__(self, app: AsgiApp, attached: Attached) -> None:
        self._app = app
        self._attached = attached

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Handle one request or the lifespan."""
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        path = scope.get("path", "").removeprefix(scope.get("root_path", ""))
        if scope["type"] != "http" or not is_ours(path):
            await self._app(scope, receive, send)
            return
        await _respond(send, await self._attached.answer(_request(scope, path, receive)))

    async def _lifespan(self, scope: Message, receive: Receive, send: Send) -> None:
        startup = await receive()
        pending = [startup]

        async def receive_next() -> Message:
            return pending.pop() if pending else await receive()

        async with AsyncExitStack() as stack:
            try:
                routes = getattr(scope.get("app"), "routes", [])
                _check_free(getattr(route, "path", "") for route in routes)
                await stack.enter_async_context(self._attached.running())
            except SetupError as error:
                await send({"type": "lifespan.startup.failed", "message": str(error)})
                return

            async def send_next(message: Message) -> None:
                if message["type"] != "lifespan.startup.complete":  # the application has ended
                    await stack.aclose()
                await send(message)

            await self._app(scope, receive_next, send_next)


def _check_free(paths: Iterable[str]) -> None:
    """Raise SetupError if the application already has one of the agent's routes."""
    for path in paths:
        if is_ours(path):
            raise SetupError(
                f"the application has a route {path}, which the agent needs. Fix: rename it, or "
                "call `embed`, which listens on its own port"
            )


def _request(scope: Message, path: str, receive: Receive) -> AgentRequest:
    headers = {
        name.lower(): value.decode("utf-8", "surrogateescape") for name, value in scope["headers"]
    }
    query = scope.get("query_string", b"").decode("utf-8", "replace")
    return AgentRequest(
        method=scope["method"],
        path=path,
        query=dict(reversed(parse_qsl(query))),  # of two with the same name the first
        authorization=headers.get(b"authorization"),
        accept=headers.get(b"accept", ""),
        body=_parts(receive),
    )


async def _parts(receive: Receive) -> AsyncIterator[bytes]:
    """Yield the chunks of a body."""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BadRequest("the client closed the connection")
        yield message.get("body", b"")
        more = message.get("more_body", False)


async def _respond(send: Send, answer: AgentResponse) -> None:
    headers = {
        "content-type": answer.content_type,
        "content-length": str(len(answer.body)),
        **answer.headers,
    }
    encoded = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": encoded})
    await send({"type": "http.response.body", "body": answer.body})
