"""The agent's HTTP API without a server: authentication, routes and answers.

`server` serves it from the agent's own thread, `attach` from the application's server.
"""

import asyncio
import json
from collections.abc import AsyncIterable, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from trading_ops.agent.attempts import Attempts
from trading_ops.agent.auth import AgentTokens
from trading_ops.agent.commands import BadRequest, Command, parse_fence, parse_request
from trading_ops.agent.disk import DiskThread
from trading_ops.agent.fence import FenceKeeper, StaleFence
from trading_ops.agent.journal import PAGE, EventJournal
from trading_ops.instrument import Exposition, View
from trading_ops.instrument.requests import bearer_is_one_of
from trading_ops.redaction import redact

BODY_LIMIT = 64 * 1024
"""Maximum bytes of a body; a command has a few hundred."""

READ_SECONDS = 5.0
"""Time limit for receiving a body: a slow sender must not hold a connection forever."""

METRICS, VITAL, HEALTH = "/metrics", "/metrics/vital", "/health"
EVENTS, FENCE = "/events", "/fence"
COMMANDS, ATTEMPTS = "/commands/", "/attempts/"

PATHS = frozenset({METRICS, VITAL, HEALTH, EVENTS, FENCE})
PREFIXES = (COMMANDS, ATTEMPTS)


@dataclass(frozen=True, kw_only=True)
class AgentRequest:
    """The parts of an HTTP request that the agent uses."""

    method: str
    path: str
    query: Mapping[str, str]
    authorization: str | None
    accept: str
    body: AsyncIterable[bytes]


@dataclass(frozen=True, kw_only=True)
class AgentResponse:
    """One answer."""

    status: int
    body: bytes
    content_type: str = "application/json; charset=utf-8"
    trusted: bool = False
    """Whether the request had a valid token."""

    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[[AgentRequest], Awaitable[AgentResponse]]


class _TooLarge(Exception):
    """The body of a request exceeds the limit."""


def is_ours(path: str) -> bool:
    """Whether the agent answers requests to a path."""
    return path in PATHS or path.startswith(PREFIXES)


@dataclass(frozen=True, kw_only=True)
class Routes:
    """Answers requests; runs in one event loop."""

    name: str
    """Of the bot; fences are stored under it."""

    exposition: Exposition
    report: Callable[[], dict[str, Any]]
    """Returns the answer to GET /health, without waiting."""

    commands: Mapping[str, Command]
    attempts: Attempts
    keeper: FenceKeeper
    disk: DiskThread
    events: EventJournal
    metrics_token: str
    """May read metrics and health."""

    agent_tokens: AgentTokens
    """May do everything."""

    on_refused: Callable[[], None]
    """Called for each request with a wrong token."""

    read_seconds: float = READ_SECONDS

    async def answer(self, request: AgentRequest) -> AgentResponse:
        """Answer a request. Never raises, whatever the request contains."""
        handler, method, may_read = self._find(request.path)
        if handler is None:
            return _refuse(404, "refused", "Not Found")
        if request.method != method and (request.method, method) != ("HEAD", "GET"):
            return replace(_refuse(405, "refused", "Method Not Allowed"), headers={"Allow": method})
        others = (self.metrics_token,) if may_read else ()
        if not bearer_is_one_of(request.authorization, (*others, *self.agent_tokens.accepted)):
            if request.authorization is not None:  # without one it may be a browser
                self.on_refused()
            return _refuse(401, "unauthorized", "a valid bearer token is needed")
        return replace(await _answered(handler, request), trusted=True)

    def _find(self, path: str) -> tuple[Handler | None, str, bool]:
        """Return the handler of a path, its method, and whether the metrics token suffices."""
        fixed: Mapping[str, tuple[Handler, str, bool]] = {
            METRICS: (self._metrics, "GET", True),
            VITAL: (partial(self._exposed, View.VITAL), "GET", True),
            HEALTH: (self._health, "GET", True),
            EVENTS: (self._kept_events, "GET", False),
            FENCE: (self._fence, "POST", False),
        }
        if path in fixed:
            return fixed[path]
        if path.startswith(COMMANDS):
            return partial(self._command, path.removeprefix(COMMANDS)), "POST", False
        if path.startswith(ATTEMPTS):
            return partial(self._attempt, path.removeprefix(ATTEMPTS)), "GET", False
        return None, "", False

    async def _metrics(self, request: AgentRequest) -> AgentResponse:
        without = request.query.get("exclude") == "vital"
        return await self._exposed(View.WITHOUT_VITAL if without else View.EVERYTHING, request)

    async def _exposed(self, view: View, request: AgentRequest) -> AgentResponse:
        # In slices: this thread must not hold the GIL for long.
        body, content_type = await self.exposition.sliced(view, request.accept)
        return AgentResponse(status=200, body=body, content_type=content_type)

    async def _health(self, _request: AgentRequest) -> AgentResponse:
        return _as_json(self.report())

    async def _kept_events(self, request: AgentRequest) -> AgentResponse:
        try:
            after = int(request.query.get("after", "0"))
            limit = int(request.query.get("limit", str(PAGE)))
        except ValueError as error:
            raise BadRequest("`after` and `limit` must be integers") from error
        if not 0 <= after < 2**63:
            raise BadRequest("`after` must be from 0 to 2^63 - 1")
        journal = self.events.id
        found = await self.disk.run(partial(self.events.read, after, limit))
        return _as_json({"journal": journal, "events": found})

    async def _command(self, name: str, request: AgentRequest) -> AgentResponse:
        command = self.commands.get(name)
        if command is None:
            return _refuse(404, "unknown_command", f"known are {', '.join(sorted(self.commands))}")
        parsed = parse_request(await self._json(request), command)
        return _as_json(await self.attempts.perform(name, command, parsed))

    async def _attempt(self, attempt_id: str, _request: AgentRequest) -> AgentResponse:
        answer = self.attempts.answer_to(attempt_id)
        if answer is None:
            return _refuse(404, "unknown_attempt", "it was not admitted, or its answer was dropped")
        return _as_json(answer)

    async def _fence(self, request: AgentRequest) -> AgentResponse:
        fence = parse_fence(await self._json(request))
        raising = partial(self.keeper.raise_to, self.name, fence)
        return _as_json({"highest": await self.disk.run(raising)})

    async def _json(self, request: AgentRequest) -> object:
        raw = bytearray()
        async with asyncio.timeout(self.read_seconds):
            async for part in request.body:
                raw += part
                if len(raw) > BODY_LIMIT:
                    raise _TooLarge
        try:
            return json.loads(raw)
        except ValueError as error:
            raise BadRequest(f"the body is not JSON: {error}") from error


async def _answered(handler: Handler, request: AgentRequest) -> AgentResponse:
    try:
        return await handler(request)
    except _TooLarge:
        return _refuse(413, "refused", f"a body has at most {BODY_LIMIT} bytes")
    except BadRequest as error:
        return _refuse(422, "bad_request", str(error))
    except StaleFence as error:
        return _as_json({"error": "stale_fence", "highest": error.highest}, status=409)
    except TimeoutError:
        return _refuse(408, "too_slow", "the body did not arrive in time")
    except OSError:
        return _refuse(503, "state_not_stored", "the agent cannot write its state")


def _as_json(answer: object, status: int = 200) -> AgentResponse:
    # Redacted: details quote errors, and errors quote the request.
    return AgentResponse(status=status, body=redact(json.dumps(answer)).encode())


def _refuse(status: int, error: str, detail: str) -> AgentResponse:
    return _as_json({"error": error, "detail": detail}, status=status)
