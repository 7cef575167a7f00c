"""The node's HTTP API over its units."""

import asyncio
from collections.abc import Iterable, Mapping

from aiohttp import web

from trading_ops.agent.fence import FenceKeeper
from trading_ops.domain.target import Manager, Registry, Target
from trading_ops.errors import NoServices
from trading_ops.node.scaled import Scaled, scale_route
from trading_ops.node.unit import NodeUnit
from trading_ops.services.api import UnitsApi, application
from trading_ops.services.executor import Executor
from trading_ops.services.manager import ServiceManager


def services_of(registry: Registry, node: str) -> tuple[Target, ...]:
    """Return the targets whose services a node manages.

    Raises:
        NoServices: there is none.
    """
    found = tuple(target for target in registry if target.service and target.service.node == node)
    if not found:
        fix = f"write `service: {{…, node: {node}}}` in the entries of the targets on its host"
        raise NoServices("targets.yml", f"targets[{node}]", "no service names this node", fix)
    return found


def units_of(
    targets: Iterable[Target], managers: Mapping[Manager, ServiceManager]
) -> dict[str, NodeUnit]:
    """Return a unit for each target, by name."""
    return {
        target.name: NodeUnit(target, managers[target.service.manager])
        for target in targets
        if target.service
    }


def build(
    units: Mapping[str, NodeUnit], keeper: FenceKeeper, scaled: Scaled, token: str
) -> web.Application:
    """Return the application.

    Args:
        units: all managed units, by name.
        keeper: durable storage of fences and attempts.
        scaled: changes resources for a time.
        token: required for every request except the health check.
    """
    executor = Executor(keeper)
    api = UnitsApi(executor, units.get, NodeUnit.describe)

    async def processes(_request: web.Request) -> web.Response:
        described = await asyncio.gather(*(unit.described() for unit in units.values()))
        return web.json_response({"processes": list(described)})

    async def process(request: web.Request) -> web.Response:
        """Query one unit only: the service manager of another one may not answer."""
        return web.json_response(await api.unit(request).described())

    built = application(token)
    built.add_routes(
        [
            *api.routes(),
            web.get("/processes", processes),
            web.get("/processes/{unit}", process),
            scale_route(api, executor, scaled),
        ]
    )
    return built
