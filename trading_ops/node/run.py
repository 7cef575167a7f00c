"""The node process: serves until SIGTERM or SIGINT."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Iterable

from aiohttp import web

from trading_ops import logs
from trading_ops.agent.fence import FenceKeeper
from trading_ops.bounded_site import BoundedSite
from trading_ops.config.settings import Settings
from trading_ops.config.targets import is_loopback, split_address
from trading_ops.domain.target import Kind, Manager, Registry, Target
from trading_ops.errors import NoServices, SetupError
from trading_ops.node.backups import NodeBackups
from trading_ops.node.lookout import Lookout
from trading_ops.node.scaled import Scaled
from trading_ops.node.server import build, services_of, units_of
from trading_ops.services import sd_notify
from trading_ops.services.api import REGISTRY
from trading_ops.services.manager import ServiceManager
from trading_ops.services.registry import MANAGERS
from trading_ops.tls.contexts import TlsFiles, serving

_log = logs.get(__name__)


def own_entry(registry: Registry, name: str) -> Target:
    """Return the node with this name; without a name, the only one on a loopback address.

    Other addresses may belong to another host.

    Raises:
        NoServices: there is none, or there are several to choose from.
    """
    nodes = registry.of_kind(Kind.NODE)
    local = [node for node in nodes if is_loopback(split_address(node.address)[0])]
    if not name and len(local) == 1:
        return local[0]
    found = next((node for node in nodes if node.name == name), None)
    if found is None:
        names = ", ".join(node.name for node in nodes) or "none yet: add a target of kind node"
        problem = f"{name!r} is not a node of targets.yml" if name else "no node was named"
        raise NoServices("--name", "", problem, f"one of {names}")
    return found


async def serve(settings: Settings, registry: Registry, name: str, *, backups: bool) -> None:
    """Serve one node's API until SIGTERM or SIGINT.

    Args:
        settings: of this host.
        registry: all targets.
        name: of the node.
        backups: whether to back up `backup_folders`; False: a reconciler of this host does.

    Raises:
        ConfigError: the node, its services or its token are missing.
        SetupError: the address cannot be listened on, or the state folder cannot be written.
    """
    node = own_entry(registry, name)
    targets = services_of(registry, node.name)
    folder = settings.var / "node"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise SetupError(
            f"{folder} cannot be created: {error.strerror or error}. Fix: set TRADING_OPS_VAR "
            "to a folder that this user can write"
        ) from error
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with _managers(settings, targets) as managers:
        units = units_of(targets, managers)
        keeper = FenceKeeper(folder / "fence.json")
        scaled = Scaled(folder / "scaled.json", units)
        application = build(units, keeper, scaled, settings.secret("node_token"))
        kept = NodeBackups(settings, application[REGISTRY], wanted=backups)
        application.add_routes([web.get("/backups", kept.describe)])
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        host, port = split_address(node.address)
        files = TlsFiles(settings.tls, node.name)
        tls = serving(files, every_client=True) if node.tls else None
        try:
            await BoundedSite(runner, host, port, tls=tls).start()
            _log.info("node_started", node=node.name, address=node.address, units=len(units))
            lookout = Lookout(units, application[REGISTRY])
            async with (
                lookout.looking(),
                sd_notify.ready(lookout.works),
                scaled.restoring(),
                kept.running(),
            ):
                await stopping.wait()
        except OSError as error:
            raise SetupError(
                f"cannot listen on {node.address}: {error.strerror or error}. Fix: stop "
                "the process that uses it, or change the node's address in targets.yml"
            ) from error
        finally:
            await runner.cleanup()
    _log.info("node_stopped", node=node.name)


@contextlib.asynccontextmanager
async def _managers(
    settings: Settings, targets: Iterable[Target]
) -> AsyncIterator[dict[Manager, ServiceManager]]:
    """Create the service managers of these targets; their libraries are imported on demand."""
    services = [target.service for target in targets if target.service]
    named = {service.manager for service in services}
    created = {
        manager: connect(settings, services)
        for manager, connect in MANAGERS.items()
        if manager in named
    }
    try:
        yield created
    finally:
        for manager in created.values():
            await manager.close()
