"""What the reconciler's parts share, and the parts themselves."""

import asyncio
from dataclasses import dataclass

import aiohttp

from trading_ops.backup.scheduled import Backups
from trading_ops.clients.directory import Directory
from trading_ops.clients.monitoring import Monitoring
from trading_ops.clients.prometheus import Prometheus
from trading_ops.clients.secrets import SecretFiles
from trading_ops.config.settings import Settings
from trading_ops.domain.target import Kind, Registry, Target
from trading_ops.errors import ConfigError
from trading_ops.holds.agent_monitor import AgentMonitor
from trading_ops.holds.holds import HoldManager
from trading_ops.jobs.scheduler import Scheduler
from trading_ops.notify.outbox import Outbox
from trading_ops.readiness.evaluate import Evaluator
from trading_ops.reconciler.clocks import OnDate
from trading_ops.reconciler.crash_recovery import CrashMarks
from trading_ops.reconciler.lease import Leases
from trading_ops.reconciler.loop import Loop
from trading_ops.reconciler.metrics import ReconcilerMetrics
from trading_ops.reconciler.runbook_index import RunbookIndex
from trading_ops.store.reader import Reader
from trading_ops.store.writer import Writer
from trading_ops.tasks import Tasks
from trading_ops.tls.expiry import Certificates


@dataclass(frozen=True, kw_only=True)
class Dependencies:
    """Dependencies that the other parts share."""

    settings: Settings
    index: RunbookIndex
    metrics: ReconcilerMetrics
    writer: Writer
    reader: Reader
    api_reader: Reader
    """Reader of the HTTP API, so that API requests never delay the loop."""

    leases: Leases
    tasks: Tasks
    session: aiohttp.ClientSession
    crash_marks: CrashMarks
    certificates: Certificates
    name: str
    """Name of this reconciler in targets.yml."""

    wakeup: asyncio.Event

    @property
    def monitoring(self) -> Monitoring:
        """Return the Prometheus and Alertmanager clients."""
        return Monitoring(self.session, self.settings, self.index.registry, name=self.name)

    @property
    def audit_keys(self) -> list[bytes]:
        """Return the key in use, then older ones."""
        return [key.encode() for key in self.settings.accepted_secrets("audit_key")]

    def prometheus(
        self, session: aiohttp.ClientSession | None = None, *, on_date: OnDate | None = None
    ) -> Prometheus:
        """Return the client of Prometheus.

        Args:
            session: by default the shared one.
            on_date: called with the time that Prometheus sends with each response.
        """
        monitoring = self.monitoring.over(session) if session else self.monitoring
        return Prometheus(monitoring.prometheus(on_date=on_date))

    def directory(self, session: aiohttp.ClientSession | None = None) -> Directory:
        """Return the clients of the targets.

        Args:
            session: by default the shared one.
        """
        count = self.metrics.agents.freqtrade_requests
        for target in self.index.registry.of_kind(Kind.FREQTRADE):
            count.labels(target.name)
        return Directory(
            session or self.session,
            self.index.registry,
            SecretFiles(self.settings),
            on_freqtrade_request=lambda name: count.labels(name).inc(),
        )


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The parts that run, for the HTTP application."""

    loop: Loop
    scheduler: Scheduler
    outbox: Outbox
    backups: Backups
    holding: HoldManager
    agent_monitor: AgentMonitor
    readiness: Evaluator


def own_entry(settings: Settings, registry: Registry) -> Target:
    """Return this reconciler's entry in targets.yml.

    Raises:
        ConfigError: the setting names no reconciler.
    """
    if not settings.reconciler:
        return registry.one(Kind.RECONCILER)
    found = registry.find(settings.reconciler)
    if found is None or found.kind is not Kind.RECONCILER:
        names = ", ".join(target.name for target in registry.of_kind(Kind.RECONCILER))
        problem = f"no reconciler {settings.reconciler!r} in targets.yml"
        raise ConfigError("settings", "reconciler", problem, f"one of {names}")
    return found
