"""Starts, runs and stops the stack, for `trading-ops up`."""

import asyncio
import contextlib
import dataclasses
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence

import aiohttp
from aiohttp import web

from trading_ops import clock, logs
from trading_ops.agent.fence import FenceKeeper
from trading_ops.bounded_site import BoundedSite
from trading_ops.cli.exporter_config import units_file
from trading_ops.cli.local_stack import address_file
from trading_ops.clients.http import session_of
from trading_ops.clients.monitoring import Monitoring
from trading_ops.config.last_good import keep_last_good
from trading_ops.config.settings import Settings
from trading_ops.config.targets import load_targets, split_address
from trading_ops.domain.target import Kind, Registry
from trading_ops.errors import ConfigError
from trading_ops.node.scaled import Scaled
from trading_ops.reconciler.runbook_index import load_runbooks
from trading_ops_lab.supervisor.control import build
from trading_ops_lab.supervisor.direct_alerts import Alarm, watched
from trading_ops_lab.supervisor.layout import lay_out, unwritable
from trading_ops_lab.supervisor.lock import only_stack
from trading_ops_lab.supervisor.orphans import adoptable, end_leftovers
from trading_ops_lab.supervisor.ports import check_port, check_ports
from trading_ops_lab.supervisor.process import Process
from trading_ops_lab.supervisor.processes import processes
from trading_ops_lab.supervisor.releases import Releases
from trading_ops_lab.supervisor.supervisor import Supervisor

_log = logs.get(__name__)

Listener = Callable[[Supervisor], None]

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(settings: Settings, *, on_change: Listener, on_ready: Listener) -> None:
    """Start the stack, run it until it is asked to stop, and stop it.

    Must be called in the main thread. SIGTERM, SIGINT, SIGHUP and the API's `/shutdown` make it
    drain; a second signal kills the remaining processes.

    Args:
        settings: the paths and addresses.
        on_change: called after every change of a process's state.
        on_ready: called once, when all processes are ready.

    Raises:
        TradingOpsError: something could not be started; everything is stopped again.
    """
    began = clock.monotonic()
    registry = load_targets(settings.targets_file)
    _check_for_the_stack(settings, registry)
    plans = processes(settings, registry)
    _check_what_is_read_later(settings, registry)
    # Files of the stack and its processes are private to this user.
    os.umask(0o077)
    with only_stack(settings.var), log_to_file(settings):
        # First the supervisor's own port: if a supervisor of another folder has it,
        # nothing may be changed.
        check_port(registry.one(Kind.SUPERVISOR))
        releases = Releases(settings.var / "units")
        plans = tuple(map(releases.chosen, plans))
        survivors = adoptable(settings.var, plans)
        end_leftovers(settings.var, keep=survivors.values())
        check_ports(registry, adopted=survivors)
        lay_out(settings, registry)
        keep_last_good(settings)
        _log.info("stack_prepared", seconds=round(clock.monotonic() - began, 3))
        stack = _Stack(settings, registry, plans, survivors)
        asyncio.run(stack.live(on_change, on_ready))


def _check_for_the_stack(settings: Settings, registry: Registry) -> None:
    """Check for the targets that a local stack needs and a production registry may lack.

    Raises:
        ConfigError: a target is missing.
    """
    for kind in (Kind.SUPERVISOR, Kind.MAIL):
        if not registry.of_kind(kind):
            problem = f"there is no target of kind {kind}, which the local stack needs"
            raise ConfigError(str(settings.targets_file), "targets", problem, "add one")


def _check_what_is_read_later(settings: Settings, registry: Registry) -> None:
    """Read what the reconciler reads at startup: report errors before anything is started.

    Raises:
        ConfigError: a runbook, or the database's password file, is invalid.
    """
    if any(target.service for target in registry.of_kind(Kind.RECONCILER)):
        load_runbooks(settings.runbooks)
        settings.database_url  # noqa: B018 - to read it is the check


@contextlib.contextmanager
def log_to_file(settings: Settings) -> Iterator[None]:
    """Send this process's log to a file; the terminal is for the operator.

    Raises:
        SetupError: the file cannot be written.
    """
    try:
        settings.logs.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(settings.logs, error) from error
    policy = dataclasses.replace(settings.log_policy, folder=settings.logs, name="supervisor")
    logs.configure("supervisor", policy=policy)
    try:
        yield
    finally:
        logs.configure("supervisor", level=settings.log_level)


class _Stack:
    """The supervisor with its API, its signals and its listeners, inside one event loop."""

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        plans: Sequence[Process],
        survivors: Mapping[str, str],
    ) -> None:
        self._settings = settings
        self._registry = registry
        self._address = registry.one(Kind.SUPERVISOR).address
        self._plans = plans
        self._survivors = survivors

    async def live(self, on_change: Listener, on_ready: Listener) -> None:
        """Start all, wait for the stop request, drain; also drains if the start fails."""
        async with session_of(self._settings) as session:
            supervisor = Supervisor(
                self._plans,
                folder=self._settings.root,
                log_folder=self._settings.logs,
                var=self._settings.var,
                record=units_file(self._settings),
                session=session,
                survivors=self._survivors,
            )
            supervisor.listeners.append(lambda: on_change(supervisor))
            _listen_to_signals(supervisor)
            async with self._api(supervisor):
                try:
                    if await _unless_stopped(supervisor):
                        on_ready(supervisor)
                        async with self._alarm(session):
                            await supervisor.asked_to_stop.wait()
                finally:
                    await supervisor.drain()

    @contextlib.asynccontextmanager
    async def _alarm(self, session: aiohttp.ClientSession) -> AsyncIterator[None]:
        alertmanagers = Monitoring(session, self._settings, self._registry).alertmanagers()
        asked = watched(self._settings, self._registry)
        alarm = asyncio.create_task(Alarm(session, asked, alertmanagers).run(), name="alarm")
        try:
            yield
        finally:
            alarm.cancel()
            await asyncio.wait({alarm})

    @contextlib.asynccontextmanager
    async def _api(self, supervisor: Supervisor) -> AsyncIterator[None]:
        folder = self._settings.var / "supervisor"
        keeper = FenceKeeper(folder / "fence.json")
        scaled = Scaled(folder / "scaled.json", {unit.name: unit for unit in supervisor})
        application = build(
            supervisor,
            keeper,
            self._settings.secret("supervisor_token"),
            scaled=scaled,
            releases=Releases(self._settings.var / "units"),
            two_person_approval=self._settings.two_person_approval,
        )
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        try:
            host, port = split_address(self._address)
            await BoundedSite(runner, host, port).start()
            address_file(self._settings.var).write_text(f"{host}:{port}\n", encoding="ascii")
            async with scaled.restoring():
                yield
        finally:
            await runner.cleanup()


async def _unless_stopped(supervisor: Supervisor) -> bool:
    """Start everything; return False if a stop was requested before everything was ready."""
    starting = asyncio.create_task(supervisor.start())
    stopping = asyncio.create_task(supervisor.asked_to_stop.wait())
    try:
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
        return starting.done()
    finally:
        for task in (starting, stopping):
            task.cancel()
        await asyncio.wait({starting, stopping})


def _listen_to_signals(supervisor: Supervisor) -> None:
    def asked() -> None:
        if supervisor.asked_to_stop.is_set():
            supervisor.kill()
        supervisor.asked_to_stop.set()

    for number in STOP_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, asked)
