"""The service managers that a node can use. Their libraries are imported on demand.

The local stack's supervisor is not listed: it serves the executor's API itself.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from trading_ops.config.settings import Settings
from trading_ops.domain.target import Manager, Service
from trading_ops.services.manager import ServiceManager


def _systemd(settings: Settings, _services: Iterable[Service]) -> ServiceManager:
    from trading_ops.services.systemd import Systemd  # noqa: PLC0415

    return Systemd(settings.systemd_bus or None)


def _docker(settings: Settings, _services: Iterable[Service]) -> ServiceManager:
    from trading_ops.services.docker import Docker  # noqa: PLC0415

    return Docker(settings.docker_host or None)


def _kubernetes(settings: Settings, _services: Iterable[Service]) -> ServiceManager:
    from trading_ops.services.kubernetes import Kubernetes  # noqa: PLC0415
    from trading_ops.services.kubernetes_api import ACCOUNT, URL, KubernetesApi  # noqa: PLC0415

    url, account = settings.kubernetes_url or URL, settings.kubernetes_account or ACCOUNT
    return Kubernetes(KubernetesApi(url, Path(account)))


def _commands(_settings: Settings, services: Iterable[Service]) -> ServiceManager:
    from trading_ops.services.command import Commands  # noqa: PLC0415

    mine = [service for service in services if service.manager is Manager.COMMAND]
    return Commands({service.unit: service.commands for service in mine})


Connect = Callable[[Settings, Iterable[Service]], ServiceManager]
"""Creates a service manager for the services that this node manages."""

MANAGERS: Mapping[Manager, Connect] = {
    Manager.SYSTEMD: _systemd,
    Manager.DOCKER: _docker,
    Manager.KUBERNETES: _kubernetes,
    Manager.COMMAND: _commands,
}
