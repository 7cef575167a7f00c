"""How to reach Prometheus and Alertmanager: their URLs and credentials.

By default they are at their addresses in targets.yml. `prometheus_url` and `alertmanager_url` set
another URL, such as that of a reverse proxy. A password file enables HTTP Basic authentication.
"""

from collections.abc import Callable
from datetime import timedelta
from urllib.parse import urlsplit

import aiohttp

from trading_ops.clients.http import Http
from trading_ops.config.secret_files import read_password
from trading_ops.config.settings import MonitoringAccess, Settings
from trading_ops.config.targets import is_loopback
from trading_ops.domain.target import Kind, Registry, Target
from trading_ops.errors import ConfigError
from trading_ops.redaction import known
from trading_ops.tls.contexts import TlsFiles, calling

WITHIN = timedelta(seconds=5)


class Monitoring:
    """Requests to Prometheus and to each Alertmanager."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        settings: Settings,
        registry: Registry,
        *,
        name: str = "operator",
    ) -> None:
        """Use the session, and the name of the process whose client certificate is presented."""
        self._session = session
        self._settings = settings
        self._registry = registry
        self._name = name

    def over(self, session: aiohttp.ClientSession) -> "Monitoring":
        """Return the same over another session."""
        return Monitoring(session, self._settings, self._registry, name=self._name)

    def prometheus(
        self,
        *,
        within: timedelta = WITHIN,
        on_date: Callable[[float, float, float], None] | None = None,
    ) -> Http:
        """Return requests to Prometheus.

        Raises:
            ConfigError: its URL or its password file cannot be used.
        """
        access = self._settings.prometheus_access
        return self._https(Kind.PROMETHEUS, access, within, on_date)[0]

    def reports_prometheus(self) -> Http:
        """Return requests to the Prometheus that reports are made from.

        Raises:
            ConfigError: its URL or its password file cannot be used.
        """
        access = self._settings.reports_prometheus_access
        return self._https(Kind.PROMETHEUS, access, WITHIN, None)[0]

    def alertmanagers(
        self,
        *,
        within: timedelta = WITHIN,
        on_date: Callable[[float, float, float], None] | None = None,
    ) -> list[Http]:
        """Return requests to each Alertmanager.

        Raises:
            ConfigError: a URL or the password file cannot be used.
        """
        access = self._settings.alertmanager_access
        return self._https(Kind.ALERTMANAGER, access, within, on_date)

    def _https(
        self,
        kind: Kind,
        access: MonitoringAccess,
        within: timedelta,
        on_date: Callable[[float, float, float], None] | None,
    ) -> list[Http]:
        basic = credentials(access)
        tls = calling(TlsFiles(self._settings.tls, self._name), authority=access.authority)
        return [
            Http(self._session, url, basic=basic, within=within, on_date=on_date, tls=tls)
            for url in urls(access, self._registry.of_kind(kind))
        ]


def credentials(access: MonitoringAccess) -> str:
    """Return `user:password`, or an empty string if no password is configured.

    Raises:
        ConfigError: the password file is missing, empty, or others can read it.
    """
    if access.password_file is None:
        return ""
    return f"{access.user}:{known(read_password(access.password_file))}"


def urls(access: MonitoringAccess, targets: tuple[Target, ...]) -> list[str]:
    """Return the URLs of a server: as the settings say, or as targets.yml does.

    Raises:
        ConfigError: a URL is invalid, or would be requested from another machine without TLS.
    """
    given = [url.strip().rstrip("/") for url in access.url.split(",") if url.strip()]
    for url in given:
        _check(url, access.key)
    return given or [target.url for target in targets]


def _check(url: str, key: str) -> None:
    fix = "write https://HOST[:PORT][/PATH]; http:// only with a loopback IP address"
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        usable = bool(host) and parts.port != 0
    except ValueError:
        host, usable = "", False
    if not usable or parts.scheme not in {"http", "https"} or parts.username or parts.query:
        raise ConfigError("settings", key, "it is not a URL of a server", fix)
    if parts.scheme == "http" and not is_loopback(host):
        raise ConfigError("settings", key, f"{host} would be contacted without TLS", fix)
