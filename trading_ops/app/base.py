"""What every part of the reconciler is built on."""

import asyncio
from dataclasses import dataclass

import aiohttp

from trading_ops.clients.engines import Engines
from trading_ops.config.settings import Settings
from trading_ops.domain.target import Kind, Registry, Target
from trading_ops.errors import ConfigError
from trading_ops.reconciler.handling import Handling
from trading_ops.reconciler.lease import Lease
from trading_ops.reconciler.metrics import ReconcilerMetrics
from trading_ops.reconciler.runbook_index import Plans
from trading_ops.reconciler.tasks import Tasks
from trading_ops.store.reader import Reader
from trading_ops.store.writer import Writer
from trading_ops.tls.expiry import Certificates


@dataclass(frozen=True, kw_only=True)
class Base:
    """What everything else is built on."""

    settings: Settings
    plans: Plans
    metrics: ReconcilerMetrics
    writer: Writer
    reader: Reader
    asking: Reader
    """The HTTP border's: however much is asked there, nothing of ours waits behind it."""

    lease: Lease
    tasks: Tasks
    session: aiohttp.ClientSession
    handling: Handling
    certificates: Certificates
    name: str
    """Of this reconciler in targets.yml."""

    wakeup: asyncio.Event

    @property
    def engines(self) -> Engines:
        """Return how Prometheus and Alertmanager are asked."""
        return Engines(self.session, self.settings, self.plans.registry, name=self.name)


def own_entry(settings: Settings, registry: Registry) -> Target:
    """Return which target of targets.yml this reconciler is.

    Raises:
        ConfigError: the setting names no reconciler.
    """
    if not settings.reconciler:
        return registry.one(Kind.RECONCILER)
    found = registry.find(settings.reconciler)
    if found is None or found.kind is not Kind.RECONCILER:
        names = ", ".join(one.name for one in registry.of_kind(Kind.RECONCILER))
        problem = f"{settings.reconciler!r} is no reconciler of targets.yml"
        raise ConfigError("settings", "reconciler", problem, f"one of {names}")
    return found
