"""Adds passwords and TLS to the committed prometheus.yml and alertmanager.yml.

Prometheus and Alertmanager reject a configuration that names a missing certificate, so the
committed files name none.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import yaml

AUTHORITY = "secrets/ca.crt"
"""Relative to the folder of prometheus.yml or alertmanager.yml."""

DISCOVERED = "targets/"
"""Folder of the files that are derived from targets.yml."""

MONITORING = ("prometheus", "alertmanager")
"""Scrape jobs of Prometheus and Alertmanager themselves."""


def prometheus_yml(
    text: str, *, users: Mapping[str, str], name: str | None, alertmanager_tls: bool = False
) -> str:
    """Return prometheus.yml with credentials and TLS settings.

    Args:
        text: of the committed file.
        users: for HTTP basic authentication, by `prometheus` and `alertmanager`; the password is in
            `secrets/prometheus_password` and `secrets/alertmanager_password`.
        name: of its client certificate in `secrets`; None: without TLS.
        alertmanager_tls: whether Alertmanager uses TLS. Prometheus ignores `__scheme__` of the
            Alertmanagers that it discovers.
    """
    config = yaml.safe_load(text)
    jobs: list[dict[str, Any]] = config["scrape_configs"]
    alertmanagers: list[dict[str, Any]] = config["alerting"]["alertmanagers"]
    for server in users:
        clients = [job for job in jobs if job["job_name"] == server]
        for client in clients + (alertmanagers if server == "alertmanager" else []):
            client["basic_auth"] = _basic(users, server)
    if name is not None:
        for client in filter(_is_derived, (*jobs, *alertmanagers)):
            client.setdefault("tls_config", _tls(name))
    if alertmanager_tls:
        for client in filter(_is_derived, alertmanagers):
            client["scheme"] = "https"
    return _written(config)


def alertmanager_yml(
    text: str, *, receivers: Collection[str], urls: Sequence[str], name: str
) -> str:
    """Return alertmanager.yml with a webhook over TLS for each reconciler.

    Args:
        text: of the file.
        receivers: those with the reconciler's webhook.
        urls: of the reconcilers.
        name: of Alertmanager's client certificate in `secrets`.
    """
    config = yaml.safe_load(text)
    for receiver in config["receivers"]:
        if receiver["name"] in receivers:
            (webhook,) = receiver["webhook_configs"]
            webhook["http_config"].setdefault("tls_config", _tls(name))
            receiver["webhook_configs"] = [
                webhook | {"url": f"{url}/api/v1/webhook/alertmanager"} for url in urls
            ]
    return _written(config)


def web_yml(user: str, hashed: str) -> str:
    """Return a `web.config.file` with basic authentication; `hashed` is the bcrypt hash."""
    return _written({"basic_auth_users": {user: hashed}})


def tls_web_yml(name: str) -> str:
    """Return a `web.config.file` that serves over TLS and refuses clients without a certificate."""
    own = _tls(name)
    authority = own.pop("ca_file")
    clients = {"client_auth_type": "RequireAndVerifyClientCert", "client_ca_file": authority}
    return _written({"tls_server_config": own | clients})


def _is_derived(client: Mapping[str, Any]) -> bool:
    """Return whether its targets come from targets.yml; others have their own certificates."""
    files = [
        file
        for file_sd_config in client.get("file_sd_configs", ())
        for file in file_sd_config["files"]
    ]
    return any(file.startswith(DISCOVERED) for file in files)


def _basic(users: Mapping[str, str], server: str) -> dict[str, str]:
    return {"username": users[server], "password_file": f"secrets/{server}_password"}


def _tls(name: str) -> dict[str, str]:
    return {
        "ca_file": AUTHORITY,
        "cert_file": f"secrets/{name}.crt",
        "key_file": f"secrets/{name}.key",
    }


def _written(config: Any) -> str:
    return yaml.dump(config, Dumper=_WithoutAnchors, sort_keys=False, width=1000)


class _WithoutAnchors(yaml.SafeDumper):
    """Writes repeated values in full, without YAML aliases."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        """Return True: use no alias."""
        return True
