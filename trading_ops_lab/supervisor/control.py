"""The supervisor's HTTP API: that of every executor, updates, and stack shutdown."""

import os
from typing import Any

import msgspec
from aiohttp import web

from trading_ops.agent.fence import FenceKeeper
from trading_ops.errors import StackError
from trading_ops.node.scaled import Scaled, scale_route
from trading_ops.services.api import UnitsApi, application
from trading_ops.services.executor import Executor, RestartRequest
from trading_ops_lab.supervisor.releases import Releases
from trading_ops_lab.supervisor.supervisor import Supervisor
from trading_ops_lab.supervisor.unit import Unit
from trading_ops_lab.supervisor.update import UpdateRequest, Updates


def describe(unit: Unit) -> dict[str, Any]:
    """Return the API's view of a unit."""
    child = unit.child
    return {
        "unit": unit.plan.unit,
        "pid": child.pid if child and unit.running else None,
        "state": unit.state,
        "incarnation": unit.incarnation,
        "reported": unit.incarnation,
        "started_at": child.started_at if child else None,
        "restarts": unit.restarts,
        "restarts_by": unit.plan.restarts,
        "address": unit.plan.address,
        "log": str(unit.log),
        "exit_code": unit.exit_code,
        "problem": unit.problem,
    }


def overview(supervisor: Supervisor) -> dict[str, Any]:
    """Return the answer to `GET /processes`."""
    return {
        "stack": {"pid": os.getpid(), "phase": supervisor.phase},
        "processes": [describe(unit) for unit in supervisor],
    }


def build(
    supervisor: Supervisor,
    keeper: FenceKeeper,
    token: str,
    *,
    scaled: Scaled | None = None,
    releases: Releases | None = None,
    two_person_approval: bool = False,
) -> web.Application:
    """Return the application.

    Args:
        supervisor: runs the units.
        keeper: stores fences and answers.
        token: required by every request except the health check.
        scaled: changes CPU weights for a time; without it no unit can be scaled.
        releases: the release of each unit; without it no unit can be updated.
        two_person_approval: refuse an operator's own request here: no one can approve it.
    """
    executor = Executor(keeper, check_open=supervisor.check_open)
    updates = releases and Updates(supervisor, executor, releases, supervisor.session)
    units = UnitsApi(executor, supervisor.find, describe)
    control = _Control(supervisor, units, updates or None, two_person_approval=two_person_approval)
    built = application(token)
    built.add_routes(
        [
            web.post("/processes/{unit}/restart", control.restart),
            *units.routes(),
            web.get("/processes", control.processes),
            web.get("/processes/{unit}", control.process),
            web.post("/processes/{unit}/update", control.update),
            web.post("/shutdown", control.shutdown),
        ]
    )
    if scaled is not None:
        built.add_routes([scale_route(units, executor, scaled)])
    return built


class _Control:
    def __init__(
        self,
        supervisor: Supervisor,
        units: UnitsApi[Unit],
        updates: Updates | None,
        *,
        two_person_approval: bool,
    ) -> None:
        self._supervisor = supervisor
        self._units = units
        self._updates = updates
        self._two_person_approval = two_person_approval

    async def processes(self, _request: web.Request) -> web.Response:
        return web.json_response(overview(self._supervisor))

    async def process(self, request: web.Request) -> web.Response:
        return web.json_response(describe(self._units.unit(request)))

    async def restart(self, request: web.Request) -> web.Response:
        self._units.unit(request)
        body = msgspec.json.decode(await request.read(), type=RestartRequest)
        if self._two_person_approval and body.fence is None:
            raise web.HTTPForbidden(
                text="settings.yml has `two_person_approval: true`: a restart needs another "
                "operator's approval. Fix: request it while the reconciler runs, with "
                "`trading-ops restart`"
            )
        return await self._units.restart(request)

    async def update(self, request: web.Request) -> web.Response:
        unit = self._units.unit(request)
        if self._two_person_approval:
            raise web.HTTPForbidden(
                text="settings.yml has `two_person_approval: true`, and an update cannot be "
                "approved. Fix: agree with another operator, set it to false and restart the stack "
                "for the update"
            )
        body = msgspec.json.decode(await request.read(), type=UpdateRequest)
        if self._updates is None:
            raise StackError("this supervisor does not manage releases")
        return web.json_response(await self._updates.begin(unit, body))

    async def shutdown(self, _request: web.Request) -> web.Response:
        self._supervisor.asked_to_stop.set()
        return web.json_response({"phase": "stopping"}, status=202)
