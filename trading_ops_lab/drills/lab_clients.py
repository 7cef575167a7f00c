"""The clients that a drill uses, all from the registry of the running stack."""

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import aiohttp

from trading_ops.cli.local_stack import holder
from trading_ops.clients.alertmanager import Alertmanager
from trading_ops.clients.directory import Directory
from trading_ops.clients.http import Http, session_of
from trading_ops.clients.monitoring import Monitoring
from trading_ops.clients.prometheus import Prometheus
from trading_ops.clients.reconciler import ReconcilerApi
from trading_ops.clients.secrets import SecretFiles
from trading_ops.config.settings import Settings
from trading_ops.config.targets import load_targets
from trading_ops.domain.runbook import Runbook
from trading_ops.domain.target import Kind, Registry, Target
from trading_ops.errors import StackError
from trading_ops.reconciler.runbook_index import load_runbooks
from trading_ops_lab.faults.venue_faults import VenueFaults
from trading_ops_lab.supervisor.client import not_running


@dataclass(frozen=True, kw_only=True)
class Scene:
    """The running local stack, as a drill sees it."""

    settings: Settings
    registry: Registry
    runbooks: Mapping[str, Runbook]
    reconciler: ReconcilerApi
    prometheus: Prometheus
    alertmanager: Alertmanager
    directory: Directory
    session: aiohttp.ClientSession

    def bot(self, name: str | None) -> Target:
        """Return the bot of this name, or the first one.

        Raises:
            StackError: there is no such bot.
        """
        for bot in self.registry.of_kind(Kind.BOT):
            if name in {None, bot.name}:
                return bot
        raise StackError(f"targets.yml has no bot {name!r}" if name else "targets.yml has no bot")

    def faults(self, bot: Target) -> VenueFaults:
        """Return the fault port of the bot's venue.

        Raises:
            StackError: the venue is not a paper venue, so it has none.
        """
        venue = self.registry.find(bot.venue or "")
        if venue is None or venue.faults is None:
            raise StackError(f"venue {bot.venue} has no fault port: drills need the paper venue")
        token = self.settings.secret("faults_token")
        return VenueFaults(Http(self.session, f"http://{venue.faults}", token=token))


@contextlib.asynccontextmanager
async def open_scene(settings: Settings) -> AsyncIterator[Scene]:
    """Connect to the stack that runs with these settings.

    Raises:
        NotRunning: there is none.
    """
    if holder(settings.var) is None:
        raise not_running(settings)
    registry = load_targets(settings.targets_file)
    async with session_of(settings) as session:
        reconciler = registry.one(Kind.RECONCILER).url
        monitoring = Monitoring(session, settings, registry)
        yield Scene(
            settings=settings,
            registry=registry,
            runbooks=load_runbooks(settings.runbooks),
            reconciler=ReconcilerApi(Http(session, reconciler, token=settings.command_token)),
            prometheus=Prometheus(monitoring.prometheus()),
            alertmanager=Alertmanager(monitoring.alertmanagers()[0]),
            directory=Directory(session, registry, SecretFiles(settings)),
            session=session,
        )
