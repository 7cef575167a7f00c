"""Creates the var folder: everything that the processes find when they start.

The committed configurations are used as they are, through symbolic links. A copy is made only if
the registry changes an address in Alertmanager's file, or a dead man's switch is configured.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path

from trading_ops import durable
from trading_ops.clients.secrets import agent_token_file
from trading_ops.config.settings import Settings
from trading_ops.domain.target import Kind, Registry
from trading_ops.errors import SetupError
from trading_ops.project.discovery import write_discovery
from trading_ops.project.monitoring_configs import alertmanager_yml, prometheus_yml
from trading_ops.tls.contexts import AUTHORITY
from trading_ops_lab.supervisor.configs import bot_keys, process_configs
from trading_ops_lab.supervisor.dead_man_switch import with_switch
from trading_ops_lab.supervisor.monitoring_passwords import users_of, write_passwords
from trading_ops_lab.supervisor.tokens import write_secrets

WEBHOOK_DEFAULT = "127.0.0.1:8431"
SMARTHOST_DEFAULT = "127.0.0.1:8451"
"""The two addresses in the committed alertmanager.yml."""

RECEIVER = "reconciler"

MANUAL_KEY = "manual"
"""Owner of the venue key for manual clients."""


def lay_out(settings: Settings, registry: Registry) -> None:
    """Write folders, secrets, discovery files, links and the processes' own configurations.

    Idempotent; existing data and secrets are kept.

    Raises:
        SetupError: the folder cannot be written, or a committed configuration is missing.
    """
    try:
        _folders(settings, registry)
        owners = tuple(dict.fromkeys((*bot_keys(registry).values(), MANUAL_KEY)))
        agents = [agent_token_file(settings, bot) for bot in registry.of_kind(Kind.BOT)]
        write_secrets(settings.secrets, owners, agents)
        write_passwords(settings)
        _prometheus(settings, registry)
        _alertmanager(settings, registry)
        for unit, config in process_configs(settings, registry).items():
            durable.write_if_changed(
                config_file(settings, unit), json.dumps(config, indent=2) + "\n"
            )
    except OSError as error:
        raise unwritable(settings.var, error) from error


def config_file(settings: Settings, unit: str) -> Path:
    """Return the path of a process's own JSON configuration."""
    return settings.var / "config" / f"{unit}.json"


def state_folder(settings: Settings, unit: str) -> Path:
    """Return the state folder of a process."""
    return settings.var / unit


def _folders(settings: Settings, registry: Registry) -> None:
    for name in ("config", "log", "supervisor", "reconciler", "mail"):
        (settings.var / name).mkdir(parents=True, exist_ok=True)
    for tool in ("prometheus", "alertmanager"):
        (settings.var / tool / "data").mkdir(parents=True, exist_ok=True)
        secrets = settings.var / tool / "secrets"
        secrets.mkdir(mode=0o700, exist_ok=True)
        secrets.chmod(0o700)
    for target in (*registry.of_kind(Kind.VENUE), *registry.of_kind(Kind.BOT)):
        if target.service:
            state_folder(settings, target.service.unit).mkdir(exist_ok=True)


def _prometheus(settings: Settings, registry: Registry) -> None:
    folder = settings.var / "prometheus"
    durable.link(folder / "rules", _committed(settings.prometheus_config / "rules"))
    durable.link(folder / "secrets" / "metrics_token", settings.secrets / "metrics_token")
    users, own = users_of(settings), registry.one(Kind.PROMETHEUS).name
    over_tls = any(target.tls for target in registry)
    for server in users:
        name = f"{server}_password"
        durable.link(folder / "secrets" / name, settings.secrets / name)
    if over_tls:
        _link_certificates(settings, folder, own)
    config, committed = folder / "prometheus.yml", settings.prometheus_config / "prometheus.yml"
    text = _committed(committed).read_text(encoding="utf-8")
    if users or over_tls:
        text = prometheus_yml(
            text,
            users=users,
            name=own if over_tls else None,
            alertmanager_tls=registry.one(Kind.ALERTMANAGER).tls,
        )
        _write_copy(config, text)
    else:
        durable.link(config, committed)
    write_discovery(folder / "targets", registry, mode=0o600)


def _link_certificates(settings: Settings, folder: Path, name: str) -> None:
    for file in (AUTHORITY, f"{name}.crt", f"{name}.key"):
        durable.link(folder / "secrets" / file, settings.tls / file)


def _write_copy(path: Path, text: str) -> None:
    """Replace a link by a file; never write through it into the committed file."""
    if path.is_symlink():
        path.unlink()
    durable.write_if_changed(path, text)


def _alertmanager(settings: Settings, registry: Registry) -> None:
    folder = settings.var / "alertmanager"
    committed = _committed(settings.alertmanager_config / "alertmanager.yml")
    durable.link(folder / "templates", _committed(settings.alertmanager_config / "templates"))
    durable.link(folder / "secrets" / "webhook_token", settings.secrets / "webhook_token")
    moved = {
        WEBHOOK_DEFAULT: registry.one(Kind.RECONCILER).address,
        SMARTHOST_DEFAULT: registry.one(Kind.MAIL).address,
    }
    config = folder / "alertmanager.yml"
    reconciler, own = registry.one(Kind.RECONCILER), registry.one(Kind.ALERTMANAGER).name
    stays = all(old == new for old, new in moved.items()) and not reconciler.tls
    if stays and not settings.dead_man_switch:
        durable.link(config, committed)
        return
    text = replace_addresses(committed.read_text(encoding="utf-8"), moved)
    if settings.dead_man_switch:
        text = with_switch(text, settings.dead_man_switch)
    if reconciler.tls:
        _link_certificates(settings, folder, own)
        text = alertmanager_yml(text, receivers=[RECEIVER], urls=[reconciler.url], name=own)
    _write_copy(config, text)


def replace_addresses(text: str, moved: Mapping[str, str]) -> str:
    """Replace whole addresses in one pass, so that two swapped addresses stay distinct.

    Raises:
        SetupError: an address to replace is not in the text.
    """
    for old in moved:
        if old not in text:
            raise SetupError(
                f"alertmanager.yml no longer contains {old}, so the address cannot be replaced: "
                "restore it there, and change it in targets.yml only"
            )
    pattern = "|".join(re.escape(old) for old in moved)
    return re.sub(rf"(?<![\d.])(?:{pattern})(?!\d)", lambda match: moved[match[0]], text)


def _committed(path: Path) -> Path:
    if not path.exists():
        raise SetupError(
            f"{path} is missing: run this in the project's folder, or name it with TRADING_OPS_ROOT"
        )
    return path


def unwritable(folder: Path, error: OSError) -> SetupError:
    """Return the error for a folder that cannot be written, with how to fix it."""
    return SetupError(
        f"the folder {folder} cannot be written ({error.strerror or error}): make it writable "
        "for you, or name another one with TRADING_OPS_VAR"
    )
