"""Writes the files that Prometheus, Alertmanager and our own processes need to `var`.

Prometheus and Alertmanager run as other users, so they get copies of their tokens with mode 0640.
The group is that of the folder, which an installation creates with the setgid bit.
"""

from pathlib import Path

from trading_ops import durable
from trading_ops.clients.secrets import agent_token_file
from trading_ops.config.secret_files import is_filled, new_token, write_secret
from trading_ops.config.settings import Settings
from trading_ops.domain.target import Kind, Registry
from trading_ops.errors import SetupError
from trading_ops.project.discovery import write_discovery
from trading_ops.project.monitoring_configs import alertmanager_yml, prometheus_yml, tls_web_yml
from trading_ops.tls.contexts import AUTHORITY, AUTHORITY_KEY

TOKENS = ("metrics_token", "webhook_token", "operator_token", "node_token", "audit_key")
READ_BY = (("prometheus", "metrics_token"), ("alertmanager", "webhook_token"))
GROUP_READ = 0o640
ALL_READ = 0o644


def apply(settings: Settings, registry: Registry) -> None:
    """Write missing tokens, the discovery files, and links to the configurations. Idempotent.

    With TLS in the registry the two configurations are copies that name the certificates.

    Raises:
        SetupError: the folder cannot be written, or a configuration or certificate is missing.
    """
    links = {
        settings.var / "prometheus" / "prometheus.yml": settings.prometheus_config,
        settings.var / "prometheus" / "rules": settings.prometheus_config,
        settings.var / "alertmanager" / "alertmanager.yml": settings.alertmanager_config,
        settings.var / "alertmanager" / "templates": settings.alertmanager_config,
    }
    copies = _with_tls(settings, registry)
    for path, folder in links.items():
        if not (folder / path.name).exists():
            fix = f"run `trading-ops init {settings.root} --update`"
            raise SetupError(f"{folder / path.name} is missing. Fix: {fix}")
    try:
        _tokens(settings, registry)
        write_discovery(_folder(settings.var / "prometheus" / "targets"), registry, mode=0o644)
        for path, folder in links.items():
            if path not in copies:
                durable.link(_folder(path.parent) / path.name, folder / path.name)
        for reader, name in READ_BY:
            secrets = _folder(settings.var / reader / "secrets")
            content = (settings.secrets / name).read_bytes()
            durable.write(secrets / name, content, mode=GROUP_READ, by_several=True)
        for path, content in copies.items():
            is_secret = path.parent.name == "secrets"
            mode = GROUP_READ if is_secret else ALL_READ
            durable.write(_folder(path.parent) / path.name, content, mode=mode, by_several=True)
    except OSError as error:
        fix = "run it as the owner of this folder"
        raise SetupError(f"{error.filename}: {error.strerror}. Fix: {fix}") from error


def _with_tls(settings: Settings, registry: Registry) -> dict[Path, bytes]:
    """Return the files that Prometheus and Alertmanager need for TLS, by path.

    None on the host of a further reconciler, which has neither their certificates nor the CA's key.
    """
    prometheus, alertmanager = registry.one(Kind.PROMETHEUS), registry.one(Kind.ALERTMANAGER)
    here = (AUTHORITY_KEY, f"{prometheus.name}.crt", f"{alertmanager.name}.crt")
    elsewhere = settings.reconciler and not any((settings.tls / name).exists() for name in here)
    if elsewhere or not any(target.tls for target in registry):
        return {}
    found: dict[Path, bytes] = {}
    for kind in (Kind.PROMETHEUS, Kind.ALERTMANAGER):
        own, folder = registry.one(kind), settings.var / kind
        for name in (AUTHORITY, f"{own.name}.crt", f"{own.name}.key"):
            found[folder / "secrets" / name] = _read(settings.tls / name, "trading-ops tls init")
        if own.tls:
            found[folder / "web.yml"] = tls_web_yml(own.name).encode()
    update = f"trading-ops init {settings.root} --update"
    text = _read(settings.prometheus_config / "prometheus.yml", update).decode()
    text = prometheus_yml(text, users={}, name=prometheus.name, alertmanager_tls=alertmanager.tls)
    found[settings.var / "prometheus" / "prometheus.yml"] = text.encode()
    reconcilers = registry.of_kind(Kind.RECONCILER)
    if all(reconciler.tls for reconciler in reconcilers):
        text = _read(settings.alertmanager_config / "alertmanager.yml", update).decode()
        receivers = [receiver.strip() for receiver in settings.alertmanager_receivers.split(",")]
        urls = [reconciler.url for reconciler in reconcilers]
        text = alertmanager_yml(text, receivers=receivers, urls=urls, name=alertmanager.name)
        found[settings.var / "alertmanager" / "alertmanager.yml"] = text.encode()
    return found


def _read(path: Path, fix: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SetupError(f"{path}: {error.strerror}. Fix: run `{fix}`") from error


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
