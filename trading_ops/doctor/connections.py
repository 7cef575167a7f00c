"""Checks that query every process of an installation."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import timedelta
from functools import partial
from typing import Any

import aiohttp
import msgspec
import yaml

from trading_ops import clock
from trading_ops.clients.directory import Directory
from trading_ops.clients.http import Http, session_of
from trading_ops.clients.monitoring import Monitoring
from trading_ops.clients.node import HostBackups, host_backups
from trading_ops.clients.reconciler import ReconcilerApi
from trading_ops.clients.secrets import SecretFiles
from trading_ops.config.files import load_yaml
from trading_ops.config.settings import Settings
from trading_ops.doctor.backups import check_records_of_node, nodes_with_records
from trading_ops.doctor.check import Check
from trading_ops.doctor.peers import (
    delivery_check,
    flags_check,
    receiver_check,
    rules_check,
    version_check,
)
from trading_ops.domain.target import BOTS, Kind, Registry, Target
from trading_ops.errors import Refused, TradingOpsError

WITHIN = timedelta(seconds=5)
ALIVE = {
    Kind.RECONCILER: "/-/healthy",
    Kind.NODE: "/-/healthy",
    Kind.EXPORTER: "/-/ready",
    Kind.PROMETHEUS: "/-/ready",
    Kind.ALERTMANAGER: "/-/ready",
}
"""Endpoints that need no token."""

UNITS = {
    Kind.RECONCILER: "trading-ops-reconciler",
    Kind.NODE: "trading-ops-node",
    Kind.EXPORTER: "trading-ops-exporter",
    Kind.PROMETHEUS: "prometheus",
    Kind.ALERTMANAGER: "prometheus-alertmanager",
}


class Connections:
    """All queries, over one session."""

    def __init__(
        self, settings: Settings, registry: Registry, session: aiohttp.ClientSession
    ) -> None:
        self._settings = settings
        self._registry = registry
        self._session = session
        self._monitoring = Monitoring(session, settings, registry)
        self._directory = Directory(session, registry, SecretFiles(settings))

    def http(self, target: Target, token: str = "") -> Http:
        """Return the HTTP client for a target."""
        if target.kind is Kind.PROMETHEUS:
            return self._monitoring.prometheus(within=WITHIN)
        if target.kind is Kind.ALERTMANAGER:
            members = self._registry.of_kind(Kind.ALERTMANAGER)
            reached = self._monitoring.alertmanagers(within=WITHIN)
            return reached[min(members.index(target), len(reached) - 1)]
        return Http(self._session, target.url, token=token, within=WITHIN)

    async def alive(self, target: Target) -> str:
        """Return a short state of a target.

        Raises:
            TradingOpsError: it does not answer, or gives an invalid answer.
        """
        if target.kind in BOTS:
            health = await self._directory.bot(target).health()
            if health.status != "ok":
                raise _Unhealthy(
                    unhealthy(health.status, {n: part.up for n, part in health.components.items()})
                )
            return healthy(health.state)
        await self.http(target).get(ALIVE[target.kind])
        return "ready"

    async def prometheus(self, target: Target, wanted: frozenset[str]) -> AsyncIterator[Check]:
        """Check its version, whether it has our rules, and whether it sends alerts.

        Raises:
            TradingOpsError: it does not answer.
        """
        http = self.http(target)
        build = _data(await http.get("/api/v1/status/buildinfo"))
        yield version_check("Prometheus", str(build.get("version", "")))
        groups = (
            _data(await http.get("/api/v1/rules", params={"type": "alert"})).get("groups") or ()
        )
        loaded = {str(rule.get("name")) for group in groups for rule in group.get("rules") or ()}
        yield rules_check(wanted, loaded, str(self._settings.prometheus_config / "rules"))
        active = _data(await http.get("/api/v1/alertmanagers")).get("activeAlertmanagers") or ()
        registered = [target.url for target in self._registry.of_kind(Kind.ALERTMANAGER)]
        yield delivery_check([str(alertmanager.get("url")) for alertmanager in active], registered)
        with contextlib.suppress(TradingOpsError):  # a compatible server may not show any
            yield flags_check(_data(await http.get("/api/v1/status/flags")))

    async def alertmanager(self, target: Target) -> AsyncIterator[Check]:
        """Check its version, and whether it has our receiver.

        Raises:
            TradingOpsError: it does not answer.
        """
        status = _object(await self.http(target).get("/api/v2/status"))
        yield version_check("Alertmanager", str(status.get("versionInfo", {}).get("version", "")))
        original = str(status.get("config", {}).get("original", ""))
        config: Any = None
        with contextlib.suppress(yaml.YAMLError):
            config = load_yaml(original)
        names = [receiver.strip() for receiver in self._settings.alertmanager_receivers.split(",")]
        yield receiver_check(config, names)

    async def automation(self, target: Target) -> AsyncIterator[Check]:
        """Check whether the reconciler accepts our token, and whether it remediates.

        Raises:
            TradingOpsError: it does not answer, or refuses the token.
        """
        status = await ReconcilerApi(self.http(target, self._settings.command_token)).status()
        name = "automation"
        if status.pause is not None:
            detail = f"paused by {status.pause.owner}: {status.pause.reason}"
            fix = "`trading-ops automation resume`"
            yield Check(name=name, ok=True, warning=True, detail=detail, fix=fix)
        elif self._settings.observe_only:
            fix = "set observe_only: false in settings.yml once its decisions are right"
            detail = "observe-only: decisions are recorded, no action is taken"
            yield Check(name=name, ok=True, warning=True, detail=detail, fix=fix)
        else:
            detail = f"running, {status.incidents_open} open incidents"
            yield Check(name=name, ok=True, detail=detail)

    async def service(self, target: Target) -> str:
        """Return the state of a target's process according to its service manager.

        Raises:
            TradingOpsError: the node or the service manager does not answer.
        """
        process = await self._directory.unit(target).process()
        return f"{process.state}, incarnation {process.incarnation or 'none'}"

    async def backups(self, node: Target) -> HostBackups:
        """Return the backups of a node's host.

        Raises:
            TradingOpsError: it does not answer, or refuses the request.
        """
        return await host_backups(self.http(node, SecretFiles(self._settings).node_token()))


class _Unhealthy(TradingOpsError):
    """A bot reports that it is not healthy."""


def healthy(trading_state: str) -> str:
    """Return how a bot that works is shown."""
    return f"ok, trading is {trading_state}"


def unhealthy(status: str, components: Mapping[str, bool]) -> str:
    """Return how a bot that is not healthy is shown, with the components that do not work."""
    down = [name for name, works in components.items() if not works]
    return f"{status} ({', '.join(down) or 'no component is down'})"


@contextlib.asynccontextmanager
async def connections(settings: Settings, registry: Registry) -> AsyncIterator[Connections]:
    """Open a session that sends tokens only to processes of trusted users."""
    async with session_of(settings) as session:
        yield Connections(settings, registry, session)


async def check_connections(
    settings: Settings, registry: Registry, wanted: frozenset[str]
) -> AsyncIterator[Check]:
    """Yield a check for each process and each connection between them.

    Args:
        settings: valid settings.
        registry: targets to query.
        wanted: the alerts that Prometheus must have.
    """
    async with connections(settings, registry) as ask:
        for target in filter(_can_be_queried, registry):
            name = f"{target.kind} {target.name}"
            yield await _check(name, partial(ask.alive, target), _fix(target))
        for target in (target for target in registry if target.service):
            name = f"service of {target.name}"
            fix = "start the node of its host, and see docs/service-managers.md"
            yield await _check(name, partial(ask.service, target), fix)
        async for check in _records_of_nodes(ask, settings, registry):
            yield check
        for target in registry.of_kind(Kind.PROMETHEUS):
            async for check in _all(ask.prometheus(target, wanted), target.name):
                yield check
        for target in registry.of_kind(Kind.ALERTMANAGER):
            async for check in _all(ask.alertmanager(target), target.name):
                yield check
        async for check in _all(ask.automation(registry.one(Kind.RECONCILER)), "automation"):
            yield check


async def _records_of_nodes(
    ask: Connections, settings: Settings, registry: Registry
) -> AsyncIterator[Check]:
    for name, bots in nodes_with_records(settings, registry).items():
        if (node := registry.find(name)) is not None:
            yield await _records_of_node(ask, node, bots)


async def _records_of_node(ask: Connections, node: Target, bots: list[str]) -> Check:
    try:
        found = await ask.backups(node)
    except Refused:  # an older release, which takes none; or the token, which its services report
        found = HostBackups()
    except TradingOpsError as error:
        fix = "correct the checks above first"
        return Check(name=f"records of bots of {node.name}", ok=False, detail=str(error), fix=fix)
    return check_records_of_node(node.name, bots, found, clock.now())


def _can_be_queried(target: Target) -> bool:
    return target.kind in ALIVE or target.kind in BOTS


async def _check(name: str, ask: Callable[[], Awaitable[str]], fix: str) -> Check:
    try:
        return Check(name=name, ok=True, detail=await ask())
    except TradingOpsError as error:
        return Check(name=name, ok=False, detail=str(error), fix=fix)


async def _all(checks: AsyncIterator[Check], name: str) -> AsyncIterator[Check]:
    """Yield the checks; a process that does not answer is reported once, by its own check."""
    try:
        async for check in checks:
            yield check
    except TradingOpsError as error:
        fix = "correct the checks above first"
        yield Check(name=name, ok=False, detail=str(error), fix=fix)


def _fix(target: Target) -> str:
    unit = UNITS.get(target.kind)
    if unit is None:
        return f"read the log of {target.name}, then `trading-ops incidents`"
    return f"systemctl status {unit}, or correct the address in targets.yml"


def _object(body: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise _Unhealthy(f"invalid response: {error}") from error


def _data(body: bytes) -> dict[str, Any]:
    data = _object(body).get("data")
    return data if isinstance(data, dict) else {}
