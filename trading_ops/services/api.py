"""The HTTP API of an executor: the state of its units, and requests to restart and stop them.

One bearer token. The local stack's supervisor and the node process serve the same routes, so that
the reconciler has one client for both.
"""

import hmac
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Generic, TypeVar

import msgspec
from aiohttp import web
from prometheus_client import CollectorRegistry, Counter

from trading_ops import logs
from trading_ops.agent.fence import StaleFence
from trading_ops.backoff import Seldom
from trading_ops.bounded_site import trust
from trading_ops.errors import SetupError, StackError
from trading_ops.instrument.exposition import Exposition
from trading_ops.instrument.families import counter
from trading_ops.services.executor import (
    Executor,
    Fence,
    OtherIncarnation,
    RestartRequest,
    StopRequest,
    Unit,
)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_log = logs.get(__name__)

HEALTHY = "/-/healthy"
"""The one path that needs no token."""

LONGEST_PATH = 200
"""Maximum characters of a refused request's path in the log."""

REGISTRY = web.AppKey("registry", CollectorRegistry)

U = TypeVar("U", bound=Unit)


class FenceRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a request to raise a fence."""

    fence: Fence


class UnitsApi(Generic[U]):
    """The routes of units."""

    def __init__(
        self,
        executor: Executor,
        find: Callable[[str], U | None],
        describe: Callable[[U], Mapping[str, Any]],
    ) -> None:
        self._executor = executor
        self._find = find
        self._describe = describe

    def routes(self) -> list[web.RouteDef]:
        """Return the routes for one unit and for attempts."""
        return [
            web.get(HEALTHY, self.healthy),
            web.post("/processes/{unit}/restart", self.restart),
            web.post("/processes/{unit}/fence", self.fence),
            web.post("/processes/{unit}/start", self.start),
            web.post("/processes/{unit}/stop", self.stop),
            web.get("/attempts/{id}", self.attempt),
        ]

    async def healthy(self, request: web.Request) -> web.Response:
        """Export the count of refused requests; `up` in Prometheus shows that this loop runs."""
        exposition = Exposition(request.app[REGISTRY])
        body, content_type = exposition.everything(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def restart(self, request: web.Request) -> web.Response:
        """Restart one run of a unit."""
        unit = self.unit(request)
        body = msgspec.json.decode(await request.read(), type=RestartRequest)
        return web.json_response(await self._executor.restart(unit, body))

    async def fence(self, request: web.Request) -> web.Response:
        """Refuse older senders from now on."""
        unit = self.unit(request)
        wanted = msgspec.json.decode(await request.read(), type=FenceRequest)
        highest = await self._executor.raise_fence(unit, wanted.fence)
        return web.json_response({"highest": highest})

    async def start(self, request: web.Request) -> web.Response:
        """Start a unit for an operator."""
        unit = self.unit(request)
        await self._executor.start(unit)
        return web.json_response(self._describe(unit))

    async def stop(self, request: web.Request) -> web.Response:
        """Stop one run for the reconciler, which names it, or a unit for an operator."""
        unit = self.unit(request)
        if raw := await request.read():
            body = msgspec.json.decode(raw, type=StopRequest)
            return web.json_response(await self._executor.stop_life(unit, body))
        await self._executor.stop(unit)
        return web.json_response(self._describe(unit))

    async def attempt(self, request: web.Request) -> web.Response:
        """Return the outcome of an attempt."""
        answer = self._executor.answer(request.match_info["id"])
        if answer is None:
            raise web.HTTPNotFound(text="unknown attempt")
        return web.json_response(answer)

    def unit(self, request: web.Request) -> U:
        """Return the unit in the path.

        Raises:
            HTTPNotFound: there is no such unit.
        """
        unit = self._find(request.match_info["unit"])
        if unit is None:
            raise web.HTTPNotFound(text="unknown unit")
        return unit


def application(token: str) -> web.Application:
    """Return an application without routes that requires the token and explains errors."""
    registry = CollectorRegistry()
    refused = counter("trading_ops_node_refused_total", registry)
    built = web.Application(middlewares=[_requires(token, refused), _explains_errors])
    built[REGISTRY] = registry
    return built


def _requires(token: str, refused: Counter) -> Any:
    expected = f"Bearer {token}".encode()
    detail = Seldom()

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path == HEALTHY:
            return await handler(request)
        given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(given, expected):
            if given:  # without one it may be a browser
                refused.inc()
                if detail.is_due(str(request.remote)):
                    path = request.path[:LONGEST_PATH]
                    _log.warning("auth_refused", peer=request.remote, path=path)
            return web.json_response({"error": "unauthorized"}, status=401)
        trust(request)
        return await handler(request)

    return check


@web.middleware
async def _explains_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Map our errors to HTTP responses that a caller can distinguish."""
    try:
        return await handler(request)
    except msgspec.DecodeError as error:  # ValidationError too
        return web.json_response({"error": "bad_request", "detail": str(error)}, status=422)
    except StaleFence as error:
        return web.json_response({"error": "stale_fence", "highest": error.highest}, status=409)
    except OtherIncarnation as error:
        body = {"error": "other_incarnation", "incarnation": error.current}
        return web.json_response(body, status=409)
    except (StackError, SetupError, OSError) as error:
        return web.json_response({"error": "unavailable", "detail": str(error)}, status=503)
    except web.HTTPException as error:
        return web.json_response({"error": error.text or error.reason}, status=error.status)
