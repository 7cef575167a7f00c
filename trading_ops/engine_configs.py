"""Adds passwords and TLS to the committed prometheus.yml and alertmanager.yml.

Prometheus and Alertmanager reject a configuration that names a missing certificate, so the
committed files name none.
"""

from collections.abc import Mapping
from typing import Any

import yaml

AUTHORITY = "secrets/ca.crt"
"""Relative to the folder of prometheus.yml or alertmanager.yml."""

ENGINES = ("prometheus", "alertmanager")
"""Scrape jobs of the engines themselves."""


def prometheus_yml(text: str, *, users: Mapping[str, str], name: str | None) -> str:
    """Return prometheus.yml with credentials and TLS settings.

    Args:
        text: of the committed file.
        users: for HTTP basic authentication, by `prometheus` and `alertmanager`; the password is in
            `secrets/prometheus_password` and `secrets/alertmanager_password`.
        name: of its client certificate in `secrets`; None: without TLS.
    """
    config = yaml.safe_load(text)
    jobs: dict[str, dict[str, Any]] = {job["job_name"]: job for job in config["scrape_configs"]}
    for engine in ENGINES:
        if engine in users:
            jobs[engine]["basic_auth"] = _basic(users, engine)
    for alertmanager in config["alerting"]["alertmanagers"]:
        if "alertmanager" in users:
            alertmanager["basic_auth"] = _basic(users, "alertmanager")
    if name is not None:
        for client in (*jobs.values(), *config["alerting"]["alertmanagers"]):
            client["tls_config"] = _tls(name)
    return _written(config)


def alertmanager_yml(text: str, *, receiver: str, url: str, name: str) -> str:
    """Return alertmanager.yml with a webhook over TLS.

    Args:
        text: of the file.
        receiver: the receiver with the reconciler's webhook.
        url: of the reconciler.
        name: of Alertmanager's client certificate in `secrets`.
    """
    config = yaml.safe_load(text)
    for one in config["receivers"]:
        if one["name"] == receiver:
            for webhook in one["webhook_configs"]:
                webhook["url"] = f"{url}/api/v1/webhook/alertmanager"
                webhook["http_config"]["tls_config"] = _tls(name)
    return _written(config)


def web_yml(user: str, hashed: str) -> str:
    """Return a `web.config.file` with basic authentication; `hashed` is the bcrypt hash."""
    return _written({"basic_auth_users": {user: hashed}})


def _basic(users: Mapping[str, str], engine: str) -> dict[str, str]:
    return {"username": users[engine], "password_file": f"secrets/{engine}_password"}


def _tls(name: str) -> dict[str, str]:
    return {
        "ca_file": AUTHORITY,
        "cert_file": f"secrets/{name}.crt",
        "key_file": f"secrets/{name}.key",
    }


def _written(config: Any) -> str:
    return yaml.safe_dump(config, sort_keys=False, width=1000)
