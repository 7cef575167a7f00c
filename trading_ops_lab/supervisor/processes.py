"""The processes of the stack in the order of their start, derived from settings and registry.

A process starts as soon as its dependencies are ready; independent processes start in parallel.
Prometheus starts last, so that no rule fires because of a startup, and stops first for the same
reason.
"""

import dataclasses
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from trading_ops.config.settings import Settings
from trading_ops.domain.target import Kind, Manager, Registry, Target
from trading_ops.errors import ConfigError, SetupError
from trading_ops_lab.supervisor.layout import config_file
from trading_ops_lab.supervisor.monitoring_passwords import WEB_CONFIG, health_question
from trading_ops_lab.supervisor.process import AskBanner, AskHttp, Process

ORDER = (
    Kind.MAIL,
    Kind.VENUE,
    Kind.BOT,
    Kind.EXPORTER,
    Kind.RECONCILER,
    Kind.ALERTMANAGER,
    Kind.PROMETHEUS,
)

AFTER = {
    Kind.BOT: (Kind.VENUE,),
    Kind.EXPORTER: (Kind.VENUE,),  # so that its first probe succeeds
    Kind.ALERTMANAGER: (Kind.MAIL, Kind.RECONCILER),
    Kind.PROMETHEUS: (Kind.BOT, Kind.EXPORTER, Kind.RECONCILER, Kind.ALERTMANAGER),
}

OURS = (Kind.MAIL, Kind.VENUE, Kind.BOT, Kind.EXPORTER, Kind.RECONCILER)
"""They rotate their log files themselves."""

PROMETHEUS_BINARIES = ("prometheus",)
ALERTMANAGER_BINARIES = ("alertmanager", "prometheus-alertmanager")
"""Upstream's name and Debian's."""

RETENTION = "35d"
RETENTION_SIZE = "10GB"


def processes(settings: Settings, registry: Registry) -> tuple[Process, ...]:
    """Return every process that targets.yml assigns to the supervisor, in start order.

    Raises:
        SetupError: Prometheus or Alertmanager is not installed.
        ConfigError: two targets share a unit.
    """
    build: dict[Kind, Callable[[Settings, Target], Process]] = {
        Kind.MAIL: _mail,
        Kind.VENUE: _venue,
        Kind.BOT: _bot,
        Kind.EXPORTER: _exporter,
        Kind.RECONCILER: _reconciler,
        Kind.ALERTMANAGER: _alertmanager,
        Kind.PROMETHEUS: _prometheus,
    }
    ours = {kind: _supervised(registry, kind) for kind in ORDER}
    plans: list[Process] = []
    for kind in ORDER:
        after = tuple(_unit(target) for earlier in AFTER.get(kind, ()) for target in ours[earlier])
        for target in ours[kind]:
            plan = build[kind](settings, target)
            restarts = target.service.restarts if target.service else plan.restarts
            plans.append(
                dataclasses.replace(
                    plan,
                    after=after,
                    restarts=restarts,
                    environment=_logging(settings, plan.unit) if kind in OURS else (),
                )
            )
    _check_units(plans, str(settings.targets_file))
    return tuple(plans)


def find_binary(names: tuple[str, ...], package: str) -> str:
    """Return the path of the first of these tools that is installed.

    Raises:
        SetupError: none is installed.
    """
    for name in names:
        if found := shutil.which(name):
            return found
    raise SetupError(
        f"{names[0]} is not installed: run `make setup`, or install Debian's package {package}"
    )


def _supervised(registry: Registry, kind: Kind) -> tuple[Target, ...]:
    return tuple(
        target
        for target in registry.of_kind(kind)
        if target.service and target.service.manager is Manager.SUPERVISOR
    )


def _unit(target: Target) -> str:
    return target.service.unit if target.service else target.name


def _check_units(plans: list[Process], where: str) -> None:
    seen: set[str] = set()
    for plan in plans:
        if plan.unit in seen:
            raise ConfigError(
                where, f"unit {plan.unit}", "two targets use it", "give each its own unit"
            )
        seen.add(plan.unit)


def _logging(settings: Settings, unit: str) -> tuple[str, ...]:
    """Return the settings by which a process keeps its log file."""
    values = {
        "DIR": settings.logs,
        "NAME": unit,
        "LEVEL": settings.log_level,
        "FILE_MEGABYTES": settings.log_file_megabytes,
        "FILE_HOURS": settings.log_file_hours,
        "KEPT_DAYS": settings.log_kept_days,
        "FOLDER_MEGABYTES": settings.log_folder_megabytes,
    }
    return tuple(f"TRADING_OPS_LOG_{name}={value}" for name, value in values.items())


