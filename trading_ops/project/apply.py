"""Writes what Prometheus, Alertmanager and our own processes need in `var`.

Prometheus and Alertmanager run as other users, so they get copies of their tokens with mode 0640.
The group is that of the folder, which an installation creates with the setgid bit.
"""

from pathlib import Path

from trading_ops.clients.secrets import agent_token_file
from trading_ops.config.settings import Settings
from trading_ops.config.token_files import is_filled, new_token, write_secret
from trading_ops.domain.target import Kind, Registry
from trading_ops.errors import SetupError
from trading_ops.project.discovery import write_discovery
from trading_ops.project.writing import link, write

TOKENS = ("metrics_token", "webhook_token", "operator_token", "node_token", "audit_key")
READ_BY = (("prometheus", "metrics_token"), ("alertmanager", "webhook_token"))
GROUP_READ = 0o640


def apply(settings: Settings, registry: Registry) -> None:
    """Write missing tokens, the discovery files, and links to the configurations. Idempotent.

    Raises:
        SetupError: the folder cannot be written, or a configuration is missing.
    """
    links = {
        settings.var / "prometheus" / "prometheus.yml": settings.prometheus_config,
        settings.var / "prometheus" / "rules": settings.prometheus_config,
        settings.var / "alertmanager" / "alertmanager.yml": settings.alertmanager_config,
        settings.var / "alertmanager" / "templates": settings.alertmanager_config,
    }
    for path, folder in links.items():
        if not (folder / path.name).exists():
            fix = f"run `trading-ops init {settings.root} --update`"
            raise SetupError(f"{folder / path.name} is missing. Fix: {fix}")
    try:
        _tokens(settings, registry)
        write_discovery(_folder(settings.var / "prometheus" / "targets"), registry, mode=0o644)
        for path, folder in links.items():
            link(_folder(path.parent) / path.name, folder / path.name)
        for reader, name in READ_BY:
            copies = _folder(settings.var / reader / "secrets")
            write(copies / name, (settings.secrets / name).read_bytes(), GROUP_READ)
    except OSError as error:
        fix = "run it as the owner of this folder"
        raise SetupError(f"{error.filename}: {error.strerror}. Fix: {fix}") from error


def _tokens(settings: Settings, registry: Registry) -> None:
    settings.secrets.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in TOKENS:
        if not is_filled(settings.secrets / name):
            write_secret(settings.secrets / name, new_token())
    for bot in registry.of_kind(Kind.BOT):
        agent = agent_token_file(settings, bot)
        if not is_filled(agent.path) and not agent.is_shared:
            write_secret(agent.path, new_token())


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path
