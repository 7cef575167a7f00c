"""The agent's HTTP API: authentication, routes and answers."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from aiohttp import web

from trading_ops.agent.attempts import Attempts
from trading_ops.agent.auth import AgentTokens
from trading_ops.agent.commands import BadRequest, Command, parse_fence, parse_request
from trading_ops.agent.disk import DiskThread
from trading_ops.agent.fence import FenceKeeper, StaleFence
from trading_ops.agent.journal import PAGE, EventJournal
from trading_ops.bounded_site import trust
from trading_ops.instrument import Exposition, View
from trading_ops.instrument.bearer import bearer_is_one_of
from trading_ops.redaction import redact

BODY_LIMIT = 64 * 1024
"""Bytes; a command is some hundred."""

READ_SECONDS = 5.0
"""Within which a body must have arrived: a slow sender must not hold a connection for ever."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_logger = logging.getLogger(__name__)


class Server:
    """Builds the application; knows nothing of threads."""

    def __init__(
        self,
        *,
        name: str,
        exposition: Exposition,
        report: Callable[[], dict[str, Any]],
        commands: Mapping[str, Command],
        attempts: Attempts,
        keeper: FenceKeeper,
        disk: DiskThread,
        events: EventJournal,
        metrics_token: str,
        agent_tokens: AgentTokens,
        on_refused: Callable[[], None],
        read_seconds: float = READ_SECONDS,
    ) -> None:
        """Serve these.

        Args:
            name: of the bot; fences are stored under it.
            exposition: of the bot's metrics.
            report: returns the answer to GET /health, without waiting.
            commands: by name.
            attempts: runs them.
            keeper: of fences and answers.
            disk: writes to disk.
            events: of the bot.
            metrics_token: may read metrics and health.
            agent_tokens: may do everything.
            on_refused: called for a request with a wrong token.
            read_seconds: within which a body must have arrived.
        """
        self._name = name
        self._exposition = exposition
        self._report = report
        self._commands = commands
        self._attempts = attempts
        self._keeper = keeper
        self._disk = disk
        self._events = events
        self._metrics_token = metrics_token
        self._agent_tokens = agent_tokens
        self._on_refused = on_refused
        self._read_seconds = read_seconds

    def application(self) -> web.Application:
        """Return the application with all routes."""
        app = web.Application(client_max_size=BODY_LIMIT, middlewares=[_errors_as_json])
        app.router.add_get("/metrics", self._for_readers(self._metrics))
        app.router.add_get("/metrics/vital", self._for_readers(self._vital))
        app.router.add_get("/health", self._for_readers(self._health))
        app.router.add_get("/events", self._guarded(self._kept_events))
        app.router.add_post("/commands/{name}", self._guarded(self._command))
        app.router.add_get("/attempts/{id}", self._guarded(self._attempt))
        app.router.add_post("/fence", self._guarded(self._fence))
        return app

    def _for_readers(self, handler: Handler) -> Handler:
        return self._guarded(handler, self._metrics_token)

    def _guarded(self, handler: Handler, *others: str) -> Handler:
        """Require one of the agent's current tokens, or one of these others."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            tokens = (*others, *self._agent_tokens.accepted)
            if not bearer_is_one_of(request.headers.get("Authorization"), tokens):
                if "Authorization" in request.headers:  # without one it may be a browser
                    self._on_refused()
                return _refuse(401, "unauthorized", "a valid bearer token is needed")
            trust(request)
            return await handler(request)

        return guarded

    async def _metrics(self, request: web.Request) -> web.Response:
        without = request.query.get("exclude") == "vital"
        return await self._exposed(request, View.WITHOUT_VITAL if without else View.EVERYTHING)

    async def _vital(self, request: web.Request) -> web.Response:
        return await self._exposed(request, View.VITAL)

    async def _exposed(self, request: web.Request, view: View) -> web.Response:
        # In slices: this thread must not keep the GIL from the bot's loop.
        accept = request.headers.get("Accept", "")
        body, content_type = await self._exposition.sliced(view, accept)
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def _health(self, _request: web.Request) -> web.Response:
        return _as_json(self._report())

    async def _kept_events(self, request: web.Request) -> web.Response:
        try:
            after = int(request.query.get("after", "0"))
            limit = int(request.query.get("limit", str(PAGE)))
        except ValueError as error:
            raise BadRequest("`after` and `limit` must be integers") from error
        if not 0 <= after < 2**63:
            raise BadRequest("`after` must be from 0 to 2^63 - 1")
        journal = self._events.id
        found = await self._disk.run(partial(self._events.read, after, limit))
        return _as_json({"journal": journal, "events": found})

    async def _command(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        command = self._commands.get(name)
        if command is None:
            return _refuse(404, "unknown_command", f"known are {', '.join(sorted(self._commands))}")
        asked = parse_request(await self._body(request), command)
        answer = await self._attempts.perform(name, command, asked)
        return _as_json(answer)

    async def _attempt(self, request: web.Request) -> web.Response:
        answer = self._attempts.told(request.match_info["id"])
        if answer is None:
            return _refuse(404, "unknown_attempt", "it was not admitted, or is forgotten")
        return _as_json(answer)

    async def _fence(self, request: web.Request) -> web.Response:
        fence = parse_fence(await self._body(request))
        raising = partial(self._keeper.raise_to, self._name, fence)
        return _as_json({"highest": await self._disk.run(raising)})

    async def _body(self, request: web.Request) -> object:
        async with asyncio.timeout(self._read_seconds):
            raw = await request.read()
        try:
            return json.loads(raw)
        except ValueError as error:
            raise BadRequest(f"the body is no JSON: {error}") from error


@web.middleware
async def _errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        return _refuse(error.status, "refused", error.reason)
    except BadRequest as error:
        return _refuse(422, "bad_request", str(error))
    except StaleFence as error:
        return _as_json({"error": "stale_fence", "highest": error.highest}, status=409)
    except TimeoutError:
        return _refuse(408, "too_slow", "the body did not arrive in time")
    except OSError:
        return _refuse(503, "state_not_stored", "the agent cannot write its state")


def _as_json(answer: object, status: int = 200) -> web.Response:
    return web.json_response(answer, status=status, dumps=_dump)


def _dump(answer: object) -> str:
    # Details quote errors, and errors quote what was sent.
    return redact(json.dumps(answer))


def _refuse(status: int, error: str, detail: str) -> web.Response:
    return _as_json({"error": error, "detail": detail}, status=status)
