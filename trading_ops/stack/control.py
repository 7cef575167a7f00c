"""The supervisor's HTTP API: what runs, and orders about it. Loopback only, one bearer token."""

import hmac
import os
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from aiohttp import web

from trading_ops.agent.fence import FenceKeeper, StaleFence
from trading_ops.bounded_site import trust
from trading_ops.errors import SetupError, StackError
from trading_ops.stack.orders import Orders, OtherIncarnation, RestartOrder, StopOrder
from trading_ops.stack.releases import Releases
from trading_ops.stack.supervisor import Supervisor
from trading_ops.stack.unit import Unit
from trading_ops.stack.update import UpdateOrder, Updates

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


HEALTHY = "/-/healthy"
"""The one path that needs no token."""


class FenceRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a request to raise a fence."""

    fence: int


def describe(unit: Unit) -> dict[str, Any]:
    """Return what the API tells of a unit."""
    child = unit.child
    return {
        "unit": unit.plan.unit,
        "pid": child.pid if child and unit.running else None,
        "state": unit.state,
        "incarnation": unit.incarnation,
        "started_at": child.started_at if child else None,
        "restarts": unit.restarts,
        "restarts_by": unit.plan.restarts,
        "address": unit.plan.address,
        "log": str(unit.log),
        "exit_code": unit.exit_code,
        "problem": unit.problem,
    }


def overview(supervisor: Supervisor) -> dict[str, Any]:
    """Return what `GET /processes` answers."""
    return {
        "stack": {"pid": os.getpid(), "phase": supervisor.phase},
        "processes": [describe(unit) for unit in supervisor],
    }


def build(
    supervisor: Supervisor, keeper: FenceKeeper, token: str, *, releases: Releases | None = None
) -> web.Application:
    """Return the application; without `releases` no unit can be updated."""
    orders = Orders(supervisor, keeper)
    updates = releases and Updates(supervisor, orders, releases, supervisor.session)
    control = _Control(supervisor, orders, updates or None)
    application = web.Application(middlewares=[_requires(token), _explains_errors])
    application.add_routes(
        [
            web.get(HEALTHY, control.healthy),
            web.get("/processes", control.processes),
            web.post("/processes/{unit}/restart", control.restart),
            web.post("/processes/{unit}/update", control.update),
            web.post("/processes/{unit}/fence", control.fence),
            web.post("/processes/{unit}/start", control.start),
            web.post("/processes/{unit}/stop", control.stop),
            web.get("/attempts/{id}", control.attempt),
            web.post("/shutdown", control.shutdown),
        ]
    )
    return application


class _Control:
    def __init__(self, supervisor: Supervisor, orders: Orders, updates: Updates | None) -> None:
        self._supervisor = supervisor
        self._orders = orders
        self._updates = updates

    async def healthy(self, _request: web.Request) -> web.Response:
        """Answer with an empty exposition: Prometheus' `up` says that this loop turns."""
        return web.Response(headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    async def processes(self, _request: web.Request) -> web.Response:
        return web.json_response(overview(self._supervisor))

    async def restart(self, request: web.Request) -> web.Response:
        unit = self._unit(request)
        order = msgspec.json.decode(await request.read(), type=RestartOrder)
        return web.json_response(await self._orders.restart(unit, order))

    async def update(self, request: web.Request) -> web.Response:
        unit = self._unit(request)
        order = msgspec.json.decode(await request.read(), type=UpdateOrder)
        if self._updates is None:
            raise StackError("this supervisor keeps no releases")
        return web.json_response(await self._updates.begin(unit, order))

    async def fence(self, request: web.Request) -> web.Response:
        unit = self._unit(request)
        wanted = msgspec.json.decode(await request.read(), type=FenceRequest)
        highest = await self._orders.raise_fence(unit, wanted.fence)
        return web.json_response({"highest": highest})

    async def start(self, request: web.Request) -> web.Response:
        unit = self._unit(request)
        await self._orders.start(unit)
        return web.json_response(describe(unit))

    async def stop(self, request: web.Request) -> web.Response:
        unit = self._unit(request)
        if body := await request.read():  # a machine names the life it means; a person need not
            order = msgspec.json.decode(body, type=StopOrder)
            return web.json_response(await self._orders.stop_life(unit, order))
        await self._orders.stop(unit)
        return web.json_response(describe(unit))

    async def attempt(self, request: web.Request) -> web.Response:
        answer = self._orders.answer(request.match_info["id"])
        if answer is None:
            raise web.HTTPNotFound(text="unknown attempt")
        return web.json_response(answer)

    async def shutdown(self, _request: web.Request) -> web.Response:
        self._supervisor.asked_to_stop.set()
        return web.json_response({"phase": "stopping"}, status=202)

    def _unit(self, request: web.Request) -> Unit:
        unit = self._supervisor.find(request.match_info["unit"])
        if unit is None:
            raise web.HTTPNotFound(text="unknown unit")
        return unit


def _requires(token: str) -> Any:
    expected = f"Bearer {token}".encode()

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path == HEALTHY:
            return await handler(request)
        given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(given, expected):
            return web.json_response({"error": "unauthorized"}, status=401)
        trust(request)
        return await handler(request)

    return check


@web.middleware
async def _explains_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn our errors into answers that a caller can tell apart."""
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