def _ours(settings: Settings, target: Target, module: str) -> tuple[str, ...]:
    config = config_file(settings, _unit(target))
    return (sys.executable, "-m", module, "--config", str(config))


def _mail(settings: Settings, target: Target) -> Process:
    return Process(
        unit=_unit(target),
        argv=_ours(settings, target, "trading_ops_lab.mail_sink"),
        address=target.address,
        ready=AskBanner(address=target.address, begins="220 "),
    )


def _venue(settings: Settings, target: Target) -> Process:
    return Process(
        unit=_unit(target),
        argv=_ours(settings, target, "trading_ops_lab.paper.venue"),
        address=target.address,
        # This page of the fault port needs no token, so none is sent.
        ready=AskHttp(url=f"http://{target.faults or target.address}/ready"),
    )


def _bot(settings: Settings, target: Target) -> Process:
    return Process(
        unit=_unit(target),
        argv=_ours(settings, target, "trading_ops_lab.paper.bot"),
        address=target.address,
        ready=AskHttp(
            url=f"http://{target.address}/health",
            token_file=settings.secrets / "metrics_token",
            not_yet={"status": "failing"},
        ),
        records=settings.var / _unit(target) / "bot.db",
    )


def _exporter(settings: Settings, target: Target) -> Process:
    return Process(
        unit=_unit(target),
        argv=_ours(settings, target, "trading_ops.exporter"),
        address=target.address,
        ready=_asks_ready(target),
    )


def _reconciler(settings: Settings, target: Target) -> Process:
    # `env` sets the variables and then becomes the reconciler: same pid, no shell.
    places = {
        "ROOT": settings.root,
        "VAR": settings.var,
        "TARGETS_FILE": settings.targets_file,
        "RUNBOOKS": settings.runbooks,
        "PROMETHEUS_CONFIG": settings.prometheus_config,
        "ALERTMANAGER_CONFIG": settings.alertmanager_config,
        "OBSERVE_ONLY": str(settings.observe_only).lower(),
        "POLL_INTERVAL_SECONDS": settings.poll_interval_seconds,
        "AGENT_UNRESPONSIVE_SECONDS": settings.agent_unresponsive_seconds,
    }
    variables = tuple(f"TRADING_OPS_{name}={value}" for name, value in places.items())
    return Process(
        unit=_unit(target),
        argv=("env", *variables, sys.executable, "-m", "trading_ops.app"),
        address=target.address,
        ready=_asks_ready(target),
    )


def _alertmanager(settings: Settings, target: Target) -> Process:
    folder = settings.var / "alertmanager"
    return Process(
        unit=_unit(target),
        argv=(
            find_binary(ALERTMANAGER_BINARIES, "prometheus-alertmanager"),
            f"--config.file={folder / 'alertmanager.yml'}",
            f"--storage.path={folder / 'data'}",
            f"--web.listen-address={target.address}",
            f"--web.external-url=http://{target.address}/",
            "--cluster.listen-address=",  # one Alertmanager, no gossip port
            *_web_config(settings, folder),
        ),
        address=target.address,
        ready=_asks_monitoring(settings, target),
    )


def _prometheus(settings: Settings, target: Target) -> Process:
    folder = settings.var / "prometheus"
    return Process(
        unit=_unit(target),
        argv=(
            find_binary(PROMETHEUS_BINARIES, "prometheus"),
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--storage.tsdb.retention.time={RETENTION}",
            f"--storage.tsdb.retention.size={RETENTION_SIZE}",
            f"--web.listen-address={target.address}",
            f"--web.external-url=http://{target.address}/",
            # By default a restart of Prometheus resets every `for` below ten minutes.
            "--rules.alert.for-grace-period=1m",
            # By default any web page may read its API. No origin is called `none`.
            "--web.cors.origin=none",
            *_web_config(settings, folder),
        ),
        address=target.address,
        ready=_asks_monitoring(settings, target),
    )


def _web_config(settings: Settings, folder: Path) -> tuple[str, ...]:
    return (f"--web.config.file={folder / WEB_CONFIG}",) if settings.monitoring_passwords else ()


def _asks_ready(target: Target) -> AskHttp:
    return AskHttp(url=f"http://{target.address}/-/ready")


def _asks_monitoring(settings: Settings, target: Target) -> AskHttp:
    return health_question(settings, target, "/-/ready")
